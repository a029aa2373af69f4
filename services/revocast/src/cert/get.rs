//! `revocast cert get`: a certificate from the fleet, by where it is or what it is; handed over if it is valid.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use revocast_client::{AskError, acquire};
use revocast_messages::{
    AcquireAnswer, AcquireFrom, AcquireRefusal, AcquireRequest, Blob, Instance, Outcome, QuestionOptions,
    SearchBy,
};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Serial;
use revocast_pki::identity::CertId;
use revocast_pki::mint;

use super::fleet;
use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What `get` is asked.
#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true).args(["url", "id", "issuer", "subject"]))]
pub(crate) struct GetArgs {
    /// Where it is. The validator's configuration says which URLs it may be sent to.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The SHA-256 of its DER, in hex.
    #[arg(long, value_name = "HEX")]
    id: Option<CertId>,
    /// Who issued it: a name as RFC 4514 writes it, or `@` and a file with the issuer's certificate.
    #[arg(long, value_name = "NAME|@FILE", requires = "serial")]
    issuer: Option<String>,
    /// Its serial number, in hex.
    #[arg(long, value_name = "HEX", requires = "issuer")]
    serial: Option<Serial>,
    /// Its subject: a name as RFC 4514 writes it, or `@` and a file with a certificate of that subject.
    #[arg(long, value_name = "NAME|@FILE")]
    subject: Option<String>,
    /// Its subject key identifier, in hex.
    #[arg(long, value_name = "HEX", requires = "subject")]
    key_id: Option<String>,
    /// Certificates that may lead to an anchor.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    untrusted: Vec<PathBuf>,
    /// The fleet's policy by name; its default if absent.
    #[arg(long, value_name = "NAME", alias = "policy-name")]
    policy: Option<String>,
    /// The host that the certificate must name.
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// The purpose that it must serve: serverAuth, clientAuth, ..., or an OID.
    #[arg(long, value_name = "NAME|OID")]
    eku: Option<String>,
    /// Ask `any` validator that is free, or one by its name.
    #[arg(long, value_name = "any|NAME", default_value = "any")]
    validator: String,
    /// Write the certificate here (DER), if it is valid; else it is printed as PEM.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    patience: Duration,
    #[command(flatten)]
    bus: BusArgs,
}

pub(super) fn run(args: &GetArgs, output: &Output) -> Result<Exit, Failure> {
    let validator = match args.validator.as_str() {
        "any" => None,
        name => Some(name.parse::<Instance>().map_err(Failure::usage)?),
    };
    let request = args.request()?;
    let answer = block_on(async {
        let bus = args.bus.connect().await?;
        acquire(&bus, &request, validator.as_ref(), args.patience).await.map_err(|error| match error {
            AskError::Codec(_) | AskError::Refused(_) => Failure::usage(error),
            AskError::Bus(_) | AskError::Incomplete { .. } | AskError::Other => Failure::io(error),
        })
    })?;
    if let Some(refused) = &answer.refused {
        return Err(failure(refused));
    }
    if let (Some(file), Some(der)) = (&args.out, &answer.certificate) {
        std::fs::write(file, &**der).map_err(|error| Failure::io(format!("{}: {error}", file.display())))?;
    }
    output.result(&answer, || text(&answer, args.out.is_none()));
    Ok(exit(&answer))
}

impl GetArgs {
    fn request(&self) -> Result<AcquireRequest, Failure> {
        let mut intermediates = Vec::new();
        for file in &self.untrusted {
            intermediates.extend(fleet::certificates(file)?);
        }
        let options = QuestionOptions {
            policy: self.policy.clone(),
            dns: self.dns.clone(),
            eku: self.eku.clone(),
            ..QuestionOptions::default()
        };
        Ok(AcquireRequest { from: self.from()?, intermediates, options })
    }

    fn from(&self) -> Result<AcquireFrom, Failure> {
        let by = match self {
            GetArgs { url: Some(url), .. } => return Ok(AcquireFrom::Url(url.clone())),
            GetArgs { id: Some(id), .. } => SearchBy::Certificate(*id),
            GetArgs { issuer: Some(issuer), serial: Some(serial), .. } => {
                SearchBy::IssuerAndSerial { issuer: name(issuer)?, serial: serial.octets().into() }
            }
            GetArgs { subject: Some(subject), .. } => {
                SearchBy::Subject { name: name(subject)?, key_id: self.key_id()? }
            }
            _ => {
                return Err(Failure::usage(
                    "name the certificate: a URL, --id, --issuer and --serial, or --subject",
                ));
            }
        };
        Ok(AcquireFrom::Search(by))
    }

    fn key_id(&self) -> Result<Option<Blob>, Failure> {
        let Some(text) = &self.key_id else { return Ok(None) };
        let octets = HEXLOWER_PERMISSIVE.decode(text.replace(':', "").as_bytes());
        let octets =
            octets.map_err(|_| Failure::usage("--key-id: hex is asked for, two digits per octet"))?;
        Ok(Some(octets.into()))
    }
}

/// DER of the name that is written, or of the subject of the first certificate in a file.
fn name(text: &str) -> Result<Blob, Failure> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(mint::name(text).map_err(Failure::usage)?.der().clone().into());
    };
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{file}: {why}"));
    let first = fleet::certificates(Path::new(file))?.into_iter().next();
    let der = first.ok_or_else(|| wrong(&"no certificate is in it"))?;
    let certificate = Certificate::decode(der.0).map_err(|error| wrong(&error))?;
    Ok(certificate.subject().der().clone().into())
}

fn failure(refused: &AcquireRefusal) -> Failure {
    match refused {
        AcquireRefusal::Malformed { .. } | AcquireRefusal::Forbidden { .. } => Failure::usage(refused),
        AcquireRefusal::Absent { .. } | AcquireRefusal::Unavailable { .. } | AcquireRefusal::Busy { .. } => {
            Failure::io(refused)
        }
    }
}

fn exit(answer: &AcquireAnswer) -> Exit {
    let judgements = answer.answer.iter().flat_map(|answer| &answer.judgements);
    let mut outcomes = judgements.map(|judgement| judgement.outcome);
    if answer.certificate.is_some() {
        Exit::Ok
    } else if outcomes.any(|outcome| outcome == Outcome::Indeterminate) {
        Exit::Indeterminate
    } else {
        Exit::Invalid
    }
}

fn text(answer: &AcquireAnswer, with_certificate: bool) -> String {
    let mut lines: Vec<String> = answer.answer.iter().map(fleet::text).collect();
    if let Some(place) = &answer.source {
        lines.push(format!("  found: {place}"));
    }
    if let Some(der) = answer.certificate.as_ref().filter(|_| with_certificate) {
        lines.push(pem(der));
    }
    lines.join("\n")
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, digit) in BASE64.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text + "\n-----END CERTIFICATE-----"
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: GetArgs,
    }

    fn from(words: &[&str]) -> Option<AcquireFrom> {
        let matches = Line::command().try_get_matches_from([&["get"], words].concat()).ok()?;
        Line::from_arg_matches(&matches).ok()?.args.from().ok()
    }

    #[test]
    fn a_certificate_is_named_in_exactly_one_way() {
        let id = "77".repeat(32);
        let der = |text| Blob(mint::name(text).unwrap().der().clone());
        let search = |by| Some(AcquireFrom::Search(by));
        assert_eq!(from(&["http://h/a"]), Some(AcquireFrom::Url("http://h/a".into())));
        assert_eq!(from(&["--id", &id]), search(SearchBy::Certificate(CertId([0x77; 32]))));
        assert_eq!(
            from(&["--issuer", "CN=CA", "--serial", "00:8F"]),
            search(SearchBy::IssuerAndSerial { issuer: der("CN=CA"), serial: vec![0, 0x8f].into() })
        );
        assert_eq!(
            from(&["--subject", "CN=CA", "--key-id", "0aFF"]),
            search(SearchBy::Subject { name: der("CN=CA"), key_id: Some(vec![0x0a, 0xff].into()) })
        );
        assert_eq!(
            from(&["--subject", "CN=CA"]),
            search(SearchBy::Subject { name: der("CN=CA"), key_id: None })
        );
        for wrong in [
            &[][..],
            &["--issuer", "CN=CA"],
            &["--serial", "01"],
            &["--key-id", "01"],
            &["http://h/a", "--id", &id],
            &["--subject", "nonsense"],
            &["--subject", "CN=CA", "--key-id", "x"],
            &["--id", "77"],
        ] {
            assert_eq!(from(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_certificate_is_printed_in_lines_of_64() {
        let printed = pem(&[0xab; 100]);
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.iter().map(|line| line.len()).collect::<Vec<_>>(), [27, 64, 64, 8, 25]);
        assert_eq!(BASE64.decode(lines[1..4].concat().as_bytes()).unwrap(), [0xab; 100]);
    }
}
