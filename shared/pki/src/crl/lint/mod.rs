//! What is wrong with a CRL although it can be read: rules of RFC 5280 and of the CA/Browser Forum, each with the
//! sentence that it comes from.
//!
//! Begin with [`lint`]. [`Rule`] is the list of rules; `single` looks at the list alone, `entries` at each entry in
//! one pass, `company` at the list beside its issuer's certificate, its predecessor, and the certificates that
//! lead to it. An unsorted list breaks no rule.

mod company;
mod entries;
mod rule;
mod single;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use rule::{Rule, Severity};

use super::Crl;
use crate::certificate::Certificate;

/// Whose rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// RFC 5280.
    #[default]
    Rfc5280,
    /// RFC 5280, and the CA/Browser Forum's Baseline Requirements for TLS server certificates, version 2.1.
    BaselineRequirements,
}

/// What the list is seen beside. The more is given, the more can be found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Company<'a> {
    /// The certificate of the key that signed.
    pub issuer: Option<&'a Certificate>,
    /// The CRL of the same scope and kind that was issued before.
    pub previous: Option<&'a Crl>,
    /// Certificates for which the list is meant to answer.
    pub covered: &'a [Certificate],
}

/// A rule that is broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// Where the rule stands.
    pub citation: &'static str,
    /// What the rule says.
    pub demand: &'static str,
    /// What was found instead; empty if the rule says it all.
    pub detail: String,
}

/// Everything that is wrong with `crl`, the list itself first. Costs a look-up per entry.
pub fn lint(crl: &Crl, profile: Profile, company: &Company<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    single::check(crl, profile, &mut findings);
    entries::check(crl, profile, &mut findings);
    company::check(crl, company, &mut findings);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn report(&mut self, rule: Rule, detail: impl Into<String>) {
        let (severity, citation, demand) = rule.text();
        self.0.push(Finding { rule, severity, citation, demand, detail: detail.into() });
    }

    fn report_if(&mut self, broken: bool, rule: Rule) {
        if broken {
            self.report(rule, "");
        }
    }
}
