//! [`Asked`]: a question as options or as a line of a batch, and how it becomes an answer.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use revocast_pki::asn1::{OidBuf, Time};
use revocast_pki::certificate::Certificate;
use revocast_pki::path::{
    Anchor, Anchors, AskedName, Graph, Limits, Question, Requirements, RevocationMode, Sources, judge,
};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::{AlgorithmPolicy, Memory};
use revocast_pki::verdict::{Outcome, Report};
use serde::{Deserialize, Deserializer, Serialize};

use super::files::Files;
use super::fleet::Carried;

/// Tried paths told under `--all-paths`: as many as anybody reads.
const TOLD: usize = 256;

/// A question. In a batch the keys are the options' names.
#[derive(Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Asked {
    /// Certificates that are believed. Each binds by name, key, validity and its constraints (RFC 5937).
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present_any = ["batch", "validator"])]
    #[serde(deserialize_with = "one_or_many")]
    anchor: Vec<PathBuf>,
    /// Anchors bind by name and key alone.
    #[arg(long)]
    #[serde(alias = "anchor_as_key")]
    anchor_as_key: bool,
    /// The certificate asked about: the first in the file; others in it are taken as untrusted.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    cert: Option<PathBuf>,
    /// Certificates that may lead to an anchor.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    #[serde(deserialize_with = "one_or_many")]
    untrusted: Vec<PathBuf>,
    /// Revocation lists.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    #[serde(deserialize_with = "one_or_many")]
    crl: Vec<PathBuf>,
    /// The instant asked about; now if absent.
    #[arg(long, value_name = "RFC3339")]
    at: Option<Time>,
    /// Policies of which one must hold; any if absent.
    #[arg(long, value_name = "OID")]
    #[serde(deserialize_with = "oids")]
    policy: Vec<OidBuf>,
    /// A policy must hold for the whole path.
    #[arg(long)]
    #[serde(alias = "explicit_policy")]
    explicit_policy: bool,
    /// Policies are not mapped.
    #[arg(long)]
    #[serde(alias = "inhibit_mapping")]
    inhibit_mapping: bool,
    /// anyPolicy stands for no other.
    #[arg(long)]
    #[serde(alias = "inhibit_any_policy")]
    inhibit_any_policy: bool,
    /// The purpose: serverAuth, clientAuth, codeSigning, emailProtection, timeStamping, OCSPSigning, or an OID.
    #[arg(long, value_name = "NAME|OID", value_parser = purpose)]
    #[serde(deserialize_with = "eku")]
    eku: Option<OidBuf>,
    /// The host that the certificate must name.
    #[arg(long, value_name = "NAME", group = "name")]
    dns: Option<String>,
    /// The address that the certificate must name.
    #[arg(long, value_name = "ADDR", group = "name")]
    ip: Option<IpAddr>,
    /// The mailbox that the certificate must name.
    #[arg(long, value_name = "ADDR", group = "name")]
    email: Option<String>,
    /// hard (if absent): each certificate must be known not to be revoked; soft: what is not known passes; none: nobody
    /// asks.
    #[arg(long, value_name = "hard|soft|none")]
    revocation: Option<Revocation>,
    /// default, or legacy: also SHA-1, MD5, RSA from 1024 bits, DSA.
    #[arg(long, value_name = "default|legacy")]
    algorithms: Option<Algorithms>,
    /// At most this many certificates between target and anchor.
    #[arg(long, value_name = "N")]
    #[serde(alias = "max_depth")]
    max_depth: Option<usize>,
    /// Tell all paths that were tried.
    #[arg(long)]
    #[serde(alias = "all_paths")]
    all_paths: bool,
}

impl Asked {
    /// What goes along when a validator is asked, whose policy says the rest.
    pub(super) fn carried(&self) -> Carried<'_> {
        Carried {
            certificate: self.cert.as_deref(),
            untrusted: &self.untrusted,
            dns: self.dns.as_deref(),
            eku: self.eku.as_ref().map(ToString::to_string),
            explain: self.all_paths,
        }
    }

    /// The options that were given and are not [carried](Self::carried).
    pub(super) fn not_carried(&self) -> impl Iterator<Item = &'static str> {
        self.given().filter(|option| !CARRIED.contains(option))
    }

    /// The options that were given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        // Without `..`, so that an option that is added cannot be forgotten here.
        let Asked {
            anchor,
            anchor_as_key,
            cert,
            untrusted,
            crl,
            at,
            policy,
            explicit_policy,
            inhibit_mapping,
            inhibit_any_policy,
            eku,
            dns,
            ip,
            email,
            revocation,
            algorithms,
            max_depth,
            all_paths,
        } = self;
        let options = [
            ("--anchor", !anchor.is_empty()),
            ("--anchor-as-key", *anchor_as_key),
            ("--cert", cert.is_some()),
            ("--untrusted", !untrusted.is_empty()),
            ("--crl", !crl.is_empty()),
            ("--at", at.is_some()),
            ("--policy", !policy.is_empty()),
            ("--explicit-policy", *explicit_policy),
            ("--inhibit-mapping", *inhibit_mapping),
            ("--inhibit-any-policy", *inhibit_any_policy),
            ("--eku", eku.is_some()),
            ("--dns", dns.is_some()),
            ("--ip", ip.is_some()),
            ("--email", email.is_some()),
            ("--revocation", revocation.is_some()),
            ("--algorithms", algorithms.is_some()),
            ("--max-depth", max_depth.is_some()),
            ("--all-paths", *all_paths),
        ];
        options.into_iter().filter_map(|(option, is_given)| is_given.then_some(option))
    }
}

/// The options that [`Asked::carried`] hands on.
const CARRIED: [&str; 5] = ["--cert", "--untrusted", "--eku", "--dns", "--all-paths"];

/// How revocation counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Revocation {
    #[default]
    Hard,
    Soft,
    None,
}

/// Which algorithms count.
#[derive(Clone, Copy, Debug, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Algorithms {
    #[default]
    Default,
    Legacy,
}

/// A verdict as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) report: Report,
    /// What was passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

/// Why a question has no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskedError {
    /// The question itself makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, std::io::Error),
}

impl Asked {
    /// With paths counted from `folder`.
    pub(super) fn relative_to(mut self, folder: &Path) -> Asked {
        let lists = [&mut self.anchor, &mut self.untrusted, &mut self.crl];
        let paths = lists.into_iter().flatten().chain(self.cert.as_mut());
        paths.for_each(|path| *path = folder.join(&*path));
        self
    }

    /// Reads what the question names, and answers it.
    pub(super) fn answer(&self, files: &mut Files, memory: &Memory, now: Time) -> Result<Answer, AskedError> {
        let at = self.at.unwrap_or(now);
        let name = self.name()?;
        let Some(cert) = &self.cert else { return Err(usage("a question without a certificate (cert)")) };
        if self.anchor.is_empty() {
            return Err(usage("a question without an anchor"));
        }
        let anchors = files.load_all(&self.anchor)?;
        let asked_about = files.load(cert)?;
        let (untrusted, lists) = (files.load_all(&self.untrusted)?, files.load_all(&self.crl)?);
        let all = || anchors.iter().chain([&asked_about]).chain(&untrusted).chain(&lists);
        let warnings: Vec<String> = all().flat_map(|loaded| loaded.warnings.iter().cloned()).collect();
        let Some(target) = asked_about.certificates.first().filter(|_| asked_about.first_is_readable) else {
            return Ok(unreadable(at, "the certificate asked about cannot be read", warnings));
        };

        let anchors: Anchors =
            anchors.iter().flat_map(|file| &file.certificates).map(|c| self.bind(c)).collect();
        let hints = [&asked_about].into_iter().chain(&untrusted).chain(&lists);
        let graph: Graph = hints.flat_map(|file| file.certificates.iter().cloned()).collect();
        let crls: CrlSet = all().flat_map(|file| file.crls.iter().cloned()).collect();
        let requirements = self.requirements();
        let mut question = Question::new(target.clone(), at, &anchors, &requirements);
        question.name = name;
        question.told = if self.all_paths { TOLD } else { 0 };
        question.limits.depth = self.max_depth.unwrap_or(Limits::default().depth);
        let verdict = judge(&question, Sources { certificates: &graph, crls: &crls, memory });
        Ok(Answer { report: verdict.report(), warnings })
    }

    fn bind(&self, certificate: &Certificate) -> Anchor {
        match self.anchor_as_key {
            true => Anchor::as_key(certificate.clone()),
            false => Anchor::from_certificate(certificate.clone()),
        }
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            policies: self.policy.clone(),
            explicit_policy: self.explicit_policy,
            inhibit_policy_mapping: self.inhibit_mapping,
            inhibit_any_policy: self.inhibit_any_policy,
            purpose: self.eku.clone(),
            revocation: match self.revocation.unwrap_or_default() {
                Revocation::Hard => RevocationMode::Hard,
                Revocation::Soft => RevocationMode::Soft,
                Revocation::None => RevocationMode::None,
            },
            grace_s: 0,
            algorithms: match self.algorithms.unwrap_or_default() {
                Algorithms::Default => AlgorithmPolicy::DEFAULT,
                Algorithms::Legacy => AlgorithmPolicy::LEGACY,
            },
        }
    }

    fn name(&self) -> Result<Option<AskedName>, AskedError> {
        match (&self.dns, self.ip, &self.email) {
            (None, None, None) => Ok(None),
            (Some(host), None, None) => Ok(Some(AskedName::Dns(host.clone()))),
            (None, Some(address), None) => Ok(Some(AskedName::Ip(address))),
            (None, None, Some(mailbox)) => Ok(Some(AskedName::Email(mailbox.clone()))),
            _ => Err(usage("a question for more than one name")),
        }
    }
}

fn usage(what: &str) -> AskedError {
    AskedError::Usage(what.to_owned())
}

/// The answer about bytes that are no certificate: they can be valid under no circumstances.
fn unreadable(at: Time, what: &str, warnings: Vec<String>) -> Answer {
    Answer { report: Report::without_path(Outcome::Invalid, "unreadable", what, at), warnings }
}

/// The OID of a purpose by its name in RFC 5280 4.2.1.12, or in dotted form.
fn purpose(text: &str) -> Result<OidBuf, String> {
    let last = match text {
        "serverAuth" => 1,
        "clientAuth" => 2,
        "codeSigning" => 3,
        "emailProtection" => 4,
        "timeStamping" => 8,
        "OCSPSigning" => 9,
        dotted => return dotted.parse().map_err(|error| format!("{error}, and no name of a purpose")),
    };
    format!("1.3.6.1.5.5.7.3.{last}").parse().map_err(|error| format!("{error}"))
}

/// One value, or an array of them.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(value) => vec![value],
        OneOrMany::Many(values) => values,
    })
}

fn oids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OidBuf>, D::Error> {
    let texts: Vec<String> = one_or_many(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn eku<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OidBuf>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| purpose(&text).map_err(serde::de::Error::custom)).transpose()
}
