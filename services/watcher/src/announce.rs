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
        // What comes of it is told by the announcer, and made good with the heads.
        drop(self.announcer.announce(self.announcement(held, before)));
    }

    /// Announces every CRL that is held and every configured certificate of a CA.
    pub(crate) async fn announce_all(&self) {
        for certificate in &self.certificates {
            self.announce_certificate(certificate).await;
        }
        let held: Vec<Held> =
            self.shelf.read(|holdings| holdings.crls().map(|(_, held)| held.clone()).collect());
        for held in &held {
            self.announcer.announce_in_turn(self.announcement(held, None)).await;
        }
    }

    /// Whoever signed it is named by name and key, so it must be known.
    async fn announce_certificate(&self, certificate: &Certificate) {
        let signers = self.shelf.read(|holdings| holdings.by_subject(certificate.issuer()).to_vec());
        let Some(signer) = signers.iter().find(|signer| has_signed(signer, certificate)) else {
            return warn!(subject = %certificate.subject(), "not announced: none of the known keys signed it");
        };
        let announcement = Announcement::of_certificate(certificate, signer.as_issuer(), self.origin());
        self.announcer.announce_in_turn(announcement).await;
    }

    fn announcement(&self, held: &Held, before: Option<&Crl>) -> Announcement {
        let locations = self.polls.urls_of(held.crl.digest());
        Announcement::of_crl(&held.crl, before, &held.signer, self.origin(), locations)
    }

    fn origin(&self) -> Origin {
        Origin { role: Role::Watcher, instance: self.instance.clone(), seen_at_ms: self.clock.now_ms() }
    }
}
