//! Who signed a CRL, and may they (RFC 5280 6.3.3 (f), (g))?
//!
//! First the issuers on the path that is being judged, which need no further proof; then every other certificate of
//! the CRL issuer's name (separate CRL keys, rolled keys, indirect CRLs), which must have a valid path of its own to
//! the same anchor. Such a path asks for CRLs again, perhaps for the very one in question: a CRL issuer whose path
//! is being searched for already is taken to be entitled meanwhile, so a CRL may speak of its own signer
//! (PKITS 4.14.30) and the recursion ends. A CRL that lists its signer still convicts it.

use std::borrow::Cow;

use super::budget::Exhausted;
use super::question::{Requirements, Sources};
use super::search::{Inquiry, Search, Trust};
use super::session::Session;
use super::validation::Path;
use crate::certificate::{Certificate, KeyUsage};
use crate::crl::Crl;
use crate::identity::{CrlNumber, Digest, IssuerId, ScopeId};
use crate::revocation::Signers;

/// Paths of CRL issuers that need CRLs of yet other issuers: real hierarchies have one or two levels.
const MAX_NESTING: usize = 4;

pub(super) struct PathSigners<'a, 'p, 's, 'b> {
    pub(super) inquiry: Inquiry<'a>,
    pub(super) sources: Sources<'a>,
    pub(super) session: &'s mut Session<'b>,
    pub(super) path: Path<'p>,
    /// Working keys, from the target up, the anchor's last.
    pub(super) keys: &'s [Cow<'p, [u8]>],
}

impl Signers for PathSigners<'_, '_, '_, '_> {
    fn signer_of(&mut self, crl: &Crl) -> Result<Option<IssuerId>, Exhausted> {
        if let Some(signer) = self.on_path(crl, false)? {
            return Ok(Some(signer));
        }
        if let Some(signer) = self.elsewhere(crl)? {
            return Ok(Some(signer));
        }
        self.on_path(crl, true)
    }

    fn lost(&self, signer: IssuerId, scope: ScopeId) -> Option<CrlNumber> {
        self.sources.crls.lost(signer, scope)
    }

    fn compare(&mut self) -> Result<(), Exhausted> {
        self.session.budget.comparisons(1)
    }

    fn consider(&mut self) -> Result<(), Exhausted> {
        self.session.budget.candidate()
    }
}

impl PathSigners<'_, '_, '_, '_> {
    /// Among those on the path; `mismatching` ones contradict the CRL's authority key identifier.
    fn on_path(&mut self, crl: &Crl, mismatching: bool) -> Result<Option<IssuerId>, Exhausted> {
        let path = self.path;
        for (certificate, key) in path.certificates.iter().zip(self.keys) {
            if certificate.subject() == crl.issuer()
                && may_sign_crls(certificate)
                && mismatches(crl, certificate) == mismatching
                && self.verifies(crl, key)?
            {
                return Ok(Some(certificate.as_issuer()));
            }
        }
        let anchor = path.anchor;
        let fits = anchor.name() == crl.issuer()
            && anchor.constraints().is_none_or(may_sign_crls)
            && anchor.certificate().is_some_and(|certificate| mismatches(crl, certificate)) == mismatching;
        if fits && self.verifies(crl, anchor.spki())? {
            return Ok(Some(anchor.as_issuer()));
        }
        Ok(None)
    }

    /// Among all other certificates of that name.
    fn elsewhere(&mut self, crl: &Crl) -> Result<Option<IssuerId>, Exhausted> {
        let mut holders = self.sources.certificates.by_subject(crl.issuer());
        holders.sort_by_key(|holder| mismatches(crl, holder));
        for holder in holders {
            if self.path.certificates.contains(&holder) || !may_sign_crls(&holder) {
                continue;
            }
            self.session.budget.candidate()?;
            if self.verifies(crl, holder.spki())? && self.is_entitled(&holder)? {
                return Ok(Some(holder.as_issuer()));
            }
        }
        Ok(None)
    }

    fn verifies(&mut self, crl: &Crl, spki: &[u8]) -> Result<bool, Exhausted> {
        self.session.budget.signature()?;
        Ok(crl.verify(spki, self.session.algorithms()).is_ok())
    }

    /// Whether the holder of a CRL key has a valid path to the anchor of the path that is judged.
    fn is_entitled(&mut self, holder: &Certificate) -> Result<bool, Exhausted> {
        let known = (holder.id(), Digest::of(self.path.anchor.spki()));
        if self.session.in_progress.contains(&holder.id()) || self.session.entitled.contains(&known) {
            return Ok(true);
        }
        if self.session.in_progress.len() >= MAX_NESTING {
            return Ok(false);
        }
        let requirements = Requirements {
            revocation: self.inquiry.requirements.revocation,
            grace_s: self.inquiry.requirements.grace_s,
            algorithms: self.inquiry.requirements.algorithms,
            ..Requirements::default()
        };
        let inquiry = Inquiry {
            target: holder,
            at: self.inquiry.at,
            trust: Trust::Only(self.path.anchor),
            requirements: &requirements,
            name: None,
            depth: self.inquiry.depth,
            told: 0,
        };
        self.session.in_progress.push(holder.id());
        let ended = Search::new(inquiry, self.sources, self.session).run();
        self.session.in_progress.pop();
        if let Some(exhausted) = ended.exhausted {
            return Err(exhausted);
        }
        let entitled = ended.found.is_some();
        // What was found while others were taken to be entitled is not kept.
        if entitled && self.session.in_progress.is_empty() {
            self.session.entitled.insert(known);
        }
        Ok(entitled)
    }
}

/// keyUsage, where there is one, must say so (6.3.3 (f)).
fn may_sign_crls(certificate: &Certificate) -> bool {
    certificate.key_usage().is_none_or(|usage| usage.contains(KeyUsage::CRL_SIGN))
}

/// Whether the CRL names another key than the certificate's.
fn mismatches(crl: &Crl, certificate: &Certificate) -> bool {
    let wanted = crl.authority_key_id().and_then(|authority| authority.key_id);
    matches!((wanted, certificate.subject_key_id()), (Some(wanted), Some(found)) if wanted != found)
}
