//! A certificate notice: what it brings may help to build paths, and is believed by nobody for being here.

use std::sync::Arc;

use revocast_daemon::blocking;
use revocast_messages::CertificateNotice;
use revocast_pki::certificate::Certificate;
use tracing::info;

use super::walk::{Outcome, Walk};
use crate::events::{Event, Events};
use crate::state::live::{MAX_CERTIFICATES, ToldBy};
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
    if walk.live.certificates() >= MAX_CERTIFICATES {
        let why = format!("{MAX_CERTIFICATES} certificates are known, and no more are taken in");
        return Ok(Outcome::Aside { word: "limit", why });
    }
    walk.live.note_told(&certificate, ToldBy::Notice);
    match keep(&walk.live, &walk.journal, &walk.events, certificate, walk.clock.now_ms()).await? {
        true => Ok(Outcome::Learned),
        false => Ok(Outcome::Obsolete),
    }
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
