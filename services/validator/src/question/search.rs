//! Step 4: discover, validate, and ask the live CRLs. The path engine does it, over the state of this very moment.

use std::sync::Arc;
use std::time::Instant;

use revocast_messages::{Blob, Judgement};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::path::{self, Graph, ProvenPath, Rechecked, Sources};
use revocast_pki::verdict::{Outcome, Reason, Verdict};

use super::cache::{Kept, Key};
use super::flight::Landing;
use super::intake::{self, Asked};
use super::judge::Judge;
use super::{answer, policy};
use crate::state::live::{MAX_CERTIFICATES, ToldBy};

/// An explanation tells at most this many paths that were tried.
pub(super) const MAX_TOLD: usize = 16;

/// What was found out about a certificate.
pub(crate) enum Found {
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// The engine has searched.
    Searched(Box<Verdict>),
    /// Its path was known, after all, and is valid at this moment.
    Known { path: Arc<Kept>, rechecked: Rechecked, at: Time },
}

/// A certificate whose path is to be searched for.
pub(crate) struct Led {
    pub(crate) id: CertId,
    /// Its place in the question.
    pub(crate) index: usize,
    pub(crate) landing: Landing<Found>,
}

impl Found {
    /// What a question is told.
    pub(crate) fn judgement(&self, id: CertId, asked: &Asked, judge: &Judge, now_ms: i64) -> Judgement {
        let silence = judge.freshness.age(now_ms);
        match self {
            Found::Unreadable(why) => answer::unreadable(id, why),
            Found::Searched(verdict) => {
                let judgement = answer::of_verdict(verdict, asked.explain);
                let oldest_s = answer::oldest_s(verdict.evidence(), verdict.at);
                answer::held_to(judgement, &asked.policy, oldest_s, silence)
            }
            Found::Known { path, rechecked, at } => {
                let judgement = answer::of_path(id, path, rechecked, *at);
                let oldest_s = answer::oldest_s(&rechecked.evidence, *at);
                answer::held_to(judgement, &asked.policy, oldest_s, silence)
            }
        }
    }
}

impl Judge {
    /// Searches for what a question leads; each flight lands as soon as it can. Blocks on the processor.
    pub(crate) fn search_led(&self, asked: &Asked, led: Vec<Led>) {
        let candidates = asked.candidates();
        for one in led {
            let found = match asked.certificates().get(one.index) {
                Some(der) => self.find(asked, &candidates, one.id, der),
                None => Found::Unreadable("it is not there".into()),
            };
            one.landing.land(found);
        }
    }

    fn find(&self, asked: &Asked, candidates: &Graph, id: CertId, der: &Blob) -> Found {
        let key = (id, asked.effective.id);
        if !asked.explain
            && let Some(known) = self.recheck(&key, asked)
        {
            return known;
        }
        match intake::decode(der) {
            Ok(certificate) => Found::Searched(Box::new(self.search(certificate, asked, candidates))),
            Err(why) => Found::Unreadable(why),
        }
    }

    /// A kept path, when it must be found out again which CRLs decide over it, or when somebody has found it
    /// since the cache was asked. One that can never be valid again is forgotten.
    fn recheck(&self, key: &Key, asked: &Asked) -> Option<Found> {
        let path = self.paths.cache.get(key)?;
        if asked.name.as_ref().is_some_and(|name| !path.bears(name)) {
            return None;
        }
        let at = self.now();
        let rechecked = path.recheck(at, self.sources(&*self.live));
        match rechecked.outcome {
            Outcome::Valid => {
                self.paths.counts.kept.add_one();
                self.tell_use(&path, self.clock.now_ms());
                return Some(Found::Known { path, rechecked, at });
            }
            Outcome::Indeterminate => {}
            Outcome::Revoked | Outcome::Invalid => {
                self.paths.cache.remove(key);
            }
        }
        None
    }

    fn search(&self, certificate: Certificate, asked: &Asked, candidates: &Graph) -> Verdict {
        let known = (candidates, &*self.live);
        let told = if asked.explain { MAX_TOLD } else { 0 };
        let question = path::Question {
            name: asked.name.clone(),
            told,
            ..path::Question::new(
                certificate,
                self.now(),
                &asked.policy.anchors,
                &asked.effective.requirements,
            )
        };
        let (verdict, path) = self.searched(question, &known, asked.until);
        if let Some(demand) = &self.demand
            && let Some(found) = verdict.path.as_ref().filter(|_| verdict.is_valid())
        {
            demand.note(&found.certificates);
        }
        self.paths.counts.searched.add_one();
        let key = (verdict.target.id(), asked.effective.id);
        match path {
            Some(path) => self.paths.found(key, path),
            None => self.paths.wanted(&verdict, &asked.policy, &asked.effective),
        }
        // Last, as it begins a new revision: whoever asks in that one finds the path kept.
        self.adopt(&verdict, None);
        verdict
    }

    /// Asks the engine, at most until `until`; the path, too, if it is valid.
    pub(crate) fn searched(
        &self,
        question: path::Question<'_>,
        certificates: &dyn path::CertificateSource,
        until: Instant,
    ) -> (Verdict, Option<Arc<ProvenPath>>) {
        let expired = || Instant::now() >= until;
        let question = path::Question { expired: Some(&expired), ..question };
        let verdict = path::judge(&question, self.sources(certificates));
        let path = ProvenPath::of(&verdict, &question).map(Arc::new);
        if let Some(path) = &path {
            // From the first question on it takes look-ups alone.
            path.recheck(question.at, self.sources(certificates));
        }
        (verdict, path)
    }

    /// The issuers of a path that leads to an anchor, with right signatures and all of 6.1, are known from now on, even
    /// where nobody can tell yet whether they are revoked: until its issuer is known, a CRL cannot be verified.
    pub(crate) fn adopt(&self, verdict: &Verdict, by: Option<ToldBy>) {
        let Some(path) = verdict.path.as_ref().filter(|path| path.anchor.is_some()) else { return };
        match path.failure.map(|failure| failure.reason) {
            None | Some(Reason::RevocationUnknown(_)) => {}
            Some(_) => return,
        }
        for issuer in path.certificates.iter().skip(1).filter(|issuer| !self.live.knows(issuer)) {
            if self.live.certificates() >= MAX_CERTIFICATES {
                return;
            }
            match by {
                Some(by) => self.live.learn_certificate(issuer.clone(), by),
                None => self.live.insert_certificate(issuer.clone()),
            };
            self.adopted.notify_one();
        }
    }

    /// Searches anew for the path of a certificate among what is known, and keeps it if it is valid. It is told to the
    /// fleet if one of its issuers never was.
    pub(crate) fn build(
        &self,
        certificate: Certificate,
        policy: &policy::Policy,
        effective: &policy::Effective,
    ) -> bool {
        let key = (certificate.id(), effective.id);
        let question = path::Question::new(certificate, self.now(), &policy.anchors, &effective.requirements);
        let (verdict, path) = self.searched(question, &*self.live, self.deadline());
        let found = path.is_some();
        match path {
            // With what others told, they build it as well.
            Some(path) if path.certificates().iter().skip(1).all(|issuer| self.live.is_told(issuer.id())) => {
                self.paths.keep(key, path);
            }
            Some(path) => self.paths.found(key, path),
            None => self.paths.not_built(&key, &verdict),
        }
        found
    }

    pub(crate) fn sources<'a>(&'a self, certificates: &'a dyn path::CertificateSource) -> Sources<'a> {
        Sources { certificates, crls: &*self.live, memory: &self.live.memory }
    }

    /// When a search that begins now is to end.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_unix(self.clock.now_s())
    }
}
