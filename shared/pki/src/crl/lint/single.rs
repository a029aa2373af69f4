//! Rules about the list itself.

use super::{Findings, Profile, Rule};
use crate::asn1::{Asn1Error, Reader, Tag, Time};
use crate::certificate::Extension;
use crate::crl::{Crl, IssuingDistributionPoint, Version};
use crate::identity::CrlKind;
use crate::oids;

/// The last second that is written as UTCTime: 2049-12-31T23:59:59Z.
const LAST_UTC_TIME: Time = Time::from_unix(2_524_607_999);

const DAY: i64 = 86_400;

/// The longest life of a list for subscriber certificates.
const SUBSCRIBER_LIFE: i64 = 10 * DAY;

/// The longest life of other lists: 12 months, the longest of which have 366 days.
const CA_LIFE: i64 = 366 * DAY;

pub(super) fn check(crl: &Crl, profile: Profile, findings: &mut Findings) {
    let header = crl.header();
    let has_extensions = header.extensions().next().is_some();
    findings.report_if(header.version() == Version::V1 && has_extensions, Rule::VersionMissing);
    findings.report_if(crl.issuer().is_empty(), Rule::IssuerEmpty);
    findings.report_if(header.has_list() && crl.entries() == 0, Rule::EmptyList);
    check_times(crl, findings);
    check_extensions(crl, findings);
    if let Err(why) = crl.usable() {
        findings.report(Rule::Unusable, why.to_string());
    }
    if profile == Profile::BaselineRequirements {
        check_baseline(crl, findings);
    }
}

/// Whether a time has the form that its year asks for.
pub(super) fn is_well_formed(tag: Tag, time: Time) -> bool {
    (tag == Tag::UTC_TIME) == (time <= LAST_UTC_TIME)
}

fn check_times(crl: &Crl, findings: &mut Findings) {
    match crl.next_update() {
        None => findings.report(Rule::NextUpdateMissing, ""),
        Some(next) if next <= crl.this_update() => {
            findings.report(Rule::NextUpdateEarly, format!("{next} after {}", crl.this_update()));
        }
        Some(_) => {}
    }
    let tags = time_tags(crl.tbs()).unwrap_or_default();
    let times = [Some(crl.this_update()), crl.next_update()];
    let wrong = tags.iter().zip(times.into_iter().flatten()).any(|(tag, time)| !is_well_formed(*tag, time));
    findings.report_if(wrong, Rule::TimeForm);
}

/// The tags of thisUpdate and nextUpdate.
fn time_tags(tbs: &[u8]) -> Result<Vec<Tag>, Asn1Error> {
    let mut fields = Reader::single(tbs, Tag::SEQUENCE)?.reader();
    fields.optional(Tag::INTEGER)?;
    fields.expect(Tag::SEQUENCE)?;
    fields.expect(Tag::SEQUENCE)?;
    let mut tags = Vec::new();
    while let Some(tag @ (Tag::UTC_TIME | Tag::GENERALIZED_TIME)) = fields.peek() {
        fields.any()?;
        tags.push(tag);
    }
    Ok(tags)
}

fn check_extensions(crl: &Crl, findings: &mut Findings) {
    findings.report_if(crl.number().is_none(), Rule::NumberMissing);
    findings.report_if(crl.authority_key_id().and_then(|id| id.key_id).is_none(), Rule::KeyIdMissing);
    for extension in crl.header().extensions() {
        if criticality(&extension).is_some_and(|critical| critical != extension.critical) {
            findings.report(Rule::Criticality, extension.oid.to_string());
        }
        let empty = extension.oid == oids::ISSUING_DISTRIBUTION_POINT && extension.value == [0x30, 0];
        findings.report_if(empty, Rule::EmptyDistributionPoint);
    }
    if crl.kind() == CrlKind::Delta {
        findings.report_if(
            crl.number().is_some_and(|number| Some(number) <= crl.base_number()),
            Rule::DeltaNumber,
        );
        findings.report_if(crl.freshest_crl().is_some(), Rule::DeltaFreshest);
    }
}

/// Whether a known extension of a list must be critical.
fn criticality(extension: &Extension<'_>) -> Option<bool> {
    match extension.oid {
        oids::DELTA_CRL_INDICATOR | oids::ISSUING_DISTRIBUTION_POINT => Some(true),
        oids::CRL_NUMBER
        | oids::AUTHORITY_KEY_ID
        | oids::FRESHEST_CRL
        | oids::AUTHORITY_INFO_ACCESS
        | oids::ISSUER_ALT_NAME => Some(false),
        _ => None,
    }
}

fn check_baseline(crl: &Crl, findings: &mut Findings) {
    let point = crl.distribution_point();
    let only_ca = point.is_some_and(|point| point.only_ca_certs);
    let longest = if only_ca { CA_LIFE } else { SUBSCRIBER_LIFE };
    if let Some(life) = crl.next_update().map(|next| next.since(crl.this_update()))
        && life > longest
    {
        findings.report(Rule::TooLong, format!("{} days", life / DAY));
    }
    let by_reason =
        |point: &IssuingDistributionPoint| point.only_some_reasons.is_some() || point.only_attribute_certs;
    findings.report_if(point.is_some_and(|point| point.indirect), Rule::Indirect);
    findings.report_if(point.is_some_and(by_reason), Rule::PartitionedByReason);
}
