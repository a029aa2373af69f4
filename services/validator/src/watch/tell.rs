//! Compare-and-set on the head of a watch: told only if the head is still the one that the decision was made on.

use std::sync::Arc;
use std::time::Duration;

use revocast_bus::{Bus, BusError, Published, Standing, Stored};
use revocast_messages::subjects::Subject;
use revocast_messages::{DecodeError, Role, VerdictChanged, decode, encode, headers, subjects};
use revocast_pki::identity::WatchId;
use tracing::warn;

use super::registry::Head;

/// After this long without a confirmation the verdict is judged anew before it is told.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of telling.
#[derive(Debug)]
pub(crate) enum Telling {
    /// It stands at this sequence.
    Done(u64),
    /// Another head stands there.
    Another,
    /// The broker does not confirm: later.
    Later,
}

/// Tells `change` in the place of the head at `expected`, or as the first.
pub(crate) async fn tell(bus: &Bus, change: &VerdictChanged, expected: Option<u64>) -> Telling {
    let body: bytes::Bytes = match encode(change) {
        Ok(body) => body.into(),
        Err(error) => {
            warn!(watch = %change.watch, %error, "a changed verdict cannot be told");
            return Telling::Later;
        }
    };
    let before = change.before.map_or_else(|| "-".to_owned(), |before| before.to_string());
    let lines = vec![
        (headers::VERDICT, format!("{} (before: {before})", change.outcome)),
        (headers::ORIGIN, format!("{}/{}", Role::Validator, change.validator)),
    ];
    let judge = |found: Stored| {
        let standing = if found.payload == body {
            Standing::Same
        } else if Some(found.sequence) == expected {
            Standing::Worse
        } else {
            Standing::Better
        };
        async move { standing }
    };
    let subject = change.subject().to_string();
    let published = bus.publish_head(subjects::VERDICTS, &subject, &lines, body.clone(), judge);
    match tokio::time::timeout(PATIENCE, published).await {
        Ok(Ok(Published::Stored(sequence) | Published::AlreadyThere(sequence))) => Telling::Done(sequence),
        Ok(Ok(Published::Superseded(_))) => Telling::Another,
        Ok(Err(error)) => {
            warn!(watch = %change.watch, %error, "a changed verdict waits");
            Telling::Later
        }
        Err(_) => Telling::Later,
    }
}

/// What a message of the stream says; `None` if nobody should have told it, or nobody can read it.
pub(crate) fn read(message: &Stored) -> Option<Head> {
    let Ok(Subject::Verdict { watch }) = message.subject.parse() else { return None };
    let told: Result<VerdictChanged, DecodeError> = decode(&message.payload);
    match told {
        Ok(told) if told.watch == watch => Some(Head {
            told: Arc::new(told),
            sequence: message.sequence,
            stored_at_ms: message.stored_at_ms(),
        }),
        Ok(_) => {
            warn!(subject = %message.subject, "a verdict told on the subject of another watch");
            None
        }
        Err(error) => {
            warn!(subject = %message.subject, %error, "a told verdict cannot be read");
            None
        }
    }
}

/// The head that stands at the stream's leader: what it says, and where it stands.
pub(crate) async fn standing(bus: &Bus, watch: WatchId) -> Result<Option<(Option<Head>, u64)>, BusError> {
    let subject = Subject::Verdict { watch }.to_string();
    let found = bus.head(subjects::VERDICTS, &subject).await?;
    Ok(found.map(|message| (read(&message), message.sequence)))
}
