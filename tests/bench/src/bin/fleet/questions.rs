//! Questions over NATS against a bare echo service of the same sizes, and over HTTP against a bare axum handler. The
//! same leaf again and again: what is measured is the way, not the arithmetic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::Client;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use revocast_fleet::Publisher;
use revocast_messages::{Answer, Outcome, Question, decode, encode};
use revocast_tests::{NatsServer, free_address};

use crate::Failure;
use crate::rig::{Awake, Ca, Validator, cpu, folder_in_memory, quantile};

/// Questions per row of which one is in flight.
const QUESTIONS: u64 = 10_000;
/// Questions per row of which many are: they take as long.
const MANY_QUESTIONS: u64 = 100_000;
/// Every row is taken this often, floor and ours in turn; the medians count.
const ROUNDS: usize = 5;
/// Those with one in flight are taken this often: what a question takes then depends much on how deep the processors
/// sleep meanwhile. Over NATS they are taken once more with processors that do not.
const ROUNDS_OF_ONE: usize = 11;
/// How many are in flight over NATS, and whether the processors are kept awake.
const ROWS: [(usize, bool); 3] = [(1, false), (1, true), (128, false)];
/// Certificates of a batch.
const BATCH: usize = 64;

/// One row.
#[derive(Clone, Copy)]
struct Row {
    per_second: f64,
    p50: Duration,
    cpu_per: Duration,
}

pub(crate) async fn measure() -> Result<(), Failure> {
    let nats = NatsServer::start().await;
    let (folder, _) = folder_in_memory()?;
    let ca = Ca::root("CN=Bench Root")?;
    let anchor = folder.path().join("root.der");
    std::fs::write(&anchor, ca.certificate.der())?;
    let publisher = Publisher::new(&nats.bus("authority").await, "authority-1").await;
    ca.publish(&publisher, &ca.crl(1, [])?).await?;
    let validator = Validator::start("validator-1", &anchor, folder.path(), Some(&nats));
    validator.ready().await?;

    let leaf = ca.leaf(1)?;
    let question = Question { certificates: vec![leaf.clone().into()], ..Question::default() };
    let asked = Bytes::from(encode(&question)?);
    let client = connect(&nats).await?;
    let answered = first_answer(&client, "pki.validate", &asked).await?;
    let answer: Answer = decode(&answered)?;
    if answer.judgements.first().map(|one| one.outcome) != Some(Outcome::Valid) {
        return Err(format!("the leaf should be valid: {answer:?}").into());
    }
    println!("\n## questions: {} octets asked, {} answered", asked.len(), answered.len());
    let echo = connect(&nats).await?;
    let echoing = tokio::spawn(serve_echo(echo, answered.clone()));
    first_answer(&client, "bench.echo", &asked).await?;
    for (in_flight, awake) in ROWS {
        let _awake = awake.then(Awake::start).transpose()?;
        let floor = || over_nats(client.clone(), "bench.echo", asked.clone(), in_flight, of(in_flight));
        let ours = || over_nats(client.clone(), "pki.validate", asked.clone(), in_flight, of(in_flight));
        let taken = in_turn(rounds(in_flight), floor, ours).await?;
        tell(&format!("NATS, {in_flight} in flight{}", if awake { ", awake" } else { "" }), &taken);
    }

    let leaves: Result<Vec<_>, Failure> = (0..BATCH as u32).map(|n| Ok(ca.leaf(n + 100)?.into())).collect();
    let batch = Bytes::from(encode(&Question { certificates: leaves?, ..Question::default() })?);
    let one = over_nats(client.clone(), "pki.validate", asked.clone(), 128, MANY_QUESTIONS).await?;
    let many = over_nats(client.clone(), "pki.validate", batch, 16, MANY_QUESTIONS / 16).await?;
    println!(
        "batches of {BATCH}: {:.0} certificates/s, {:.2} x those of single questions ({:.0}/s)",
        many.per_second * BATCH as f64,
        many.per_second * BATCH as f64 / one.per_second,
        one.per_second
    );
    echoing.abort();

    let json = serde_json::to_vec(&answer)?;
    let bare = serve_bare(json).await?;
    for in_flight in [1, 128] {
        let floor = || over_http(bare, "application/pkix-cert", Bytes::from(leaf.clone()), in_flight);
        let ours =
            || over_http(validator.address, "application/pkix-cert", Bytes::from(leaf.clone()), in_flight);
        let taken = in_turn(rounds(in_flight), floor, ours).await?;
        tell(&format!("HTTP, {in_flight} connections"), &taken);
    }
    validator.stop().await;
    Ok(())
}

/// The answer of a service that may not have begun yet.
async fn first_answer(client: &Client, subject: &'static str, asked: &Bytes) -> Result<Bytes, Failure> {
    loop {
        match client.request(subject, asked.clone()).await {
            Ok(answer) => return Ok(answer.payload),
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How many questions a row has.
const fn of(in_flight: usize) -> u64 {
    if in_flight > 1 { MANY_QUESTIONS } else { QUESTIONS }
}

const fn rounds(in_flight: usize) -> usize {
    if in_flight > 1 { ROUNDS } else { ROUNDS_OF_ONE }
}

async fn connect(nats: &NatsServer) -> Result<Client, Failure> {
    Ok(async_nats::ConnectOptions::new().subscription_capacity(1 << 16).connect(nats.url()).await?)
}

/// A bare service: takes a message of a queue group and answers with as many octets as ours.
async fn serve_echo(client: Client, answer: Bytes) -> Result<(), Failure> {
    let mut asked = client.queue_subscribe("bench.echo", "echoes".into()).await?;
    client.flush().await?;
    while let Some(message) = asked.next().await {
        if let Some(to) = message.reply {
            client.publish(to, answer.clone()).await?;
        }
    }
    Ok(())
}

/// A bare handler that reads the body and answers with as many octets as ours.
async fn serve_bare(answer: Vec<u8>) -> Result<std::net::SocketAddr, Failure> {
    use axum::routing::post;
    let answer = Bytes::from(answer);
    let handler = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            std::hint::black_box(body);
            ([("content-type", "application/json")], answer)
        }
    };
    let address = free_address();
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = axum::Router::new().route("/v1/validate", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn over_nats(
    client: Client,
    subject: &'static str,
    asked: Bytes,
    in_flight: usize,
    questions: u64,
) -> Result<Row, Failure> {
    let asking = move || {
        let (client, asked) = (client.clone(), asked.clone());
        async move {
            client.request(subject, asked).await?;
            Ok(())
        }
    };
    many(in_flight, questions, |_| asking.clone()).await
}

async fn over_http(
    address: std::net::SocketAddr,
    kind: &'static str,
    body: Bytes,
    connections: usize,
) -> Result<Row, Failure> {
    let mut senders = Vec::new();
    for _ in 0..connections {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        senders.push(Arc::new(tokio::sync::Mutex::new(sender)));
    }
    many(connections, of(connections), |asker| {
        let (sender, body) = (senders[asker].clone(), body.clone());
        move || {
            let (sender, body) = (sender.clone(), body.clone());
            async move {
                let request = hyper::Request::post("/v1/validate")
                    .header("host", "bench")
                    .header("content-type", kind)
                    .body(Full::new(body))?;
                let answer = sender.lock().await.send_request(request).await?;
                if !answer.status().is_success() {
                    return Err(format!("status {}", answer.status()).into());
                }
                answer.into_body().collect().await?;
                Ok(())
            }
        }
    })
    .await
}

/// `questions` in all, by `askers` at once, each asking again as soon as it is answered.
async fn many<A, F>(askers: usize, questions: u64, asker: impl Fn(usize) -> A) -> Result<Row, Failure>
where
    A: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let left = Arc::new(AtomicU64::new(questions));
    let (started, spent) = (Instant::now(), cpu());
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..askers {
        let (ask, left) = (asker(index), left.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                let start = Instant::now();
                ask().await?;
                times.push(start.elapsed());
            }
            Ok::<_, Failure>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let count = times.len() as u32;
    Ok(Row {
        per_second: f64::from(count) / started.elapsed().as_secs_f64(),
        p50: quantile(&mut times, 0.5),
        cpu_per: (cpu() - spent) / count.max(1),
    })
}

/// Floor and ours in turn.
async fn in_turn<F, O>(
    rounds: usize,
    floor: impl Fn() -> F,
    ours: impl Fn() -> O,
) -> Result<Vec<(Row, Row)>, Failure>
where
    F: Future<Output = Result<Row, Failure>>,
    O: Future<Output = Result<Row, Failure>>,
{
    let mut taken = Vec::new();
    for _ in 0..rounds {
        taken.push((floor().await?, ours().await?));
    }
    Ok(taken)
}

/// The medians of both, and those of what lies between the two of a round: they were taken one right after the other.
fn tell(what: &str, rounds: &[(Row, Row)]) {
    let middle = |value: &dyn Fn(&(Row, Row)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{what:27} floor {:7.0}/s p50 {:7.1} us   ours {:7.0}/s ({:.2} x) p50 {:7.1} us ({:.2} x)   processor {:+.1} us each",
        middle(&|(floor, _)| floor.per_second),
        middle(&|(floor, _)| micros(floor.p50)),
        middle(&|(_, ours)| ours.per_second),
        middle(&|(floor, ours)| ours.per_second / floor.per_second),
        middle(&|(_, ours)| micros(ours.p50)),
        middle(&|(floor, ours)| micros(ours.p50) / micros(floor.p50)),
        middle(&|(floor, ours)| micros(ours.cpu_per) - micros(floor.cpu_per)),
    );
}
