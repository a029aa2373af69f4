//! What discovery found goes into the local graph, once it has a path to an anchor.
//!
//! Then the next question finds it at hand, and the CRLs that its key signed count: notices of them may be owed since
//! their signer was not known, and are settled before the question is judged again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::{Clock, blocking};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::IssuerId;
use tokio::sync::broadcast;
use tracing::{info, warn};

use super::expedition::Found;
use crate::events::{Event, Events};
use crate::notice::certificates::keep;
use crate::notice::owed::Debts;
use crate::question::Policies;
use crate::question::anchored::leads_to_anchor_through;
use crate::state::live::MAX_CERTIFICATES;
use crate::state::{Journal, JournalError, Live};

/// Certificates that discovery keeps leave this much room to those that notices bring.
const MAX_LEARNED: usize = MAX_CERTIFICATES / 2;

/// Debts of newly learned issuers are waited for at most this long, and within the question's deadline: a CRL at hand is
/// verified within milliseconds, one that must be fetched is not waited for.
const SETTLING: Duration = Duration::from_secs(1);

/// Keeps what proved itself.
#[derive(Clone)]
pub(crate) struct Learner {
    pub live: Arc<Live>,
    pub journal: Arc<Journal>,
    pub events: Events,
    pub clock: Clock,
    /// What waits for a certificate is made due.
    pub debts: Arc<Debts>,
}

impl Learner {
    /// Keeps the CA certificates among those found that have a path to an anchor of a policy, revocation left to the
    /// questions; tells how many were new.
    pub(super) async fn learn(
        &self,
        found: &Found,
        policies: &Arc<Policies>,
        at: Time,
        until: Instant,
    ) -> usize {
        let listening = self.events.changes();
        let mut learned = Vec::new();
        for certificate in self.proven(found, policies, at).await {
            match self.keep(certificate.clone()).await {
                Ok(true) => learned.push(certificate.as_issuer()),
                Ok(false) => {}
                Err(error) => warn!(%error, "a found certificate is not kept: our own disk failed"),
            }
        }
        if !learned.is_empty() {
            info!(certificates = learned.len(), "learned by discovery");
            self.settle(&learned, listening, until).await;
        }
        learned.len()
    }

    async fn keep(&self, certificate: Certificate) -> Result<bool, JournalError> {
        keep(&self.live, &self.journal, &self.events, certificate, self.clock.now_ms()).await
    }

    async fn proven(&self, found: &Found, policies: &Arc<Policies>, at: Time) -> Vec<Certificate> {
        let (live, policies, candidates) = (self.live.clone(), policies.clone(), found.candidates.clone());
        let mut certificates = found.certificates.clone();
        blocking(move || {
            let known = (&candidates, &*live);
            let is_proven = |certificate: &Certificate| {
                let mut policies = policies.iter();
                policies.any(|policy| leads_to_anchor_through(certificate, policy, &known, &live.memory, at))
            };
            certificates.retain(|certificate| {
                live.certificates() < MAX_LEARNED && certificate.is_ca() && is_proven(certificate)
            });
            certificates
        })
        .await
    }

    /// Has the debts of these issuers settled, and waits until their CRLs are enforced, for a moment.
    async fn settle(&self, issuers: &[IssuerId], mut listening: broadcast::Receiver<Event>, until: Instant) {
        let mut owed = self.owed(issuers).await;
        self.debts.certificate_came();
        let enforced = async {
            while !owed.is_empty() {
                match listening.recv().await {
                    Ok(Event::Applied { scope, .. }) => owed.retain(|issuer| *issuer != scope.0),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        let until = until.min(Instant::now() + SETTLING);
        // What is not settled by then makes the verdict indeterminate, for now.
        let _ = tokio::time::timeout_at(until.into(), enforced).await;
    }

    /// Those of the issuers of whom a CRL notice is owed.
    async fn owed(&self, issuers: &[IssuerId]) -> Vec<IssuerId> {
        let (journal, issuers) = (self.journal.clone(), issuers.to_vec());
        let owed = blocking(move || {
            issuers.into_iter().filter(|issuer| journal.owes(*issuer).unwrap_or(false)).collect()
        });
        owed.await
    }
}
