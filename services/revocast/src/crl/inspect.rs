//! `revocast crl inspect`.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use revocast_pki::asn1::{Oid, Time};
use revocast_pki::crl::{Crl, Entry, IssuingDistributionPoint, Reason, Serial, Version};
use revocast_pki::distribution_point::{DistributionPointName, DistributionPoints};
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, Digest};
use serde::Serialize;

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CRL: DER or PEM.
    #[arg(value_name = "FILE|URL")]
    crl: PathBuf,
    /// Whether this serial number (hex) is listed, and how; may be given several times.
    #[arg(long, value_name = "HEX")]
    serial: Vec<Serial>,
    /// List every entry.
    #[arg(long)]
    entries: bool,
    #[command(flatten)]
    reach: files::Reach,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let crl = files::crl(&args.crl, &args.reach, output)?;
    let report = Report {
        description: Description::of(&crl),
        serials: args.serial.iter().map(|serial| Answer::of(&crl, serial)).collect(),
        entries: args.entries.then(|| crl.iter().map(|entry| Listed::of(&crl, &entry)).collect()),
    };
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    description: Description,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    serials: Vec<Answer>,
    #[serde(rename = "listed", skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Listed>>,
}

/// What stands around the entries.
#[derive(Serialize)]
pub(super) struct Description {
    issuer: String,
    version: u8,
    kind: CrlKind,
    crl_number: Option<CrlNumber>,
    base_crl_number: Option<CrlNumber>,
    this_update: Time,
    next_update: Option<Time>,
    entries: usize,
    size_bytes: usize,
    index_bytes: usize,
    signature_algorithm: String,
    authority_key_id: Option<String>,
    distribution_point: Option<Point>,
    freshest_crl: Vec<String>,
    extensions: Vec<ExtensionLine>,
    crl_id: CrlId,
    sha256: Digest,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_because: Option<String>,
}

#[derive(Serialize)]
struct ExtensionLine {
    oid: String,
    critical: bool,
}

#[derive(Serialize)]
struct Point {
    names: Vec<String>,
    only_user_certs: bool,
    only_ca_certs: bool,
    only_attribute_certs: bool,
    only_some_reasons: Option<Vec<Reason>>,
    indirect: bool,
}

impl Description {
    pub(super) fn of(crl: &Crl) -> Description {
        let header = crl.header();
        let unusable = crl.usable().err().map(|why| why.to_string());
        Description {
            issuer: crl.issuer().to_string(),
            version: if header.version() == Version::V1 { 1 } else { 2 },
            kind: crl.kind(),
            crl_number: crl.number(),
            base_crl_number: crl.base_number(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            entries: crl.entries(),
            size_bytes: crl.der().len(),
            index_bytes: crl.index_size(),
            signature_algorithm: algorithm(header.signature_algorithm()),
            authority_key_id: crl.authority_key_id().and_then(|id| id.key_id).map(|id| HEXLOWER.encode(id)),
            distribution_point: crl.distribution_point().map(Point::of),
            freshest_crl: crl.freshest_crl().map(places).unwrap_or_default(),
            extensions: header
                .extensions()
                .map(|extension| ExtensionLine {
                    oid: extension.oid.to_string(),
                    critical: extension.critical,
                })
                .collect(),
            crl_id: crl.id(),
            sha256: crl.digest(),
            usable: unusable.is_none(),
            unusable_because: unusable,
        }
    }

    fn rows(&self) -> Vec<[String; 2]> {
        let optional = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let mut rows = vec![
            ["issuer".into(), self.issuer.clone()],
            ["kind".into(), format!("{}, version {}", self.kind, self.version)],
            ["number".into(), optional(self.crl_number.map(|number| number.to_string()))],
            ["base number".into(), optional(self.base_crl_number.map(|number| number.to_string()))],
            ["this update".into(), self.this_update.to_string()],
            ["next update".into(), optional(self.next_update.map(|time| time.to_string()))],
            ["entries".into(), self.entries.to_string()],
            ["size".into(), format!("{} bytes, index {} bytes", self.size_bytes, self.index_bytes)],
            ["signature algorithm".into(), self.signature_algorithm.clone()],
            ["authority key id".into(), optional(self.authority_key_id.clone())],
            ["distribution point".into(), optional(self.distribution_point.as_ref().map(Point::text))],
            [
                "freshest CRL".into(),
                optional((!self.freshest_crl.is_empty()).then(|| self.freshest_crl.join(" "))),
            ],
            ["extensions".into(), optional((!self.extensions.is_empty()).then(|| self.extension_list()))],
            ["CRL id".into(), self.crl_id.to_string()],
            ["SHA-256".into(), self.sha256.to_string()],
        ];
        if let Some(why) = &self.unusable_because {
            rows.push(["unusable".into(), why.clone()]);
        }
        rows
    }

    fn extension_list(&self) -> String {
        let shown =
            |line: &ExtensionLine| format!("{}{}", line.oid, if line.critical { " (critical)" } else { "" });
        self.extensions.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

impl Point {
    fn of(point: &IssuingDistributionPoint) -> Point {
        Point {
            names: point.name().map(names).unwrap_or_default(),
            only_user_certs: point.only_user_certs,
            only_ca_certs: point.only_ca_certs,
            only_attribute_certs: point.only_attribute_certs,
            only_some_reasons: point.only_some_reasons.map(|reasons| Reason::in_flags(reasons).collect()),
            indirect: point.indirect,
        }
    }

    fn text(&self) -> String {
        let flags = [
            (self.only_user_certs, "user certificates only"),
            (self.only_ca_certs, "CA certificates only"),
            (self.only_attribute_certs, "attribute certificates only"),
            (self.indirect, "indirect"),
        ];
        let mut parts = self.names.clone();
        parts.extend(flags.iter().filter(|(set, _)| *set).map(|(_, text)| (*text).to_owned()));
        parts.extend(self.only_some_reasons.iter().map(|reasons| {
            format!("only {}", reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(", "))
        }));
        parts.join("; ")
    }
}

fn names(name: DistributionPointName<'_>) -> Vec<String> {
    match name {
        DistributionPointName::Full(names) => names.map(|name| name.to_string()).collect(),
        DistributionPointName::Relative(rdn) => vec![format!("relative:#{}", HEXLOWER.encode(rdn))],
    }
}

fn places(points: DistributionPoints<'_>) -> Vec<String> {
    points.filter_map(|point| point.name).flat_map(names).collect()
}

/// The identifier of an AlgorithmIdentifier.
fn algorithm(der: &[u8]) -> String {
    let oid = revocast_pki::asn1::Reader::new(der).sequence().and_then(|mut fields| fields.oid());
    oid.as_ref().map_or_else(|_| String::new(), Oid::to_string)
}

/// An entry.
#[derive(Serialize)]
struct Listed {
    serial: Serial,
    date: Time,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidity_date: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_issuer: Option<String>,
}

impl Listed {
    fn of(crl: &Crl, entry: &Entry<'_>) -> Listed {
        let issuer = entry.certificate_issuer();
        Listed {
            serial: Serial::new(entry.serial()),
            date: entry.date(),
            reason: entry.reason(),
            invalidity_date: entry.invalidity_date(),
            certificate_issuer: (issuer != crl.issuer()).then(|| issuer.to_string()),
        }
    }

    fn row(&self) -> [String; 4] {
        let issuer = self.certificate_issuer.clone().unwrap_or_default();
        [self.serial.to_string(), self.date.to_string(), self.reason.to_string(), issuer]
    }
}

/// Whether a serial is listed.
#[derive(Serialize)]
struct Answer {
    serial: Serial,
    listed: Option<Listed>,
}

impl Answer {
    fn of(crl: &Crl, serial: &Serial) -> Answer {
        let entry = crl.find(serial.octets());
        Answer { serial: serial.clone(), listed: entry.map(|entry| Listed::of(crl, &entry)) }
    }
}

impl Report {
    fn text(&self) -> String {
        let mut parts = vec![table(["CRL", ""], self.description.rows())];
        parts.extend(self.serials.iter().map(|answer| match &answer.listed {
            Some(entry) => format!("serial {}: listed since {}, {}", answer.serial, entry.date, entry.reason),
            None => format!("serial {}: not listed", answer.serial),
        }));
        if let Some(entries) = &self.entries {
            parts.push(table(["SERIAL", "REVOKED", "REASON", "ISSUER"], entries.iter().map(Listed::row)));
        }
        parts.join("\n\n")
    }
}
