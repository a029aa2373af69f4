//! `revocast notices replay`: a recording into a broker.
//!
//! Objects come first, messages in the order of the file. A message keeps its body and its header lines, but for those that
//! direct the broker (`Nats-...`), and says in two more what it is a replay of and when the original was stored. That
//! is also how a second replay finds what is there already: of each stream, the greatest sequence that was played.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use revocast_bus::declare::built_in;
use revocast_bus::{Bus, BusError, Followed, Follower, Objects};
use revocast_messages::{CrlNotice, decode, headers, subjects};
use revocast_pki::identity::Digest;
use revocast_recording::{Beginning, Reader, Record, Recorded, RecordedStream, RecordingError};
use serde::Serialize;
use tokio::time::Instant;

use super::{dry, interrupted};
use crate::bus::{BusArgs, block_on, server};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// A broker that does not answer is asked again for this long: longer than an election of leaders.
const BROKER_PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// People at a terminal are told after this many messages.
const TOLD_EVERY: u64 = 500;

/// Options of `notices replay`.
#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    bus: BusArgs,
    /// URL of the broker that it is played into, instead of --nats.
    #[arg(long, value_name = "URL", value_parser = server)]
    into: Option<String>,
    /// As fast as it happened, so many times as fast, or without a pause.
    #[arg(long, value_name = "original|N|instant", default_value = "original")]
    speed: Speed,
    /// Play a recording that was cut short, as far as it goes.
    #[arg(long)]
    pub(super) cut_short: bool,
    /// No broker: tell what a validator would have enforced, after each message.
    #[arg(long, requires = "anchors", conflicts_with_all = ["into", "speed"])]
    dry: bool,
    /// Files and folders of the anchors that this validator believes.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "dry")]
    pub(super) anchors: Vec<PathBuf>,
    /// Files and folders of certificates that it knows from the beginning.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "dry")]
    pub(super) certificates: Vec<PathBuf>,
}

/// How the pauses between messages are played.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Instant,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        match text {
            "original" => Ok(Speed::Times(1.0)),
            "instant" => Ok(Speed::Instant),
            times => {
                let times = times.parse().ok().filter(|times: &f64| times.is_finite() && *times > 0.0);
                times.map(Speed::Times).ok_or_else(|| "original, instant, or a number above 0".into())
            }
        }
    }
}

impl Speed {
    /// How long after the first message one is due that came `after` it.
    fn due(self, after: Duration) -> Duration {
        match self {
            Speed::Instant => Duration::ZERO,
            Speed::Times(times) => {
                Duration::try_from_secs_f64(after.as_secs_f64() / times).unwrap_or(Duration::MAX)
            }
        }
    }
}

/// What came of it.
#[derive(Default, Serialize)]
struct Summary {
    messages: u64,
    /// Played before.
    already_there: u64,
    /// The broker does not take them.
    refused: u64,
    objects: u64,
    interrupted: bool,
    cut_short: bool,
}

pub(super) fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Failure> {
    // Nothing is played of a file that is damaged further on.
    let survey = survey(&args.file, args.cut_short)?;
    if args.dry {
        return block_on(dry::run(args, output));
    }
    block_on(replay(args, &survey, output))
}

/// Opens a recording.
pub(super) fn open(path: &Path) -> Result<Reader<BufReader<File>>, Failure> {
    let file = File::open(path).map_err(|error| Failure::io(format!("{}: {error}", path.display())))?;
    Reader::open(BufReader::new(file)).map_err(|error| unreadable(path, &error))
}

/// The next record; `None` at the end, which may be where it was cut short.
pub(super) fn next(
    reader: &mut Reader<BufReader<File>>,
    path: &Path,
    cut_short: bool,
) -> Result<Option<Record>, Failure> {
    match reader.read_next() {
        Err(error) if cut_short && error.is_cut_short() => Ok(None),
        read => read.map_err(|error| unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &RecordingError) -> Failure {
    let why = format!("{}: {error}", path.display());
    match error {
        RecordingError::Io(_) => Failure::io(why),
        error if error.is_cut_short() => {
            Failure::invalid(format!("{why}; --cut-short plays what stands before"))
        }
        _ => Failure::invalid(why),
    }
}

/// What a look through the whole file finds.
struct Survey {
    beginning: Beginning,
    is_whole: bool,
}

fn survey(path: &Path, cut_short: bool) -> Result<Survey, Failure> {
    let mut reader = open(path)?;
    let mut is_whole = false;
    while let Some(record) = next(&mut reader, path, cut_short)? {
        is_whole = matches!(record, Record::Ending(_));
    }
    Ok(Survey { beginning: reader.beginning().clone(), is_whole })
}

async fn replay(args: &ReplayArgs, survey: &Survey, output: &Output) -> Result<Exit, Failure> {
    let bus = args.bus.connect_to(args.into.as_deref()).await?;
    is_fit(&bus, &survey.beginning).await?;
    let mut player = Player::new(bus, args.speed, &survey.beginning.streams).await?;
    let mut reader = open(&args.file)?;
    let mut summary = Summary { cut_short: !survey.is_whole, ..Summary::default() };
    let stop = interrupted();
    tokio::pin!(stop);
    while let Some(record) = next(&mut reader, &args.file, args.cut_short)? {
        tokio::select! {
            played = player.play(record, &mut summary) => played?,
            () = &mut stop => {
                summary.interrupted = true;
                break;
            }
        }
        if summary.messages > 0 && summary.messages.is_multiple_of(TOLD_EVERY) {
            output.progress(&format!("{} messages", summary.messages));
        }
    }
    player.bus.close().await;
    output.result(&summary, || text(&summary));
    Ok(if summary.refused == 0 { Exit::Ok } else { Exit::Invalid })
}

fn text(summary: &Summary) -> String {
    let mut words = vec![format!("played {} messages and {} CRLs", summary.messages, summary.objects)];
    for (count, what) in
        [(summary.already_there, "were there already"), (summary.refused, "were REFUSED by the broker")]
    {
        words.extend((count > 0).then(|| format!("{count} {what}")));
    }
    words.extend(summary.cut_short.then(|| "the recording was cut short".to_owned()));
    words.extend(summary.interrupted.then(|| "interrupted".to_owned()));
    words.join("; ")
}

/// Only a broker with the declared streams, and not the one that was recorded.
async fn is_fit(bus: &Bus, beginning: &Beginning) -> Result<(), Failure> {
    let needed = [subjects::NOTICES, subjects::SIGHTINGS, "OBJ_crls", "KV_leases"];
    let declared: Vec<_> =
        built_in().into_iter().filter(|declared| needed.contains(&declared.name())).collect();
    let differences = bus.check(&declared).await.map_err(Failure::io)?;
    if !differences.is_empty() {
        let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err(Failure::invalid(format!(
            "this broker is not set up for a replay (revocast nats apply): {}",
            words.join("; ")
        )));
    }
    for stream in &beginning.streams {
        let state = bus.stream_state(&stream.name).await.map_err(Failure::io)?;
        if state.created == stream.created {
            return Err(Failure::usage(format!("this is the broker whose {} was recorded", stream.name)));
        }
    }
    Ok(())
}

struct Player {
    bus: Bus,
    objects: Objects,
    speed: Speed,
    births: HashMap<String, String>,
    /// The greatest sequence of each stream that was played before.
    reached: HashMap<String, u64>,
    /// When the first message was played, and when its original was stored.
    began: Option<(Instant, i64)>,
}

impl Player {
    async fn new(bus: Bus, speed: Speed, streams: &[RecordedStream]) -> Result<Player, Failure> {
        let objects = bus.objects(subjects::CRLS, subjects::LEASES, "replay").await.map_err(Failure::io)?;
        let mut reached = HashMap::new();
        for stream in streams {
            reached.insert(stream.name.clone(), played_before(&bus, stream).await?);
        }
        let births = streams.iter().map(|stream| (stream.name.clone(), stream.created.clone())).collect();
        Ok(Player { bus, objects, speed, births, reached, began: None })
    }

    async fn play(&mut self, record: Record, summary: &mut Summary) -> Result<(), Failure> {
        match record {
            Record::Object(bytes) => {
                patiently(async || self.objects.put(&bytes).await).await.map_err(Failure::io)?;
                summary.objects += 1;
            }
            Record::Message(message) => self.say(&message, summary).await?,
            Record::Beginning(_) | Record::Ending(_) => {}
        }
        Ok(())
    }

    async fn say(&mut self, message: &Recorded, summary: &mut Summary) -> Result<(), Failure> {
        if self.reached.get(&message.stream).is_some_and(|reached| message.sequence <= *reached) {
            summary.already_there += 1;
            return Ok(());
        }
        self.wait_for(message).await;
        // Whoever publishes a CRL inside a notice puts it into the store, too.
        if let Some(inline) = carried(message) {
            patiently(async || self.objects.put(&inline).await).await.map_err(Failure::io)?;
        }
        let lines = self.lines(message);
        let say = async || {
            let payload = message.payload.0.clone();
            self.bus.publish_verbatim(&message.stream, &message.subject, &lines, payload).await
        };
        match patiently(say).await {
            Ok((_, false)) => summary.messages += 1,
            Ok((_, true)) => summary.already_there += 1,
            Err(BusError::TooLarge { .. } | BusError::Refused { .. }) => summary.refused += 1,
            Err(error) => return Err(Failure::io(error)),
        }
        Ok(())
    }

    async fn wait_for(&mut self, message: &Recorded) {
        let (began, first_ns) = *self.began.get_or_insert((Instant::now(), message.stored_at_ns));
        let after = message.stored_at_ns.saturating_sub(first_ns);
        let due = self.speed.due(Duration::from_nanos(u64::try_from(after).unwrap_or(0)));
        match began.checked_add(due) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }

    fn lines(&self, message: &Recorded) -> Vec<(String, String)> {
        let birth = self.births.get(&message.stream).map_or("", String::as_str);
        let original = format!("{}{}", prefix(&message.stream, birth), message.sequence);
        let ours = [headers::REPLAY_OF, headers::STORED_AT];
        let directs = |name: &str| name.to_ascii_lowercase().starts_with("nats-");
        let kept =
            message.headers.iter().filter(|(name, _)| !directs(name) && !ours.contains(&name.as_str()));
        let mut lines: Vec<(String, String)> = kept.cloned().collect();
        lines.push((headers::MESSAGE_ID.into(), Digest::of(original.as_bytes()).to_string()));
        lines.push((headers::REPLAY_OF.into(), original));
        lines.push((headers::STORED_AT.into(), message.stored_at_ns.to_string()));
        lines
    }
}

/// The CRL inside a notice, if it is the one that the notice names.
fn carried(message: &Recorded) -> Option<bytes::Bytes> {
    let notice = decode::<CrlNotice>(&message.payload).ok()?;
    notice.crl.map(|inline| inline.0).filter(|inline| Digest::of(inline) == notice.digest)
}

fn prefix(stream: &str, birth: &str) -> String {
    format!("{stream}/{birth}/")
}

/// The greatest sequence of a recorded stream that stands in the broker as a replay.
async fn played_before(bus: &Bus, stream: &RecordedStream) -> Result<u64, Failure> {
    let state = bus.stream_state(&stream.name).await.map_err(Failure::io)?;
    if state.messages == 0 {
        return Ok(0);
    }
    let prefix = prefix(&stream.name, &stream.created);
    let mut reached = 0;
    let mut follower = Follower::from_sequence(bus, &stream.name, subjects::ALL_NOTICES, &state.created, 1);
    loop {
        match follower.next().await {
            Followed::Next(message) => {
                let original = message.header(headers::REPLAY_OF).and_then(|line| line.strip_prefix(&prefix));
                reached = original.and_then(|number| number.parse().ok()).unwrap_or(0).max(reached);
                if message.sequence >= state.last_sequence {
                    return Ok(reached);
                }
            }
            Followed::Detached { why } => return Err(Failure::io(why)),
            Followed::Head(_) | Followed::Attached { .. } => {}
        }
    }
}

/// Tries until the broker answers, or does not for too long.
async fn patiently<T>(work: impl AsyncFn() -> Result<T, BusError>) -> Result<T, BusError> {
    let until = Instant::now() + BROKER_PATIENCE;
    loop {
        match work().await {
            Err(error) if error.is_passing() && Instant::now() < until => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_word_or_a_number_above_zero() {
        let minute = Duration::from_secs(60);
        for (text, due) in
            [("original", minute), ("2", minute / 2), ("0.5", minute * 2), ("instant", Duration::ZERO)]
        {
            assert_eq!(text.parse::<Speed>().unwrap().due(minute), due, "{text}");
        }
        for wrong in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }
}
