//! [`Local`]: a validator within a process, without broker, disk and doors.
//!
//! For programs that bring CRLs themselves, and for measuring what a question costs apart from its transport. It is the
//! same question walk over the same state; what the notice walk does around verification (debts, marks on the disk,
//! receipts) is left out, so what was enforced is gone with the process.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use revocast_daemon::{Clock, Metrics};
use revocast_messages::{Answer, CrlNotice, Origin, Question, Role, Source};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, CrlError};
use revocast_pki::identity::IssuerId;
use revocast_pki::path::CertificateSource;
use revocast_store::read_certificates;
use tokio::sync::Semaphore;

use crate::config::ValidatorConfig;
use crate::freshness::Freshness;
use crate::metrics::Counts;
use crate::notice::dedup::standing;
use crate::notice::persist::{Before, Joined, join};
use crate::notice::verify::Verifier;
use crate::paths::Paths;
use crate::question::{Judge, Policies, PolicyError, history};
use crate::state::{Enforced, Live};

/// A validator within this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    pub(crate) judge: Judge,
    verifier: Verifier,
    /// Whose turn it is to enforce a CRL.
    applying: Arc<Mutex<()>>,
}

/// Why a CRL does not come to be enforced.
#[derive(Debug, thiserror::Error)]
pub enum NotEnforced {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] CrlError),
    /// No known certificate of its issuer, with a path to an anchor, signed it; the reason of the last that was tried.
    #[error("nobody who may has signed it: {0}")]
    Unsigned(String),
    /// It is no news: this one is enforced, or one that supersedes it.
    #[error("it is not newer than what is enforced")]
    NoNews,
}

/// How paths came, counted by certificates asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// It was kept.
    pub kept: u64,
    /// The engine searched.
    pub searched: u64,
    /// An equal question was being searched for.
    pub joined: u64,
}

impl Local {
    /// Reads policies and certificates of `config`; everything about the broker, the doors and the disk is ignored.
    pub fn open(config: &ValidatorConfig, clock: Clock, metrics: &Metrics) -> Result<Local, PolicyError> {
        let policies = Arc::new(Policies::read(&config.policies, &config.default_policy)?);
        let live = Arc::new(Live::new());
        for certificate in
            policies.anchor_certificates().cloned().chain(read_certificates(&config.certificates)?)
        {
            live.insert_certificate(certificate);
        }
        let judge = Judge {
            live,
            journal: None,
            policies: policies.clone(),
            paths: Paths::new(&config.paths, metrics).0,
            freshness: Freshness::new(&config.freshness),
            demand: None,
            clock,
            counts: Counts::new(metrics),
            adopted: Arc::default(),
            instance: config.instance.clone(),
            deadline: config.question_deadline,
            discover: None,
            gate: Arc::new(Semaphore::new(config.concurrent_questions.max(1))),
            past_gate: Arc::new(Semaphore::new(history::WORKED_ON_AT_ONCE)),
        };
        Ok(Local { judge, verifier: Verifier::new(policies), applying: Arc::default() })
    }

    /// A certificate that may help to build paths; believed by nobody for being here. Tells whether it was new.
    pub fn learn(&self, certificate: Certificate) -> bool {
        self.judge.live.insert_certificate(certificate)
    }

    /// Enforces a CRL from now on, if somebody signed it who may and it is news.
    pub async fn enforce(&self, der: Bytes) -> Result<(), NotEnforced> {
        let crl = Crl::decode(der.clone())?;
        let mut refused = "no certificate of its issuer is known".to_owned();
        for issuer in self.issuers(&crl) {
            let origin =
                Origin { role: Role::Validator, instance: self.judge.instance.clone(), seen_at_ms: 0 };
            let notice = CrlNotice::of(&crl, issuer, origin);
            let (live, now_s) = (&self.judge.live, self.judge.clock.now_s());
            let verified = match self.verifier.verify(&notice, der.clone(), Source::Inline, live, now_s).await
            {
                Ok(verified) => verified,
                Err(error) => {
                    refused = error.to_string();
                    continue;
                }
            };
            let scope = verified.scope();
            let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            let before = Before { held: live.enforced(&scope), withheld: None };
            if !standing(before.held.as_ref(), &crl.order()).is_news() {
                return Err(NotEnforced::NoNews);
            }
            let (crl, signer, source) = verified.into_parts();
            let Joined { highest: crl, others: conflicting, .. } = join(&before, crl);
            let applied_at_ms = self.judge.clock.now_ms();
            live.swap(scope, Enforced { crl, conflicting, signer, applied_at_ms, source });
            return Ok(());
        }
        Err(NotEnforced::Unsigned(refused))
    }

    /// How many certificates were answered from a kept path, were searched for, and shared another question's search.
    pub fn ways(&self) -> Ways {
        let counts = &self.judge.paths.counts;
        Ways { kept: counts.kept.get(), searched: counts.searched.get(), joined: counts.joined.get() }
    }

    /// How many paths are kept.
    pub fn kept(&self) -> usize {
        self.judge.paths.cache.len()
    }

    /// Answers a question as the doors do.
    pub async fn answer(&self, question: Question) -> Answer {
        self.judge.answer(question).await
    }

    fn issuers(&self, crl: &Crl) -> Vec<IssuerId> {
        self.judge.live.by_subject(crl.issuer()).iter().map(Certificate::as_issuer).collect()
    }
}
