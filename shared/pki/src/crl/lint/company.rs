//! Rules about a list beside its issuer's certificate, its predecessor, and the certificates that lead to it.

use super::{Company, Findings, Rule};
use crate::certificate::{Certificate, KeyUsage};
use crate::crl::{Changes, Crl};
use crate::distribution_point::DistributionPoint;
use crate::identity::CrlKind;

pub(super) fn check(crl: &Crl, company: &Company<'_>, findings: &mut Findings) {
    if let Some(issuer) = company.issuer {
        check_issuer(crl, issuer, findings);
    }
    if let Some(previous) = company.previous {
        check_series(crl, previous, findings);
    }
    for certificate in company.covered {
        check_point(crl, certificate, findings);
    }
}

fn check_issuer(crl: &Crl, issuer: &Certificate, findings: &mut Findings) {
    findings.report_if(crl.issuer() != issuer.subject(), Rule::NotByIssuer);
    let key_id = crl.authority_key_id().and_then(|id| id.key_id);
    let mismatch = key_id.is_some() && issuer.subject_key_id().is_some() && key_id != issuer.subject_key_id();
    findings.report_if(mismatch, Rule::KeyIdMismatch);
    let cannot_sign = issuer.key_usage().is_some_and(|usage| !usage.contains(KeyUsage::CRL_SIGN));
    findings.report_if(cannot_sign, Rule::CrlSignMissing);
}

fn check_series(crl: &Crl, previous: &Crl, findings: &mut Findings) {
    let scope = |crl: &Crl| crl.distribution_point().map(|point| point.normal_form()).unwrap_or_default();
    if crl.issuer() != previous.issuer() || crl.kind() != previous.kind() || scope(crl) != scope(previous) {
        findings.report(Rule::OtherScope, "the CRL before is of another issuer, kind or scope");
        return;
    }
    if crl.tbs() == previous.tbs() {
        return;
    }
    check_order(crl, previous, findings);
    if previous.next_update().is_some_and(|due| due < crl.this_update()) {
        findings.report(Rule::Late, format!("issued at {}", crl.this_update()));
    }
    if crl.kind() == CrlKind::Complete {
        let dropped = Changes::between(previous, crl).dropped;
        if let Some(first) = dropped.first() {
            let detail = format!("{} no longer listed, first serial {}", dropped.len(), first.serial);
            findings.report(Rule::Shrunk, detail);
        }
    }
}

fn check_order(crl: &Crl, previous: &Crl, findings: &mut Findings) {
    if let (Some(number), Some(before)) = (crl.number(), previous.number()) {
        findings.report_if(number == before, Rule::NumberReused);
        if number < before {
            findings.report(Rule::NumberNotGrowing, format!("{number} after {before}"));
        }
    }
    if crl.this_update() < previous.this_update() {
        let detail = format!("{} after {}", crl.this_update(), previous.this_update());
        findings.report(Rule::TimeGoesBack, detail);
    }
    findings.report_if(crl.this_update() == previous.this_update(), Rule::SameSecond);
}

/// A list that names its place answers only for certificates that lead there.
fn check_point(crl: &Crl, certificate: &Certificate, findings: &mut Findings) {
    let Some(stands) = crl.distribution_point().and_then(|point| point.name()) else { return };
    let Some(mut points) = certificate.crl_distribution_points() else { return };
    let leads_here = |point: DistributionPoint<'_>| {
        point.name.is_some_and(|wanted| wanted.meets(certificate.issuer(), &stands, crl.issuer()))
    };
    if !points.any(leads_here) {
        findings.report(Rule::NoMatchingPoint, format!("certificate of {}", certificate.subject()));
    }
}
