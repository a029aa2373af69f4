//! `revocast demo`: the main job before your eyes. A real broker, nine cross-certified CAs (figure 2 of the
//! original), a fleet of validators, a revocation, and who enforced it after how many milliseconds.

mod cast;

use std::time::{Duration, Instant};

use clap::Args;
use revocast_authority::{CertificateRequest, Profile, Revocation};
use revocast_bus::Bus;
use revocast_client::ask;
use revocast_fleet::{Wait, WaitReport};
use revocast_messages::{Answer, Instance, Outcome, Question, QuestionOptions};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Reason;
use revocast_pki::mint::{KeyKind, SigningKey};
use serde::Serialize;

use crate::bus::block_on_until_stopped;
use crate::ca::publish_over;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use cast::Cast;

/// Options of `demo`.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// How many validators enforce.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    validators: u8,
    /// The nats-server program, 2.15 or later; `make demo` finds one for you.
    #[arg(long, value_name = "FILE", env = "NATS_SERVER", default_value = "nats-server")]
    nats_server: std::path::PathBuf,
}

/// What the demo showed, for machines.
#[derive(Serialize)]
struct Shown {
    path_length: usize,
    before: Outcome,
    after: Outcome,
    enforced: WaitReport,
    crosscut: Outcome,
}

/// The fleet settles within this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    block_on_until_stopped(show(args, output))
}

async fn show(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let say = |text: String| {
        if !output.is_json() {
            println!("{text}");
        }
    };
    say("Starting nats-server, and making the declared streams ...".into());
    let mut cast = Cast::start(&args.nats_server).await?;
    say("Nine CAs cross-certify one another (1-8, 8-6, 6-4, 4-2 and others), each with its first CRL ..."
        .into());
    cast.found_nine_cas()?;
    let leaf = issue(&mut cast, "ca1")?;
    cast.publish().await?;
    say(format!("Starting an authority and {} validators that believe CA 2 ...", args.validators));
    cast.start_services(args.validators)?;
    cast.settle(args.validators, PATIENCE).await?;

    let bus = cast.bus().clone();
    let before = nearest(&bus, &leaf).await?;
    let path = before.judgements[0].path.len();
    say(format!("\nIs a certificate of CA 1 valid for who believes CA 2?\n  {}", told(&before)));
    say(format!("  by a path of {path} certificates, each checked against its CRL"));

    say("\nNow CA 1 revokes it: key compromise.".into());
    let report = revoke(&mut cast, "ca1", leaf.serial(), Reason::KeyCompromise).await?;
    for (validator, took) in &report.enforced {
        say(format!("  {validator:<12} enforces it {took} ms after the notice reached the broker"));
    }
    let mut after = None;
    for n in 1..=args.validators {
        let validator: Instance = cast::validator(n).parse().map_err(Failure::io)?;
        let answer = verdict(&bus, &leaf, Some(&validator)).await?;
        say(format!("  {}", told(&answer)));
        after = Some(answer);
    }

    say("\nAnd CA 2 gives up its side of the bridge: it revokes its cross-certificate for CA 4.".into());
    let other = issue(&mut cast, "ca1")?;
    let cross = cast.cross_certificate("ca2", "ca4")?;
    revoke(&mut cast, "ca2", cross.serial(), Reason::CessationOfOperation).await?;
    let crosscut = verdict(&bus, &other, None).await?;
    say(format!("  another certificate of CA 1: {}", told(&crosscut)));

    let shown = Shown {
        path_length: path,
        before: before.judgements[0].outcome,
        after: after.map_or(Outcome::Indeterminate, |answer| answer.judgements[0].outcome),
        enforced: report,
        crosscut: crosscut.judgements[0].outcome,
    };
    let ended = Instant::now();
    cast.stop().await;
    let good = (shown.before, shown.after) == (Outcome::Valid, Outcome::Revoked)
        && shown.crosscut != Outcome::Valid
        && shown.enforced.missing.is_empty();
    if output.is_json() {
        output.result(&shown, String::new);
    } else {
        println!("\nAll services stopped in {} ms. Nothing is left behind.", ended.elapsed().as_millis());
    }
    Ok(if good { Exit::Ok } else { Exit::Io })
}

fn issue(cast: &mut Cast, ca: &str) -> Result<Certificate, Failure> {
    let key = SigningKey::generate(KeyKind::EcdsaP256).map_err(Failure::io)?;
    let request = CertificateRequest {
        subject: "CN=signatory,O=Demo".into(),
        spki: key.spki().to_vec(),
        dns: vec!["signatory.example".into()],
        email: Vec::new(),
        profile: Profile::Tls,
        validity_s: 86_400,
    };
    Ok(cast.authority().issue(ca, &request, now_ms()).map_err(Failure::io)?.certificate)
}

/// Certificates from a signatory of CA 1 to CA 2 over the nearest cross-certificates, both ends counted.
const NEAREST: usize = 6;

/// Asks until the nearest way is known: CRLs may all be enforced a moment before the last cross-certificate has arrived,
/// and then there is only the way around. An explained question is searched for anew each time.
async fn nearest(bus: &Bus, certificate: &Certificate) -> Result<Answer, Failure> {
    let options = QuestionOptions { explain: true, ..QuestionOptions::default() };
    let question =
        Question { certificates: vec![certificate.der().clone().into()], options, ..Question::default() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(bus, &question, None, PATIENCE).await;
        let is_nearest = answer.as_ref().is_ok_and(|answer| {
            let judged = answer.judgements.first();
            judged.is_some_and(|judged| judged.outcome == Outcome::Valid && judged.path.len() <= NEAREST)
        });
        if is_nearest || Instant::now() >= deadline {
            return answer.map_err(Failure::io);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn verdict(
    bus: &Bus,
    certificate: &Certificate,
    validator: Option<&Instance>,
) -> Result<Answer, Failure> {
    let question = Question { certificates: vec![certificate.der().clone().into()], ..Question::default() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask(bus, &question, validator, PATIENCE).await {
            // Receipts come a moment before the doors open.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
            answer => return answer.map_err(Failure::io),
        }
    }
}

fn told(answer: &Answer) -> String {
    let judgement = &answer.judgements[0];
    let plain = matches!(judgement.outcome, Outcome::Valid | Outcome::Revoked);
    let why = if plain { String::new() } else { format!(" ({})", judgement.reason) };
    format!("{}{why}, says {}", judgement.outcome, answer.validator)
}

async fn revoke(cast: &mut Cast, ca: &str, serial: &[u8], reason: Reason) -> Result<WaitReport, Failure> {
    let bus = cast.bus().clone();
    let issuer = cast.authority().ca_certificate(ca).map_err(Failure::io)?.as_issuer();
    let wait = Wait::begin(&bus, issuer, now_ms()).await.map_err(Failure::io)?;
    let revocation = Revocation { serial: serial.to_vec(), reason };
    let revoked = cast.authority().revoke(ca, &[revocation], now_ms()).map_err(Failure::io)?;
    publish_over(cast.authority(), &bus, cast::AUTHORITY).await?;
    let notice = &revoked.notice;
    let head =
        bus.head(notice.origin.role.stream(), &notice.subject().to_string()).await.map_err(Failure::io)?;
    let stored_at_ms = head.map_or_else(now_ms, |head| head.stored_at_ms());
    let scope = (notice.issuer, notice.scope, notice.kind);
    Ok(wait.finish(scope, notice.order(), stored_at_ms, PATIENCE).await)
}
