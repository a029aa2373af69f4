//! Is a certificate revoked (RFC 5280 section 6.3)?
//!
//! Begin with [`status`]. Of all CRLs that bear the name of the certificate's issuer, or of a CRL issuer that one of its
//! distribution points names, those are *relevant* that cover it (`coverage`) and whose signature verifies by someone
//! entitled ([`Signers`]). Within each scope the newest decide (`deciding`), brought up to date by a delta where one fits.
//!
//! Three departures from the letter of 6.3.3, all to the safe side and so that the answer does not depend on the order
//! in which CRLs come. All relevant CRLs are looked into, not only those of the first distribution point that
//! covers every reason: revoked by any is revoked. A CRL that cannot be relied upon for a good answer (past its
//! nextUpdate, or with a critical extension that is not known) still convicts what it lists, except what it only held.
//! And a delta that is based on more than the complete CRL has convicts what it lists, too, and leaves nothing good: what
//! the complete CRL between them says is not known.

mod coverage;
mod deciding;
mod source;
#[cfg(test)]
mod tests;

use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::crl::{Crl, Entry, Reason};
use crate::distribution_point::Reasons;
use crate::identity::{CrlKind, CrlNumber, IssuerId, ScopeId};
use crate::path::Exhausted;
use crate::verdict::{Evidence, Finding, Revocation, Unknown};
use coverage::Coverage;
pub(crate) use coverage::crl_issuers;

pub use source::{CrlSet, CrlSource, Revision, Revisions};

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Current CRLs that cover every reason do not list it.
    Good,
    /// A CRL lists it.
    Revoked,
    /// Neither can be said.
    Unknown(Unknown),
}

/// A status and what it rests on.
pub(crate) struct Inspected {
    pub(crate) status: Status,
    pub(crate) findings: Vec<Evidence>,
}

/// Finds out who signed a CRL.
pub(crate) trait Signers {
    /// Who signed `crl`, if that was someone entitled to: RFC 5280 6.3.3 (f), (g).
    fn signer_of(&mut self, crl: &Crl) -> Result<Option<IssuerId>, Exhausted>;

    /// The highest number of a CRL of this scope that was held and is lost.
    fn lost(&self, signer: IssuerId, scope: ScopeId) -> Option<CrlNumber>;

    /// Before a CRL is asked whether it covers a certificate. An issuer may have thousands of shards.
    fn compare(&mut self) -> Result<(), Exhausted>;

    /// Before a CRL that may decide is looked at.
    fn consider(&mut self) -> Result<(), Exhausted>;
}

/// A CRL that covers the certificate and is signed by who may, brought up to date by a delta where one fits.
#[derive(Clone)]
struct Relevant {
    crl: Crl,
    delta: Option<Crl>,
    /// A delta that is based on more than `crl` has.
    ahead: Option<Crl>,
    standing: Standing,
}

/// What holds of a relevant CRL, apart from what it lists.
#[derive(Clone, Copy)]
struct Standing {
    signer: IssuerId,
    scope: ScopeId,
    /// The reasons for which it speaks of the certificate.
    reasons: Reasons,
    /// A newer CRL of its scope is lost.
    is_behind: bool,
}

/// The CRLs that decide over a certificate, whatever they say.
#[derive(Clone, Default)]
pub(crate) struct Deciding {
    relevant: Vec<Relevant>,
    /// What was wrong with a CRL that covers the certificate and yet does not decide.
    unknown: Option<Unknown>,
}

/// The status of `certificate` at `at`; a CRL whose nextUpdate is before `overdue` is past it.
pub(crate) fn status(
    certificate: &Certificate,
    crls: &dyn CrlSource,
    at: Time,
    overdue: Time,
    signers: &mut dyn Signers,
) -> Result<Inspected, Exhausted> {
    let mut deciding = Deciding::default();
    deciding.add(certificate, &crls.by_issuer(certificate.issuer()), at, signers)?;
    for name in crl_issuers(certificate) {
        deciding.add(certificate, &crls.by_issuer(&name), at, signers)?;
    }
    let mut findings = Vec::new();
    let status = deciding.status(certificate, overdue, &mut |found| findings.push(found.to_evidence()));
    Ok(Inspected { status, findings })
}

impl Deciding {
    /// Takes in those among the CRLs of one CRL issuer's name that decide.
    pub(crate) fn add(
        &mut self,
        certificate: &Certificate,
        crls: &[Crl],
        at: Time,
        signers: &mut dyn Signers,
    ) -> Result<(), Exhausted> {
        let coverage = Coverage::of(certificate);
        let mut complete = Vec::with_capacity(1);
        for crl in crls {
            if crl.kind() != CrlKind::Complete || crl.this_update() > at {
                continue;
            }
            signers.compare()?;
            let reasons = coverage.reasons(crl);
            if reasons == Reasons::NONE {
                continue;
            }
            signers.consider()?;
            match signers.signer_of(crl)? {
                Some(signer) => {
                    let scope = crl.scope(signer);
                    let is_behind = signers.lost(signer, scope).is_some_and(|lost| Some(lost) > crl.number());
                    let standing = Standing { signer, scope, reasons, is_behind };
                    complete.push(Relevant { crl: crl.clone(), delta: None, ahead: None, standing });
                }
                None => self.unknown = Some(Unknown::NoSigner),
            }
        }
        for mut relevant in deciding::of(complete) {
            relevant.delta = deciding::delta_for(&relevant, crls, at, signers)?;
            relevant.ahead = deciding::delta_ahead_of(&relevant, crls, at, signers)?;
            self.relevant.push(relevant);
        }
        Ok(())
    }

    /// What they say of the certificate, where a CRL whose nextUpdate is before `overdue` is past it. `found` is told what
    /// they say in full.
    pub(crate) fn status(
        &self,
        certificate: &Certificate,
        overdue: Time,
        found: &mut dyn FnMut(Finding<'_>),
    ) -> Status {
        let mut answer = Answer::new(found, self.unknown);
        for Relevant { crl, delta, ahead, standing } in &self.relevant {
            let deltas = Deltas { fitting: delta.as_ref(), ahead: ahead.as_ref() };
            answer.look_into(certificate, crl, deltas, standing, overdue);
        }
        answer.conclude()
    }

    /// Their places among `crls`. `None` unless some decide, all stand there, and every other one that covers the
    /// certificate was ruled out for good: one whose signer is not known, or not entitled as far as is known, may
    /// decide as soon as something else becomes known.
    pub(crate) fn placed(&self, crls: &[Crl]) -> Option<Placed> {
        let place_of = |wanted: &Crl| crls.iter().position(|crl| crl.is_same_object(wanted));
        // `None` within: there is none to be placed.
        let place_of_delta = |wanted: &Option<Crl>| match wanted {
            Some(delta) => place_of(delta).map(Some),
            None => Some(None),
        };
        let place = |relevant: &Relevant| {
            Some(Place {
                crl: place_of(&relevant.crl)?,
                delta: place_of_delta(&relevant.delta)?,
                ahead: place_of_delta(&relevant.ahead)?,
                standing: relevant.standing,
            })
        };
        let places: Vec<Place> = self.relevant.iter().map(place).collect::<Option<_>>()?;
        let is_certain = self.unknown.is_none() && !places.iter().any(|place| place.standing.is_behind);
        (!places.is_empty() && is_certain).then_some(Placed(places))
    }

    /// Who signed those that decide.
    pub(crate) fn signers(&self) -> impl Iterator<Item = IssuerId> {
        self.relevant.iter().map(|relevant| relevant.standing.signer)
    }
}

/// Which CRLs of some list decide over a certificate: holds their places and none of them, so that a list that was
/// superseded can go.
pub(crate) struct Placed(Vec<Place>);

struct Place {
    crl: usize,
    delta: Option<usize>,
    ahead: Option<usize>,
    standing: Standing,
}

impl Placed {
    /// The look-up itself, as [`Deciding::status`] has it. `crls` is the list in which they have their places.
    pub(crate) fn status(
        &self,
        crls: &[Crl],
        certificate: &Certificate,
        overdue: Time,
        found: &mut dyn FnMut(Finding<'_>),
    ) -> Status {
        let mut answer = Answer::new(found, None);
        for place in &self.0 {
            let at_place = |place: Option<usize>| place.and_then(|place| crls.get(place));
            let deltas = Deltas { fitting: at_place(place.delta), ahead: at_place(place.ahead) };
            let all_there = deltas.fitting.is_some() == place.delta.is_some()
                && deltas.ahead.is_some() == place.ahead.is_some();
            match crls.get(place.crl) {
                Some(crl) if all_there => {
                    answer.look_into(certificate, crl, deltas, &place.standing, overdue);
                }
                // Another list than the one in which they were placed says nothing.
                _ => return Status::Unknown(Unknown::NoCrl),
            }
        }
        answer.conclude()
    }
}

/// The deltas of a complete CRL.
#[derive(Clone, Copy)]
struct Deltas<'c> {
    fitting: Option<&'c Crl>,
    /// One that is based on more than the complete CRL has.
    ahead: Option<&'c Crl>,
}

struct Answer<'f> {
    found: &'f mut dyn FnMut(Finding<'_>),
    revoked: bool,
    covered: Reasons,
    unknown: Option<Unknown>,
}

impl<'f> Answer<'f> {
    fn new(found: &'f mut dyn FnMut(Finding<'_>), unknown: Option<Unknown>) -> Answer<'f> {
        Answer { found, revoked: false, covered: Reasons::NONE, unknown }
    }

    fn look_into(
        &mut self,
        certificate: &Certificate,
        crl: &Crl,
        deltas: Deltas<'_>,
        standing: &Standing,
        overdue: Time,
    ) {
        let told_ahead = deltas.ahead.filter(|ahead| {
            find(certificate, ahead).is_some_and(|entry| entry.reason() != Reason::RemoveFromCrl)
        });
        let delta = told_ahead.or(deltas.fitting);
        let newest = delta.unwrap_or(crl);
        let current = newest.next_update().is_some_and(|next| overdue <= next);
        let known = crl.usable().is_ok() && delta.is_none_or(|delta| delta.usable().is_ok());
        let entry = entry_in(certificate, crl, delta);
        let revocation = entry.map(|entry| Revocation {
            reason: entry.reason(),
            date: entry.date(),
            invalid_since: entry.invalidity_date(),
        });
        match revocation {
            Some(revocation) if current || revocation.reason != Reason::CertificateHold => {
                self.revoked = true
            }
            _ if !known => self.is_unknown(Unknown::UnknownCriticalExtension),
            _ if !current => self.is_unknown(Unknown::Stale),
            _ if standing.is_behind => self.is_unknown(Unknown::Lost),
            _ if deltas.ahead.is_some() => self.is_unknown(Unknown::BaseMissing),
            // A current hold is a revocation, judged above.
            _ => self.covered = self.covered.or(standing.reasons),
        }
        let Standing { signer, scope, .. } = *standing;
        (self.found)(Finding { certificate: 0, crl, delta, signer, scope, revocation });
    }

    fn is_unknown(&mut self, why: Unknown) {
        self.unknown = self.unknown.max(Some(why));
    }

    fn conclude(self) -> Status {
        if self.revoked {
            Status::Revoked
        } else if self.covered.contains(Reasons::ALL) {
            Status::Good
        } else if self.covered != Reasons::NONE {
            Status::Unknown(Unknown::ReasonsMissing)
        } else {
            Status::Unknown(self.unknown.unwrap_or(Unknown::NoCrl))
        }
    }
}

/// The entry by which the certificate is revoked: the delta's if it has one, where removeFromCRL releases
/// (6.3.3 (i) to (k)), else the complete CRL's.
fn entry_in<'c>(certificate: &Certificate, crl: &'c Crl, delta: Option<&'c Crl>) -> Option<Entry<'c>> {
    match delta.and_then(|delta| find(certificate, delta)) {
        Some(entry) if entry.reason() == Reason::RemoveFromCrl => None,
        Some(entry) => Some(entry),
        None => find(certificate, crl),
    }
}

fn find<'c>(certificate: &Certificate, crl: &'c Crl) -> Option<Entry<'c>> {
    match crl.distribution_point() {
        Some(point) if point.indirect => crl.find_issued_by(certificate.issuer(), certificate.serial()),
        _ => crl.find(certificate.serial()),
    }
}
