//! Announcing what was posted: at once, and again at start and every few minutes.

use revocast_daemon::{Clock, blocking};
use revocast_fleet::{Announced, Announcement, Announcer};
use revocast_messages::{Instance, Origin, Role};
use revocast_pki::crl::Crl;
use revocast_store::{Held, ScopeKey, Shelf};
use tokio::sync::oneshot;

/// Announces in the name of this repository.
#[derive(Clone)]
pub(crate) struct Assertion {
    pub announcer: Announcer,
    pub instance: Instance,
    pub clock: Clock,
    pub base_url: Option<String>,
}

impl Assertion {
    /// Announces a CRL that took the place of `before`; what comes of it is received.
    pub(crate) async fn announce(&self, held: Held, before: Option<Crl>) -> oneshot::Receiver<Announced> {
        let assertion = self.clone();
        let announcement = blocking(move || assertion.announcement(&held, before.as_ref())).await;
        self.announcer.announce(announcement)
    }

    /// Announces again every CRL that was posted and stands highest.
    pub(crate) async fn assert_heads(&self, shelf: &Shelf) {
        let own = |(_, held): (&ScopeKey, &Held)| held.own.then(|| held.clone());
        let heads: Vec<Held> = shelf.read(|holdings| holdings.crls().filter_map(own).collect());
        for held in heads {
            // Whether the broker confirms it is told by the announcer.
            self.announcer.announce_in_turn(self.announcement(&held, None)).await;
        }
    }

    fn announcement(&self, held: &Held, before: Option<&Crl>) -> Announcement {
        let locations = self.locations(&held.key());
        Announcement::of_crl(&held.crl, before, &held.signer, self.origin(), locations)
    }

    /// Where a CRL is served.
    fn locations(&self, (issuer, scope, kind): &ScopeKey) -> Vec<String> {
        let url = |base: &String| format!("{}/crl/{issuer}/{scope}/{kind}.crl", base.trim_end_matches('/'));
        self.base_url.iter().map(url).collect()
    }

    fn origin(&self) -> Origin {
        Origin { role: Role::Repository, instance: self.instance.clone(), seen_at_ms: self.clock.now_ms() }
    }
}
