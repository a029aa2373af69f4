//! CRLs that others made say to us what they say to OpenSSL. The vectors and their origin stand in `vectors/crls`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use data_encoding::HEXUPPER;
use revocast_pki::asn1::{Reader, Time};
use revocast_pki::certificate::Extension;
use revocast_pki::crl::{Crl, Entry, Reason, Version};
use revocast_pki::identity::Digest;

/// OpenSSL reads these; we refuse them, and why.
const REFUSED: [(&str, &str); 7] = [
    ("cryptography-crl_bad_version", "version field is 2"),
    ("cryptography-crl_dup_entry_ext", "2.5.29.21 twice"),
    ("cryptography-crl_inner_outer_mismatch", "two different signature algorithms"),
    ("cryptography-crl_inval_cert_issuer_entry_ext", "the input ends inside a value"),
    ("cryptography-crl_inval_date_fractional_seconds", "not as RFC 5280 4.1.2.5 asks"),
    ("cryptography-crl_invalid_time", "not as RFC 5280 4.1.2.5 asks"),
    ("pkix-revocation-crl-malformed-idp", "the extension 2.5.29.28"),
];

#[test]
fn real_crls_say_to_us_what_they_say_to_openssl() {
    let told = told_by_openssl();
    let mut refused = 0;
    for (name, der) in objects() {
        match (Crl::decode(der), REFUSED.iter().find(|(refused, _)| *refused == name)) {
            (Ok(crl), None) => assert_same(&name, &told_by_us(&crl), &told[&name]),
            (Err(error), Some((_, why))) => {
                assert!(error.to_string().contains(why), "{name}: {error}");
                refused += 1;
            }
            (outcome, _) => panic!("{name}: {outcome:?}"),
        }
    }
    assert_eq!((told.len(), refused), (34, REFUSED.len()));
}

fn assert_same(name: &str, ours: &[String], theirs: &[String]) {
    for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours, theirs, "{name}, line {number}");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}");
}

fn folder() -> PathBuf {
    revocast_tests::root().join("tests/vectors/crls")
}

fn objects() -> Vec<(String, Bytes)> {
    let all = Bytes::from(std::fs::read(folder().join("objects.der")).unwrap());
    let sums = std::fs::read_to_string(folder().join("SHA256SUMS")).unwrap();
    let mut rest = Reader::new(&all);
    let mut objects = Vec::new();
    for line in sums.lines() {
        let (hash, name) = line.split_once("  ").unwrap();
        let object = all.slice_ref(rest.any().unwrap().raw);
        assert_eq!(Digest::of(&object).to_string(), hash, "{name}");
        objects.push((name.to_owned(), object));
    }
    rest.finish().unwrap();
    objects
}

/// OpenSSL's words by CRL, without the values of extensions whose layout is OpenSSL's own.
fn told_by_openssl() -> HashMap<String, Vec<String>> {
    let text = std::fs::read_to_string(folder().join("openssl.txt")).unwrap();
    let mut told = HashMap::new();
    for block in text.split("== ").skip(1) {
        let mut lines = block.lines().map(str::trim_end);
        let name = lines.next().unwrap().to_owned();
        let mut heading = "";
        let kept = lines.filter(|line| {
            let is_value = line.starts_with("             ") || !line.starts_with(' ');
            if !is_value {
                heading = line.trim();
            }
            let shown = ["X509v3 CRL Reason Code:", "Invalidity Date:"]
                .contains(&heading.trim_end_matches(" critical"));
            let is_list = line.ends_with("Revoked Certificates:") || *line == "No Revoked Certificates.";
            is_list
                || if is_value { shown && line.starts_with(' ') } else { !heading.starts_with("Signature") }
        });
        told.insert(name, kept.map(str::to_owned).collect());
    }
    told
}

/// The same in OpenSSL's manner.
fn told_by_us(crl: &Crl) -> Vec<String> {
    let version = if crl.header().version() == Version::V1 { "1 (0x0)" } else { "2 (0x1)" };
    let mut lines = vec![
        format!("        Version {version}"),
        format!("        Issuer: {}", crl.issuer()),
        format!("        Last Update: {}", date(crl.this_update())),
        format!("        Next Update: {}", crl.next_update().map_or("NONE".into(), date)),
    ];
    let mut extensions = crl.header().extensions().peekable();
    if extensions.peek().is_some() {
        lines.push("        CRL extensions:".into());
    }
    lines.extend(extensions.map(|extension| heading(&extension)));
    if crl.entries() == 0 {
        lines.push("No Revoked Certificates.".into());
    } else {
        lines.push("Revoked Certificates:".into());
    }
    crl.iter().for_each(|entry| tell_entry(&entry, &mut lines));
    lines
}

fn tell_entry(entry: &Entry<'_>, lines: &mut Vec<String>) {
    lines.push(format!("    Serial Number: {}", serial(entry.serial())));
    lines.push(format!("        Revocation Date: {}", date(entry.date())));
    for (i, extension) in entry.extensions().enumerate() {
        if i == 0 {
            lines.push("        CRL entry extensions:".into());
        }
        lines.push(heading(&extension));
        match extension.oid.to_string().as_str() {
            "2.5.29.21" => lines.push(format!("                {}", reason(entry.stated_reason()))),
            "2.5.29.24" => {
                lines.push(format!(
                    "                {}",
                    entry.invalidity_date().map(date).unwrap_or_default()
                ));
            }
            _ => {}
        }
    }
}

fn heading(extension: &Extension<'_>) -> String {
    let oid = extension.oid.to_string();
    let name = match oid.as_str() {
        "1.3.6.1.5.5.7.1.1" => "Authority Information Access",
        "2.5.29.18" => "X509v3 Issuer Alternative Name",
        "2.5.29.20" => "X509v3 CRL Number",
        "2.5.29.21" => "X509v3 CRL Reason Code",
        "2.5.29.24" => "Invalidity Date",
        "2.5.29.27" => "X509v3 Delta CRL Indicator",
        "2.5.29.28" => "X509v3 Issuing Distribution Point",
        "2.5.29.29" => "X509v3 Certificate Issuer",
        "2.5.29.35" => "X509v3 Authority Key Identifier",
        other => other,
    };
    format!("            {name}:{}", if extension.critical { " critical" } else { "" })
}

fn serial(octets: &[u8]) -> String {
    HEXUPPER.encode(octets.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(octets))
}

fn date(time: Time) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = time.civil();
    let month = MONTHS[usize::from(month) - 1];
    format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02} {year} GMT")
}

fn reason(reason: Option<Reason>) -> &'static str {
    // OpenSSL prints the number of a reason that is not assigned; only this one occurs.
    let Some(reason) = reason else { return "12" };
    match reason {
        Reason::Unspecified => "Unspecified",
        Reason::KeyCompromise => "Key Compromise",
        Reason::CaCompromise => "CA Compromise",
        Reason::AffiliationChanged => "Affiliation Changed",
        Reason::Superseded => "Superseded",
        Reason::CessationOfOperation => "Cessation Of Operation",
        Reason::CertificateHold => "Certificate Hold",
        Reason::RemoveFromCrl => "Remove From CRL",
        Reason::PrivilegeWithdrawn => "Privilege Withdrawn",
        Reason::AaCompromise => "AA Compromise",
    }
}
