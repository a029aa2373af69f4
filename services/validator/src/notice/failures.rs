//! [`Failures`]: what went wrong on the way to a CRL, and what becomes of its notice then: owed, or put aside.

use revocast_messages::Source;
use tracing::warn;

use super::fetch::Unobtained;
use super::owed::{Missing, Needs};
use super::verify::Unverified;
use super::walk::Outcome;
use crate::polling::urls;

/// What went wrong on the way to a CRL's bytes.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) words: Vec<String>,
    /// The signer is not known yet.
    pub(super) unsigned: bool,
    /// A source may have it later.
    passing: bool,
    /// The notice, or the store, brought bytes that do not count.
    lies: bool,
    /// Another validator is fetching it.
    leased: bool,
    /// A repository shows something else. That is no lie of the notice's: it may not show the new CRL yet.
    unshown: bool,
}

impl Failures {
    /// A source did not give anything.
    pub(super) fn unobtained(&mut self, source: Source, error: &Unobtained) {
        self.words.push(format!("{source:?}: {error}"));
        self.passing |= error.is_passing();
        self.leased |= matches!(error, Unobtained::Leased);
        self.unshown |= error.is_something_else();
    }

    /// What a source gave does not count as what was announced.
    pub(super) fn unverified(&mut self, source: Source, error: &Unverified) {
        self.words.push(format!("{source:?}: {error}"));
        match (error.is_passing(), source) {
            (true, _) => self.unsigned = true,
            (false, Source::Repository) => self.unshown = true,
            (false, _) => self.lies = true,
        }
    }

    /// A notice that brought something that does not count is never retried: an honest publisher tells it again.
    pub(super) fn outcome(self, told_on: &str) -> Outcome {
        let why = if self.words.is_empty() {
            "nothing says where the CRL is".into()
        } else {
            self.words.join("; ")
        };
        warn!(subject = told_on, %why, "a notice was not applied");
        if self.unsigned {
            Outcome::Owed(Missing { why, needs: Needs::Signer })
        } else if self.lies {
            Outcome::Aside { word: "unverifiable", why }
        } else if self.unshown {
            Outcome::Owed(Missing { why, needs: Needs::Showing })
        } else if self.leased {
            Outcome::Owed(Missing { why, needs: Needs::Turn })
        } else if self.passing {
            Outcome::Owed(Missing { why, needs: Needs::Source })
        } else {
            Outcome::Aside { word: "unverifiable", why }
        }
    }
}

pub(super) fn stopping() -> Outcome {
    Outcome::Owed(Missing { why: "stopping".into(), needs: Needs::Source })
}

/// The rest of the plan leads to a repository.
pub(super) fn left_to(url: &str) -> Outcome {
    let needs = Needs::Repository(urls::host(url));
    Outcome::Owed(Missing { why: format!("to be fetched from {url}"), needs })
}

#[cfg(test)]
mod tests {
    use revocast_bus::BusError;

    use super::*;

    fn needs(failures: Failures) -> Option<Needs> {
        match failures.outcome("s") {
            Outcome::Owed(missing) => Some(missing.needs),
            _ => None,
        }
    }

    fn failed(verified: &[Source]) -> Failures {
        let mut failures = Failures::default();
        failures.unobtained(Source::Object, &BusError::Absent { what: "object".into() }.into());
        verified.iter().for_each(|source| failures.unverified(*source, &Unverified::Other("identity")));
        failures
    }

    #[test]
    fn what_a_repository_shows_instead_is_waited_out_and_what_a_notice_brings_instead_is_not() {
        assert_eq!(needs(failed(&[])), Some(Needs::Source));
        assert_eq!(needs(failed(&[Source::Repository])), Some(Needs::Showing));
        assert_eq!(needs(failed(&[Source::Inline])), None);
        assert_eq!(needs(failed(&[Source::Inline, Source::Repository])), None);
    }

    #[test]
    fn what_another_validator_was_shown_instead_counts_as_if_one_had_asked_oneself() {
        let mut failures = failed(&[]);
        failures.unobtained(Source::Repository, &Unobtained::Unshown);
        assert_eq!(needs(failures), Some(Needs::Showing));
    }
}
