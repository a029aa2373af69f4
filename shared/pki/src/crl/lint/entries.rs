//! Rules about entries, in one pass over the list. Each broken rule is told once, with how often and where first.

use std::collections::BTreeMap;

use super::single::is_well_formed;
use super::{Findings, Profile, Rule};
use crate::asn1::{Reader, Tag, minimal_integer};
use crate::crl::{Crl, Entry, Reason, Serial, Version};
use crate::identity::CrlKind;
use crate::oids;

/// Serials of more octets are against RFC 5280 4.1.2.2.
const MAX_SERIAL: usize = 20;

pub(super) fn check(crl: &Crl, profile: Profile, findings: &mut Findings) {
    let mut tally = Tally::default();
    for entry in crl.iter() {
        check_serial(crl, &entry, &mut tally);
        check_dates(crl, &entry, &mut tally);
        check_extensions(crl, profile, &entry, &mut tally);
    }
    for (rule, (count, first)) in tally.0 {
        let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        findings.report(rule, format!("serial {first}{more}"));
    }
}

/// How often each rule was broken, and by which serial first.
#[derive(Default)]
struct Tally(BTreeMap<Rule, (usize, Serial)>);

impl Tally {
    fn count_if(&mut self, broken: bool, rule: Rule, entry: &Entry<'_>) {
        if broken {
            self.0.entry(rule).or_insert_with(|| (0, Serial::new(entry.serial()))).0 += 1;
        }
    }
}

fn check_serial(crl: &Crl, entry: &Entry<'_>, tally: &mut Tally) {
    let serial = entry.serial();
    let negative = serial.first().is_none_or(|first| *first >= 0x80);
    let positive = !negative && serial.iter().any(|octet| *octet != 0);
    let minimal = minimal_integer(serial).len() == serial.len();
    tally.count_if(!positive || !minimal || serial.len() > MAX_SERIAL, Rule::SerialForm, entry);
    let answer = crl.find_issued_by(entry.certificate_issuer(), serial);
    let other = answer.is_some_and(|answer| answer.offset() != entry.offset());
    tally.count_if(other, Rule::DuplicateSerial, entry);
}

fn check_dates(crl: &Crl, entry: &Entry<'_>, tally: &mut Tally) {
    let date = entry.date();
    tally.count_if(date > crl.this_update(), Rule::FutureRevocation, entry);
    let mut fields = Reader::new(entry.der()).sequence();
    let tag = fields.as_mut().ok().and_then(|fields| fields.any().ok().and_then(|_| fields.peek()));
    tally.count_if(tag.is_some_and(|tag: Tag| !is_well_formed(tag, date)), Rule::EntryTimeForm, entry);
}

fn check_extensions(crl: &Crl, profile: Profile, entry: &Entry<'_>, tally: &mut Tally) {
    let mut any = false;
    for extension in entry.extensions() {
        any = true;
        let critical = match extension.oid {
            oids::CERTIFICATE_ISSUER => Some(true),
            oids::REASON_CODE | oids::INVALIDITY_DATE => Some(false),
            _ => None,
        };
        tally.count_if(
            critical.is_some_and(|critical| critical != extension.critical),
            Rule::Criticality,
            entry,
        );
        let unassigned = extension.oid == oids::REASON_CODE && entry.stated_reason().is_none();
        tally.count_if(unassigned, Rule::UnassignedReason, entry);
    }
    tally.count_if(any && crl.header().version() == Version::V1, Rule::EntryExtensionsInV1, entry);
    let Some(reason) = entry.stated_reason() else { return };
    tally.count_if(reason == Reason::Unspecified, Rule::UnspecifiedReason, entry);
    let complete = crl.kind() == CrlKind::Complete;
    tally.count_if(complete && reason == Reason::RemoveFromCrl, Rule::RemoveFromComplete, entry);
    let forbidden = matches!(reason, Reason::Unspecified | Reason::CertificateHold);
    tally.count_if(forbidden && profile == Profile::BaselineRequirements, Rule::ForbiddenReason, entry);
}
