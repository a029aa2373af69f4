//! `revocast ca ...`: work with the CAs of an authority's ledger.
//!
//! A verb writes its decision into the ledger first; what it decided is then durable, and the notices about it are
//! published by this process at once or, if the broker cannot be reached, by the authority's service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use revocast_authority::{Authority, CertificateRequest, NewCa, Outbox, Profile, Revocation, Revoked};
use revocast_bus::Bus;
use revocast_fleet::{Wait, WaitReport};
use revocast_pki::asn1::minimal_integer;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Reason;
use revocast_pki::identity::CrlNumber;
use revocast_pki::mint::{KeyKind, SigningKey};
use serde::Serialize;

use crate::bus::{BusArgs, block_on};
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

#[derive(Subcommand)]
pub(crate) enum CaVerb {
    /// Make a CA: a root, or one below another CA of the ledger.
    ///
    /// Examples:
    ///   revocast ca init root --subject "CN=Example Root,O=Example"
    ///   revocast ca init issuing --parent root --subject "CN=Example Issuing,O=Example" --out issuing.crt
    #[command(verbatim_doc_comment)]
    Init(InitArgs),
    /// Issue an end-entity certificate; makes a key for it unless one is given.
    ///
    /// Example: revocast ca issue issuing --subject "CN=www.example" --dns www.example --out www.crt --key-out www.key
    #[command(verbatim_doc_comment)]
    Issue(IssueArgs),
    /// Cross-certify: sign the name and key of another CA.
    ///
    /// Example: revocast ca cross root --cert other-root.crt --out root-to-other.crt
    #[command(verbatim_doc_comment)]
    Cross(CrossArgs),
    /// Revoke certificates and issue the CRL that says so.
    ///
    /// Examples:
    ///   revocast ca revoke issuing --cert www.crt --reason keyCompromise --wait
    ///   revocast ca revoke issuing --serial 4f3a... --serial 4f3b...
    #[command(verbatim_doc_comment)]
    Revoke(RevokeArgs),
    /// Issue a CRL now, or print the newest one.
    ///
    /// Example: revocast ca crl issuing --out issuing.crl
    #[command(verbatim_doc_comment)]
    Crl(CrlArgs),
    /// The CAs of the ledger.
    ///
    /// Example: revocast ca list --json
    #[command(verbatim_doc_comment)]
    List(LedgerArgs),
}

#[derive(Args)]
pub(crate) struct LedgerArgs {
    /// The authority's ledger.
    #[arg(long, value_name = "FILE", env = "REVOCAST_LEDGER", default_value = "authority.db")]
    ledger: PathBuf,
    /// The name in which notices are published.
    #[arg(long, value_name = "NAME", env = "REVOCAST_INSTANCE", default_value = "authority-1")]
    instance: String,
}

#[derive(Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    bus: BusArgs,
    /// Leave publishing to the authority's service.
    #[arg(long)]
    offline: bool,
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// What you will call it: letters, digits, '-', '_', '.'.
    label: String,
    /// Distinguished name, as RFC 4514 writes it.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// The CA of this ledger that signs it; without one it is a root.
    #[arg(long, value_name = "LABEL")]
    parent: Option<String>,
    /// Kind of its key.
    #[arg(long, value_enum, default_value = "p256")]
    key: KeyChoice,
    /// How long its certificate is valid.
    #[arg(long, value_name = "DURATION", default_value = "10years", value_parser = humantime::parse_duration)]
    validity: Duration,
    /// How long after a CRL the next one is due at the latest.
    #[arg(long, value_name = "DURATION", default_value = "1day", value_parser = humantime::parse_duration)]
    crl_life: Duration,
    /// Where its repository serves: the URLs in what it issues begin with it.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8442")]
    base_url: String,
    /// At most this many CAs below it.
    #[arg(long, value_name = "N")]
    path_length: Option<u32>,
    /// Write its certificate here (DER).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    publish: PublishArgs,
}

#[derive(Args)]
pub(crate) struct IssueArgs {
    /// The CA that issues it.
    ca: String,
    /// Distinguished name, as RFC 4514 writes it.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// A DNS name.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// An e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// What it is for.
    #[arg(long, value_enum, default_value = "tls")]
    profile: ProfileChoice,
    /// How long it is valid.
    #[arg(long, value_name = "DURATION", default_value = "90days", value_parser = humantime::parse_duration)]
    validity: Duration,
    /// Kind of the key that is made.
    #[arg(long, value_enum, default_value = "p256")]
    key: KeyChoice,
    /// Use this private key (PKCS #8 DER) instead of making one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "key_out"])]
    key_in: Option<PathBuf>,
    /// Write the certificate here (DER).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the private key here (PKCS #8 DER), readable for you only.
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
    #[command(flatten)]
    ledger: LedgerArgs,
}

#[derive(Args)]
pub(crate) struct CrossArgs {
    /// The CA that signs.
    ca: String,
    /// The other CA's certificate (DER).
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// How long it is valid.
    #[arg(long, value_name = "DURATION", default_value = "3years", value_parser = humantime::parse_duration)]
    validity: Duration,
    /// Write the cross-certificate here (DER).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    publish: PublishArgs,
}

#[derive(Args)]
pub(crate) struct RevokeArgs {
    /// The CA that issued them.
    ca: String,
    /// Serial number in hex.
    #[arg(long, value_name = "HEX")]
    serial: Vec<String>,
    /// A certificate to be revoked (DER).
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,
    /// Why: keyCompromise, superseded, cessationOfOperation ... (RFC 5280 5.3.1).
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: Reason,
    /// Return when every subscribed validator enforces it, and print who took how long. Exit code 2 if one does not
    /// in time, or if its lease lapsed.
    #[arg(long, conflicts_with = "offline")]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    publish: PublishArgs,
}

#[derive(Args)]
pub(crate) struct CrlArgs {
    /// Whose CRL.
    ca: String,
    /// Print or write the newest CRL without issuing another.
    #[arg(long)]
    newest: bool,
    /// Write it here (DER).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    publish: PublishArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyChoice {
    P256,
    P384,
    Ed25519,
}

impl From<KeyChoice> for KeyKind {
    fn from(choice: KeyChoice) -> KeyKind {
        match choice {
            KeyChoice::P256 => KeyKind::EcdsaP256,
            KeyChoice::P384 => KeyKind::EcdsaP384,
            KeyChoice::Ed25519 => KeyKind::Ed25519,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileChoice {
    Tls,
    Signing,
}

#[derive(Serialize)]
struct IssuedReport {
    subject: String,
    serial: String,
    certificate: String,
    issuer: String,
    not_after: String,
}

pub(crate) fn run(verb: CaVerb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        CaVerb::Init(args) => init(&args, output),
        CaVerb::Issue(args) => issue(&args, output),
        CaVerb::Cross(args) => cross(&args, output),
        CaVerb::Revoke(args) => revoke(&args, output),
        CaVerb::Crl(args) => crl(&args, output),
        CaVerb::List(args) => list(&args, output),
    }
}

fn init(args: &InitArgs, output: &Output) -> Result<Exit, Failure> {
    let mut authority = open(&args.publish.ledger)?;
    let new = NewCa {
        label: args.label.clone(),
        subject: args.subject.clone(),
        key: args.key.into(),
        parent: args.parent.clone(),
        validity_s: seconds(args.validity),
        crl_life_s: seconds(args.crl_life),
        base_url: args.base_url.clone(),
        path_length: args.path_length,
    };
    let issued = authority.init(&new, now_ms()).map_err(Failure::usage)?;
    write(args.out.as_deref(), issued.certificate.der())?;
    tell_certificate(output, &issued.certificate);
    publish(&authority, &args.publish, output)?;
    Ok(Exit::Ok)
}

fn issue(args: &IssueArgs, output: &Output) -> Result<Exit, Failure> {
    let mut authority = open(&args.ledger)?;
    let key = match &args.key_in {
        Some(path) => SigningKey::from_pkcs8(&read(path)?).map_err(|error| named(path, error))?,
        None => SigningKey::generate(args.key.into()).map_err(Failure::io)?,
    };
    if let Some(path) = &args.key_out {
        write_private(path, key.pkcs8())?;
    }
    let request = CertificateRequest {
        subject: args.subject.clone(),
        spki: key.spki().to_vec(),
        dns: args.dns.clone(),
        email: args.email.clone(),
        profile: match args.profile {
            ProfileChoice::Tls => Profile::Tls,
            ProfileChoice::Signing => Profile::Signing,
        },
        validity_s: seconds(args.validity),
    };
    let issued = authority.issue(&args.ca, &request, now_ms()).map_err(Failure::usage)?;
    write(Some(&args.out), issued.certificate.der())?;
    tell_certificate(output, &issued.certificate);
    Ok(Exit::Ok)
}

fn cross(args: &CrossArgs, output: &Output) -> Result<Exit, Failure> {
    let mut authority = open(&args.publish.ledger)?;
    let other = certificate(&args.cert)?;
    let issued =
        authority.cross(&args.ca, &other, seconds(args.validity), now_ms()).map_err(Failure::usage)?;
    write(args.out.as_deref(), issued.certificate.der())?;
    tell_certificate(output, &issued.certificate);
    publish(&authority, &args.publish, output)?;
    Ok(Exit::Ok)
}

fn revoke(args: &RevokeArgs, output: &Output) -> Result<Exit, Failure> {
    let mut revocations = Vec::new();
    for serial in &args.serial {
        let octets = data_encoding::HEXLOWER_PERMISSIVE
            .decode(serial.as_bytes())
            .map_err(|_| Failure::usage(format!("{serial:?} is not a serial number in hex")))?;
        if octets.is_empty() {
            return Err(Failure::usage("a serial number of no octets"));
        }
        revocations.push(Revocation { serial: minimal_integer(&octets).to_vec(), reason: args.reason });
    }
    for path in &args.cert {
        revocations.push(Revocation { serial: certificate(path)?.serial().to_vec(), reason: args.reason });
    }
    if revocations.is_empty() {
        return Err(Failure::usage("name what is to be revoked: --serial HEX or --cert FILE"));
    }
    let mut authority = open(&args.publish.ledger)?;
    if args.wait {
        return block_on(revoke_and_wait(&mut authority, args, &revocations, output));
    }
    let revoked = authority.revoke(&args.ca, &revocations, now_ms()).map_err(Failure::usage)?;
    publish(&authority, &args.publish, output)?;
    output.result(&RevokedReport::of(&revoked, None), || sentence(&revoked));
    Ok(Exit::Ok)
}

/// Revokes, publishes, and returns when every subscriber enforces it.
async fn revoke_and_wait(
    authority: &mut Authority,
    args: &RevokeArgs,
    revocations: &[Revocation],
    output: &Output,
) -> Result<Exit, Failure> {
    let bus = args.publish.bus.connect().await?;
    let issuer = authority.ca_certificate(&args.ca).map_err(Failure::usage)?.as_issuer();
    let wait = Wait::begin(&bus, issuer, now_ms()).await.map_err(Failure::io)?;
    let revoked = authority.revoke(&args.ca, revocations, now_ms()).map_err(Failure::usage)?;
    output.progress(&sentence(&revoked));
    publish_over(authority, &bus, &args.publish.ledger.instance).await?;
    let notice = &revoked.notice;
    let head =
        bus.head(notice.origin.role.stream(), &notice.subject().to_string()).await.map_err(Failure::io)?;
    let stored_at_ms = head.map_or_else(now_ms, |head| head.stored_at_ms());
    let scope = (notice.issuer, notice.scope, notice.kind);
    let report = wait.finish(scope, notice.order(), stored_at_ms, args.timeout).await;
    output.result(&RevokedReport::of(&revoked, Some(&report)), || {
        format!("{}\n{}", sentence(&revoked), told(&report))
    });
    bus.close().await;
    let all = report.missing.is_empty() && report.unknown.is_empty();
    Ok(if all { Exit::Ok } else { Exit::Indeterminate })
}

#[derive(Serialize)]
struct RevokedReport<'a> {
    newly_revoked: usize,
    crl_number: Option<CrlNumber>,
    crl_id: String,
    entries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<&'a WaitReport>,
}

impl RevokedReport<'_> {
    fn of<'a>(revoked: &Revoked, fleet: Option<&'a WaitReport>) -> RevokedReport<'a> {
        RevokedReport {
            newly_revoked: revoked.newly,
            crl_number: revoked.crl.number(),
            crl_id: revoked.crl_id().to_string(),
            entries: revoked.crl.entries(),
            fleet,
        }
    }
}

fn sentence(revoked: &Revoked) -> String {
    format!(
        "{} revoked now; CRL {} lists {} entries",
        revoked.newly,
        number(&revoked.crl),
        revoked.crl.entries()
    )
}

fn told(report: &WaitReport) -> String {
    let enforced = report
        .enforced
        .iter()
        .map(|(validator, took)| [validator.to_string(), format!("enforces after {took} ms")]);
    let missing =
        report.missing.iter().map(|validator| [validator.to_string(), "DOES NOT ENFORCE IT YET".into()]);
    let unknown =
        report.unknown.iter().map(|validator| [validator.to_string(), "unknown: its lease lapsed".into()]);
    if report.enforced.is_empty() && report.missing.is_empty() && report.unknown.is_empty() {
        return "Nobody is subscribed.".into();
    }
    table(["VALIDATOR", "STATE"], enforced.chain(missing).chain(unknown))
}

fn crl(args: &CrlArgs, output: &Output) -> Result<Exit, Failure> {
    let mut authority = open(&args.publish.ledger)?;
    if !args.newest {
        authority.issue_crl(&args.ca, now_ms()).map_err(Failure::usage)?;
        publish(&authority, &args.publish, output)?;
    }
    let newest = authority.newest_crl(&args.ca).map_err(Failure::usage)?;
    let crl = newest.ok_or_else(|| Failure::usage(format!("{:?} has issued no CRL", args.ca)))?;
    write(args.out.as_deref(), crl.der())?;
    let report = serde_json::json!({
        "issuer": crl.issuer().to_string(), "number": crl.number(), "entries": crl.entries(),
        "this_update": crl.this_update(), "next_update": crl.next_update(), "crl_id": crl.id(),
    });
    output.result(&report, || {
        format!(
            "CRL {} of {}, {} entries, issued {}",
            number(&crl),
            crl.issuer(),
            crl.entries(),
            crl.this_update()
        )
    });
    Ok(Exit::Ok)
}

fn list(args: &LedgerArgs, output: &Output) -> Result<Exit, Failure> {
    let summaries = open(args)?.summaries().map_err(Failure::io)?;
    output.result(&summaries, || {
        let rows = summaries.iter().map(|ca| {
            [
                ca.label.clone(),
                ca.subject.clone(),
                ca.issuer.to_string(),
                ca.crl_number.to_string(),
                ca.next_update.map_or_else(|| "-".into(), |due| due.to_string()),
                format!("{}/{}", ca.revoked, ca.issued),
            ]
        });
        table(["CA", "SUBJECT", "ISSUER", "CRL", "NEXT DUE", "REVOKED/ISSUED"], rows)
    });
    Ok(Exit::Ok)
}

/// Publishes what the ledger has still to tell; a broker that cannot be reached leaves it to the service.
fn publish(authority: &Authority, args: &PublishArgs, output: &Output) -> Result<(), Failure> {
    if args.offline {
        return Ok(());
    }
    block_on(async {
        let Ok(bus) = args.bus.connect().await else {
            output.progress("The broker cannot be reached; the authority's service will publish.");
            return Ok(());
        };
        publish_over(authority, &bus, &args.ledger.instance).await?;
        bus.close().await;
        Ok(())
    })
}

/// Publishes what the ledger has still to tell, in the name of `instance`.
pub(crate) async fn publish_over(authority: &Authority, bus: &Bus, instance: &str) -> Result<(), Failure> {
    let outbox = Outbox::new(bus, instance).await;
    loop {
        let rows = authority.ledger().outbox(BATCH).map_err(Failure::io)?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let ca = Certificate::decode(row.ca_certificate.clone()).map_err(Failure::io)?;
            let delivered = tokio::time::timeout(PATIENCE, outbox.deliver(&row, &ca)).await;
            delivered
                .map_err(|_| {
                    Failure::io(format!(
                        "the broker confirmed nothing within {PATIENCE:?}; the authority's service will go on"
                    ))
                })?
                .map_err(Failure::io)?;
            authority.ledger().told(row.id).map_err(Failure::io)?;
        }
    }
}

const BATCH: usize = 32;
/// A leader election takes about nine seconds at the worst.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(args: &LedgerArgs) -> Result<Authority, Failure> {
    let instance = args.instance.parse().map_err(Failure::usage)?;
    Authority::open(&args.ledger, instance).map_err(Failure::io)
}

fn tell_certificate(output: &Output, certificate: &Certificate) {
    let report = IssuedReport {
        subject: certificate.subject().to_string(),
        serial: data_encoding::HEXLOWER.encode(certificate.serial()),
        certificate: certificate.id().to_string(),
        issuer: certificate.issuer().to_string(),
        not_after: certificate.not_after().to_string(),
    };
    output.result(&report, || {
        format!(
            "{} issued by {}, serial {}, valid until {}",
            report.subject, report.issuer, report.serial, report.not_after
        )
    });
}

fn number(crl: &revocast_pki::crl::Crl) -> String {
    crl.number().map_or_else(|| "without number".into(), |number| number.to_string())
}

fn certificate(path: &Path) -> Result<Certificate, Failure> {
    Certificate::decode(read(path)?).map_err(|error| named(path, error))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}

fn named(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

fn write(path: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, bytes).map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error| Failure::io(format!("{}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
