//! A certificate notice: what it brings may help to build paths, and is believed by nobody for being here.

use revocast_daemon::blocking;
use revocast_messages::CertificateNotice;
use revocast_pki::certificate::Certificate;
use tracing::info;

use super::walk::{Outcome, Walk};
use crate::events::Event;
use crate::state::JournalError;
use crate::state::live::MAX_CERTIFICATES;

/// Takes in a CA or cross-certificate.
pub(crate) async fn learn(walk: &Walk, notice: &CertificateNotice) -> Result<Outcome, JournalError> {
    let certificate = match Certificate::decode(notice.certificate.0.clone()) {
        Ok(certificate) => certificate,
        Err(error) => return Ok(Outcome::Aside { word: "certificate", why: error.to_string() }),
    };
    if !certificate.is_ca() {
        return Ok(Outcome::Obsolete);
    }
    if walk.live.certificates() >= MAX_CERTIFICATES {
        let why = format!("{MAX_CERTIFICATES} certificates are known, and no more are taken in");
        return Ok(Outcome::Aside { word: "limit", why });
    }
    if walk.live.knows(&certificate) {
        return Ok(Outcome::Obsolete);
    }
    // On the disk before it is known: what is known counts as done when the notice comes again.
    let (journal, kept, now_ms) = (walk.journal.clone(), certificate.clone(), walk.clock.now_ms());
    blocking(move || {
        journal.note_learned(kept.id(), now_ms)?;
        journal.keep_certificate(&kept.id().0, kept.der())
    })
    .await?;
    walk.live.insert_certificate(certificate.clone());
    info!(subject = %certificate.subject(), issuer = %certificate.issuer(), "learned a certificate");
    walk.events.tell(Event::Learned(certificate));
    Ok(Outcome::Learned)
}
