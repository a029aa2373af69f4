//! Announcing what was seen: at once, and again at start and every few minutes.

use std::sync::Arc;

use revocast_daemon::Clock;
use revocast_fleet::{Announcement, Announcer};
use revocast_messages::{Instance, Origin, Role};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_store::{Held, Shelf, has_signed};
use tracing::warn;

use crate::polls::Polls;

/// Announces in the name of this watcher.
pub(crate) struct Announcing {
    pub announcer: Announcer,
    pub instance: Instance,
    pub clock: Clock,
    pub shelf: Arc<Shelf>,
    pub polls: Arc<Polls>,
    /// The configured certificates of CAs.
    pub certificates: Vec<Certificate>,
}

impl Announcing {
    /// Announces a CRL that took the place of `before`. Walks over both lists, so it may take a while.
    pub(crate) fn announce(&self, held: &Held, before: Option<&Crl>) {
        let locations = self.polls.urls_of(held.crl.digest());
        let announcement = Announcement::of_crl(&held.crl, before, &held.signer, self.origin(), locations);
        // What comes of it is told by the announcer, and made good with the heads.
        drop(self.announcer.announce(announcement));
    }

    /// Announces every CRL that is held and every configured certificate of a CA.
    pub(crate) fn announce_all(&self) {
        for certificate in &self.certificates {
            self.announce_certificate(certificate);
        }
        let held: Vec<Held> =
            self.shelf.read(|holdings| holdings.crls().map(|(_, held)| held.clone()).collect());
        for held in &held {
            self.announce(held, None);
        }
    }

    /// Whoever signed it is named by name and key, so it must be known.
    fn announce_certificate(&self, certificate: &Certificate) {
        let signers = self.shelf.read(|holdings| holdings.by_subject(certificate.issuer()).to_vec());
        match signers.iter().find(|signer| has_signed(signer, certificate)) {
            Some(signer) => {
                let announcement =
                    Announcement::of_certificate(certificate, signer.as_issuer(), self.origin());
                drop(self.announcer.announce(announcement));
            }
            None => {
                warn!(subject = %certificate.subject(), "not announced: none of the known keys signed it")
            }
        }
    }

    fn origin(&self) -> Origin {
        Origin { role: Role::Watcher, instance: self.instance.clone(), seen_at_ms: self.clock.now_ms() }
    }
}
