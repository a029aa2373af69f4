//! [`Budget`]: what one question may cost, counted.
//!
//! Path building is exponential in the worst case and an adversary chooses the certificates, so every kind of work
//! has a named limit for the question as a whole, nested paths of CRL issuers included. An exhausted budget
//! makes the verdict indeterminate; it never turns into a statement about the certificate.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The limits of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Signatures verified, of certificates and CRLs together; 100 is what webpki allows too, and the longest real
    /// paths with all their CRLs take about twenty.
    pub signatures: u32,
    /// Certificates and CRLs looked at as possible parts of an answer.
    pub candidates: u32,
    /// Certificates between target and anchor. Real paths have up to six; RFC 4158 speaks of bridges with ten.
    pub depth: usize,
    /// Comparisons of a name with a constraint or of a certificate with a CRL's scope, and edges of policy graphs.
    pub comparisons: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { signatures: 100, candidates: 4_096, depth: 32, comparisons: 1 << 20 }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// [`Limits::signatures`].
    Signatures,
    /// [`Limits::candidates`].
    Candidates,
    /// [`Limits::comparisons`].
    Comparisons,
    /// The caller's deadline.
    Time,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Resource::Signatures => "signatures",
            Resource::Candidates => "candidates",
            Resource::Comparisons => "comparisons",
            Resource::Time => "time",
        })
    }
}

/// How much was done for a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Signatures verified, of certificates that were not remembered and of all CRLs: those remember for themselves.
    pub signatures: u32,
    /// Certificates and CRLs looked at.
    pub candidates: u32,
    /// Comparisons of names with constraints and of certificates with scopes, and edges of policy graphs.
    pub comparisons: u32,
}

/// The budget does not allow more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of {0} is exhausted")]
pub struct Exhausted(pub Resource);

/// Counts the work of one question against its limits.
pub(crate) struct Budget<'a> {
    limits: Limits,
    work: Work,
    expired: Option<&'a dyn Fn() -> bool>,
}

/// Comparisons between two looks at the caller's deadline.
const COMPARISONS_PER_LOOK: u32 = 4_096;

impl<'a> Budget<'a> {
    /// `expired` tells whether the caller's deadline has passed; this crate has no clock.
    pub(crate) fn new(limits: Limits, expired: Option<&'a dyn Fn() -> bool>) -> Budget<'a> {
        Budget { limits, work: Work::default(), expired }
    }

    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// Before a signature is verified.
    pub(crate) fn signature(&mut self) -> Result<(), Exhausted> {
        self.look()?;
        charge(&mut self.work.signatures, 1, self.limits.signatures, Resource::Signatures)
    }

    /// Before a certificate or CRL is considered.
    pub(crate) fn candidate(&mut self) -> Result<(), Exhausted> {
        self.look()?;
        charge(&mut self.work.candidates, 1, self.limits.candidates, Resource::Candidates)
    }

    /// Before `count` comparisons.
    pub(crate) fn comparisons(&mut self, count: usize) -> Result<(), Exhausted> {
        let before = self.work.comparisons / COMPARISONS_PER_LOOK;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        charge(&mut self.work.comparisons, count, self.limits.comparisons, Resource::Comparisons)?;
        if self.work.comparisons / COMPARISONS_PER_LOOK > before { self.look() } else { Ok(()) }
    }

    fn look(&self) -> Result<(), Exhausted> {
        match self.expired {
            Some(expired) if expired() => Err(Exhausted(Resource::Time)),
            _ => Ok(()),
        }
    }
}

fn charge(spent: &mut u32, count: u32, limit: u32, resource: Resource) -> Result<(), Exhausted> {
    match spent.checked_add(count) {
        Some(sum) if sum <= limit => {
            *spent = sum;
            Ok(())
        }
        _ => Err(Exhausted(resource)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_what_may_be_spent_and_no_more() {
        let mut budget = Budget::new(Limits { signatures: 2, comparisons: 10, ..Limits::default() }, None);
        assert_eq!([(); 3].map(|()| budget.signature().is_ok()), [true, true, false]);
        assert_eq!(budget.comparisons(11), Err(Exhausted(Resource::Comparisons)));
        assert_eq!(budget.comparisons(10), Ok(()));
        assert_eq!(budget.comparisons(usize::MAX), Err(Exhausted(Resource::Comparisons)));
        assert_eq!(budget.work(), Work { signatures: 2, candidates: 0, comparisons: 10 });
    }

    #[test]
    fn the_callers_deadline_ends_the_work() {
        let mut budget = Budget::new(Limits::default(), Some(&|| true));
        assert_eq!(budget.candidate(), Err(Exhausted(Resource::Time)));
        assert_eq!(budget.comparisons(COMPARISONS_PER_LOOK as usize), Err(Exhausted(Resource::Time)));
    }
}
