//! A certificate notice: what it brings may help to build paths, and is believed by nobody for being here.

use std::sync::Arc;

use revocast_daemon::blocking;
use revocast_messages::CertificateNotice;
use revocast_pki::certificate::Certificate;
use tracing::info;

use super::walk::{Outcome, Walk};
use crate::events::{Event, Events};
use crate::state::live::{MAX_CERTIFICATES, MAX_UNCHAINED, ToldBy};
use crate::state::{Journal, JournalError, Live};

/// Takes in a CA or cross-certificate.
pub(crate) async fn learn(walk: &Walk, notice: &CertificateNotice) -> Result<Outcome, JournalError> {
    let certificate = match Certificate::decode(notice.certificate.0.clone()) {
        Ok(certificate) => certificate,
        Err(error) => return Ok(Outcome::Aside { word: "certificate", why: error.to_string() }),
    };
    if !certificate.is_ca() {
        return Ok(Outcome::Obsolete);
    }
    let room = if walk.live.knows(&certificate) { Room::Any } else { room(walk, &certificate).await };
    if let Room::None(why) = room {
        return Ok(Outcome::Aside { word: "limit", why });
    }
    walk.live.note_told(&certificate, ToldBy::Notice);
    if !keep(&walk.live, &walk.journal, &walk.events, certificate, walk.clock.now_ms()).await? {
        return Ok(Outcome::Obsolete);
    }
    if matches!(room, Room::Unchained) {
        walk.live.unchained_came();
    }
    Ok(Outcome::Learned)
}

/// Where there is room for a certificate.
enum Room {
    /// Among all.
    Any,
    /// Among those that lead to no anchor.
    Unchained,
    /// Nowhere, for this reason.
    None(String),
}

/// Whether a certificate leads to an anchor matters only when those that are known could be too many that do not.
async fn room(walk: &Walk, certificate: &Certificate) -> Room {
    match walk.live.certificates() {
        0..MAX_UNCHAINED => return Room::Any,
        MAX_UNCHAINED..MAX_CERTIFICATES => {}
        MAX_CERTIFICATES.. => {
            return Room::None(format!(
                "{MAX_CERTIFICATES} certificates are known, and no more are taken in"
            ));
        }
    }
    let (live, verifier) = (walk.live.clone(), walk.verifier.clone());
    let (certificate, now_s) = (certificate.clone(), walk.clock.now_s());
    blocking(move || {
        let is_chained = |one: &Certificate| verifier.is_chained(one, &live, now_s);
        if is_chained(&certificate) {
            Room::Any
        } else if live.has_room_for_unchained(is_chained, now_s) {
            Room::Unchained
        } else {
            Room::None(format!("{MAX_UNCHAINED} certificates are known that lead to no anchor, as this one"))
        }
    })
    .await
}

/// Puts a certificate into the local graph and the journal, and tells of it; whether it was new.
pub(crate) async fn keep(
    live: &Live,
    journal: &Arc<Journal>,
    events: &Events,
    certificate: Certificate,
    now_ms: i64,
) -> Result<bool, JournalError> {
    if live.knows(&certificate) {
        return Ok(false);
    }
    // On the disk before it is known: what is known counts as done when the notice comes again.
    let (journal, kept) = (journal.clone(), certificate.clone());
    blocking(move || {
        journal.note_learned(kept.id(), now_ms)?;
        journal.keep_certificate(&kept.id().0, kept.der())
    })
    .await?;
    if !live.insert_certificate(certificate.clone()) {
        return Ok(false);
    }
    info!(subject = %certificate.subject(), issuer = %certificate.issuer(), "learned a certificate");
    events.tell(Event::Learned(certificate));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use revocast_messages::{Origin, Role};

    use super::super::owed::tests::walk;
    use super::*;
    use crate::question::tests::{Holder, NOW, holder};

    async fn told(walk: &Walk, ca: &Holder) -> &'static str {
        let certificate = ca.certificate();
        let notice = CertificateNotice {
            issuer: certificate.as_issuer(),
            certificate: certificate.der().clone().into(),
            origin: Origin { role: Role::Watcher, instance: "w-1".parse().unwrap(), seen_at_ms: 0 },
            locations: Vec::new(),
        };
        match learn(walk, &notice).await.unwrap() {
            Outcome::Aside { word, .. } => word,
            outcome => outcome.word(),
        }
    }

    /// I10.
    ///
    /// ```text
    ///   root (anchor) --> issuing, later        stranger --> early, and others of its own making
    /// ```
    #[tokio::test]
    async fn certificates_that_lead_nowhere_leave_room_for_those_that_lead_to_an_anchor() {
        let folder = tempfile::tempdir().unwrap();
        let root = holder("CN=Root", None, |_| {});
        let stranger = holder("CN=Stranger", None, |_| {});
        let early = holder("CN=Early", Some(&stranger), |_| {});
        let [issuing, later] = ["CN=Issuing", "CN=Later"].map(|name| holder(name, Some(&root), |_| {}));
        let walk = walk(folder.path(), &root, Live::new());
        walk.live.insert_certificate(root.certificate());
        walk.live.crowd(MAX_CERTIFICATES - 2, MAX_UNCHAINED - 1, NOW.unix());

        assert_eq!(told(&walk, &early).await, "learned", "its issuer may come later");
        assert_eq!(told(&walk, &early).await, "obsolete");
        assert_eq!(told(&walk, &stranger).await, "limit");
        assert!(!walk.live.is_told(stranger.certificate().id()) && !walk.live.knows(&stranger.certificate()));
        assert_eq!(told(&walk, &issuing).await, "learned");
        assert_eq!(told(&walk, &later).await, "limit", "the whole is full");
    }

    /// After a restart nobody knows how many lead nowhere.
    #[tokio::test]
    async fn certificates_that_lead_nowhere_are_counted_at_need_and_again_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let root = holder("CN=Root", None, |_| {});
        let [first, second] = ["CN=First", "CN=Second"].map(|name| holder(name, None, |_| {}));
        let walk = walk(folder.path(), &root, Live::new());
        walk.live.crowd(MAX_UNCHAINED, MAX_UNCHAINED, NOW.unix());
        walk.clock.set(NOW.plus(3_599).unix() * 1_000);
        assert_eq!(told(&walk, &first).await, "limit");
        walk.clock.set(NOW.plus(3_600).unix() * 1_000);
        assert_eq!(told(&walk, &first).await, "learned", "none of those that are there leads nowhere");
        assert_eq!(told(&walk, &second).await, "learned");

        let restarted = Live::new();
        for one in [&root, &first, &second] {
            restarted.insert_certificate(one.certificate());
        }
        let (is_chained, asked) = (|one: &Certificate| *one == root.certificate(), NOW.unix());
        assert!(restarted.has_room_for_unchained(is_chained, asked));
        assert_eq!(restarted.unchained(), Some(2));
        restarted.unchained_came();
        assert!(restarted.has_room_for_unchained(|_| panic!("it was counted"), asked));
        assert_eq!(restarted.unchained(), Some(3));
    }
}
