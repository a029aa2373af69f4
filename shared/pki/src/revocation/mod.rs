//! Is a certificate revoked (RFC 5280 section 6.3)?
//!
//! Begin with [`status`]. Of all CRLs that bear the name of the certificate's issuer, or of a CRL issuer that one of its
//! distribution points names, those are *relevant* that cover it (`coverage`) and whose signature verifies by someone
//! entitled ([`Signers`]). Within each scope the newest decide (`deciding`), brought up to date by a delta where one fits.
//!
//! Two departures from the letter of 6.3.3, both to the safe side and both so that the answer does not depend on the order
//! in which CRLs are held. All relevant CRLs are looked into, not only those of the first distribution point that
//! covers every reason: revoked by any is revoked. And a CRL that cannot be relied upon for a good answer (past its
//! nextUpdate, or with a critical extension that is not known) still convicts what it lists, except what it only held.

mod coverage;
mod deciding;
mod source;
#[cfg(test)]
mod tests;

use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::crl::{Crl, Entry, Reason};
use crate::distribution_point::Reasons;
use crate::identity::{CrlKind, IssuerId};
use crate::path::Exhausted;
use crate::verdict::{Evidence, Revocation, Unknown};
use coverage::Coverage;
pub(crate) use coverage::crl_issuers;

pub use source::{CrlSet, CrlSource};

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

impl Inspected {
    /// Where the work was not done to its end.
    pub(crate) fn unknown() -> Inspected {
        Inspected { status: Status::Unknown(Unknown::NoSigner), findings: Vec::new() }
    }
}

/// Finds out who signed a CRL.
pub(crate) trait Signers {
    /// Who signed `crl`, if that was someone entitled to: RFC 5280 6.3.3 (f), (g).
    fn signer_of(&mut self, crl: &Crl) -> Result<Option<IssuerId>, Exhausted>;

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
    signer: IssuerId,
    /// The reasons for which it speaks of the certificate.
    reasons: Reasons,
}

/// The CRLs that decide over a certificate, whatever they say.
#[derive(Clone, Default)]
pub(crate) struct Deciding {
    relevant: Vec<Relevant>,
    /// What was wrong with a CRL that covers the certificate and yet does not decide.
    unknown: Option<Unknown>,
}

/// The status of `certificate` at `at`.
pub(crate) fn status(
    certificate: &Certificate,
    crls: &dyn CrlSource,
    at: Time,
    signers: &mut dyn Signers,
) -> Result<Inspected, Exhausted> {
    let mut deciding = Deciding::default();
    deciding.add(certificate, &crls.by_issuer(certificate.issuer()), at, signers)?;
    for name in crl_issuers(certificate) {
        deciding.add(certificate, &crls.by_issuer(&name), at, signers)?;
    }
    Ok(deciding.status(certificate, at))
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
                Some(signer) => complete.push(Relevant { crl: crl.clone(), delta: None, signer, reasons }),
                None => self.unknown = Some(Unknown::NoSigner),
            }
        }
        for mut relevant in deciding::of(complete) {
            relevant.delta = deciding::delta_for(&relevant, crls, at, signers)?;
            self.relevant.push(relevant);
        }
        Ok(())
    }

    /// What they say of the certificate at `at`: the look-up itself.
    pub(crate) fn status(&self, certificate: &Certificate, at: Time) -> Inspected {
        let mut answer = Answer { unknown: self.unknown, ..Answer::default() };
        answer.findings.reserve_exact(self.relevant.len());
        self.relevant.iter().for_each(|relevant| answer.look_into(certificate, relevant, at));
        answer.conclude()
    }

    /// Who signed those that decide.
    pub(crate) fn signers(&self) -> impl Iterator<Item = IssuerId> {
        self.relevant.iter().map(|relevant| relevant.signer)
    }
}

#[derive(Default)]
struct Answer {
    findings: Vec<Evidence>,
    revoked: bool,
    covered: Reasons,
    unknown: Option<Unknown>,
}

impl Answer {
    fn look_into(&mut self, certificate: &Certificate, relevant: &Relevant, at: Time) {
        let Relevant { crl, delta, signer, reasons } = relevant;
        let newest = delta.as_ref().unwrap_or(crl);
        let current = newest.next_update().is_some_and(|next| at <= next);
        let known = crl.usable().is_ok() && delta.as_ref().is_none_or(|delta| delta.usable().is_ok());
        let entry = entry_in(certificate, crl, delta.as_ref());
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
            // A current hold is a revocation, judged above.
            _ => self.covered = self.covered.or(*reasons),
        }
        let (crl, delta) = (crl.clone(), delta.clone());
        self.findings.push(Evidence { certificate: 0, crl, delta, signer: *signer, revocation });
    }

    fn is_unknown(&mut self, why: Unknown) {
        self.unknown = self.unknown.max(Some(why));
    }

    fn conclude(self) -> Inspected {
        let status = if self.revoked {
            Status::Revoked
        } else if self.covered.contains(Reasons::ALL) {
            Status::Good
        } else if self.covered != Reasons::NONE {
            Status::Unknown(Unknown::ReasonsMissing)
        } else {
            Status::Unknown(self.unknown.unwrap_or(Unknown::NoCrl))
        };
        Inspected { status, findings: self.findings }
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
