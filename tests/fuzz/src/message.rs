//! Reading what travels.

use std::fmt::Debug;

use revocast_messages::{
    AcquireAnswer, AcquireRequest, Answer, CertificateNotice, CrlNotice, Heartbeat, Message, PathShare,
    PlainQuestion, Question, Receipt, Registration, SearchAnswer, SearchRequest, SubscriptionAnswer,
    SubscriptionRequest, VerdictChanged, WatchAnswer, WatchRegistration, WatchRequest, codec, decode, encode,
};

/// What is read is the same when it is written and read again, in both forms; and a plain question reads as any other.
pub fn holds(octets: &[u8]) {
    comes_again::<CrlNotice>(octets);
    comes_again::<CertificateNotice>(octets);
    comes_again::<Heartbeat>(octets);
    comes_again::<SubscriptionRequest>(octets);
    comes_again::<SubscriptionAnswer>(octets);
    comes_again::<Receipt>(octets);
    comes_again::<Registration>(octets);
    comes_again::<PathShare>(octets);
    comes_again::<SearchRequest>(octets);
    comes_again::<SearchAnswer>(octets);
    comes_again::<AcquireRequest>(octets);
    comes_again::<AcquireAnswer>(octets);
    comes_again::<WatchRequest>(octets);
    comes_again::<WatchAnswer>(octets);
    comes_again::<WatchRegistration>(octets);
    comes_again::<VerdictChanged>(octets);
    comes_again::<Answer>(octets);
    let question = comes_again::<Question>(octets);
    if let Some(read) = PlainQuestion::read(octets) {
        assert_eq!(Some(read), question.as_ref().and_then(PlainQuestion::of));
    }
    if let Some(question) = &question {
        let written = encode(question).expect("it came from so many octets");
        assert_eq!(PlainQuestion::read(&written), PlainQuestion::of(question));
    }
}

fn comes_again<M: Message + PartialEq + Debug>(octets: &[u8]) -> Option<M> {
    let message: M = decode(octets).ok()?;
    let written = encode(&message).expect("it came from so many octets");
    assert_eq!(decode(&written).as_ref(), Ok(&message));
    // A time beyond the year 9999 has no JSON form that is read back, and JSON may be too large.
    if let Ok(Ok(read)) = codec::to_json(&message).map(|json| codec::from_json::<M>(&json)) {
        assert_eq!(read, message);
    }
    Some(message)
}
