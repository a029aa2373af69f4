//! `revocast notices record`: the notice streams into a file, with the CRLs that they name.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::future::select_all;
use revocast_bus::{Bus, Followed, Follower, Objects, Stored};
use revocast_messages::subjects;
use revocast_pki::identity::Digest;
use revocast_recording::{Beginning, MAX_OBJECT, Merge, Recorded, RecordedStream, RecordingError, Writer};
use serde::Serialize;

use super::interrupted;
use crate::bus::{BusArgs, block_on};
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What is written reaches the file this often, and a terminal is told how far it is.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// An object that the broker does not give for a passing reason is asked for this often, with a pause in between.
const OBJECT_ATTEMPTS: u32 = 5;
const OBJECT_PAUSE: Duration = Duration::from_millis(500);

/// Options of `notices record`.
#[derive(Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    bus: BusArgs,
    /// The file, which must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which stream.
    #[arg(long, value_name = "NOTICES|SIGHTINGS|both", default_value = "both")]
    stream: Streams,
    /// From the first message that is there, from now on, or from a sequence of the stream.
    #[arg(long, value_name = "first|now|SEQ", default_value = "first")]
    from: Start,
    /// Until the last message that is there, or a sequence of the stream.
    #[arg(long, value_name = "SEQ|end", default_value = "end")]
    until: Until,
    /// Go on with what comes, until interrupted or until the sequence is there.
    #[arg(long)]
    follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streams {
    One(&'static str),
    Both,
}

impl Streams {
    fn names(self) -> Vec<&'static str> {
        match self {
            Streams::One(name) => vec![name],
            Streams::Both => vec![subjects::NOTICES, subjects::SIGHTINGS],
        }
    }
}

impl FromStr for Streams {
    type Err = String;

    fn from_str(text: &str) -> Result<Streams, String> {
        match text.to_ascii_uppercase().as_str() {
            subjects::NOTICES => Ok(Streams::One(subjects::NOTICES)),
            subjects::SIGHTINGS => Ok(Streams::One(subjects::SIGHTINGS)),
            "BOTH" => Ok(Streams::Both),
            _ => Err("NOTICES, SIGHTINGS or both".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    First,
    Now,
    Sequence(u64),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Start, String> {
        match text {
            "first" => Ok(Start::First),
            "now" => Ok(Start::Now),
            number => sequence(number).map(Start::Sequence),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    End,
    Sequence(u64),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        if text == "end" { Ok(Until::End) } else { sequence(text).map(Until::Sequence) }
    }
}

fn sequence(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a word, or a sequence from 1 on".into())
}

/// What came of it.
#[derive(Serialize)]
struct Summary {
    file: PathBuf,
    interrupted: bool,
    streams: Vec<StreamSummary>,
    messages: u64,
    objects: u64,
    missing_objects: u64,
    bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
struct StreamSummary {
    stream: &'static str,
    messages: u64,
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
}

pub(super) fn run(args: &RecordArgs, output: &Output) -> Result<Exit, Failure> {
    let numbered = matches!(args.from, Start::Sequence(_)) || matches!(args.until, Until::Sequence(_));
    if numbered && args.stream == Streams::Both {
        return Err(Failure::usage("a sequence is one of one stream: name it with --stream"));
    }
    if args.from == Start::Now && !args.follow {
        return Err(Failure::usage("from now on there is nothing yet: add --follow"));
    }
    block_on(record(args, output))
}

async fn record(args: &RecordArgs, output: &Output) -> Result<Exit, Failure> {
    let bus = args.bus.connect().await?;
    let mut sources = Vec::new();
    for name in args.stream.names() {
        sources.push(Source::open(&bus, name, args).await?);
    }
    let beginning =
        Beginning { began_at_ms: now_ms(), streams: sources.iter().map(Source::recorded).collect() };
    let objects = bus.objects(subjects::CRLS, subjects::LEASES, "recorder").await.map_err(Failure::io)?;
    let mut recorder =
        Recorder { writer: Writer::begin(create(&args.out)?, &beginning).map_err(failed)?, objects };
    let carried = carry(&mut sources, &mut recorder, output).await;
    // Whatever ended it: what is written by now is a whole recording.
    let bytes = recorder.writer.bytes();
    let (ending, file) = recorder.writer.end().map_err(failed)?;
    file.into_inner().map_err(Failure::io)?.sync_all().map_err(Failure::io)?;
    let summary = Summary {
        file: args.out.clone(),
        interrupted: carried?,
        streams: sources.into_iter().map(|source| source.summary).collect(),
        messages: ending.messages,
        objects: ending.objects,
        missing_objects: ending.missing,
        bytes,
    };
    output.result(&summary, || text(&summary));
    Ok(Exit::Ok)
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    created.map(BufWriter::new).map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}

fn failed(error: RecordingError) -> Failure {
    Failure::io(error)
}

fn text(summary: &Summary) -> String {
    let mut lines: Vec<String> = summary.streams.iter().map(StreamSummary::to_string).collect();
    let missing = match summary.missing_objects {
        0 => String::new(),
        missing => format!(" ({missing} more are named, and the broker does not have them)"),
    };
    lines.push(format!(
        "{}: {} messages and {} CRLs{missing}, {} bytes",
        summary.file.display(),
        summary.messages,
        summary.objects,
        summary.bytes
    ));
    lines.join("\n")
}

impl std::fmt::Display for StreamSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.first_sequence, self.last_sequence) {
            (Some(first), Some(last)) => {
                write!(f, "{}: {} messages, from {first} to {last}", self.stream, self.messages)
            }
            _ => write!(f, "{}: nothing", self.stream),
        }
    }
}

/// A stream, from the first message that is wanted to the last.
struct Source {
    name: &'static str,
    created: String,
    follower: Follower,
    /// The last message that was there when it began.
    present: u64,
    until: Option<u64>,
    /// Everything that is wanted was told.
    done: bool,
    summary: StreamSummary,
}

impl Source {
    async fn open(bus: &Bus, name: &'static str, args: &RecordArgs) -> Result<Source, Failure> {
        let state = bus.stream_state(name).await.map_err(Failure::io)?;
        let present = if state.messages == 0 { 0 } else { state.last_sequence };
        let first = match args.from {
            Start::First => 1,
            Start::Now => state.last_sequence + 1,
            Start::Sequence(sequence) => sequence,
        };
        let until = match (args.until, args.follow) {
            (Until::Sequence(sequence), true) => Some(sequence),
            (Until::Sequence(sequence), false) => Some(sequence.min(present)),
            (Until::End, false) => Some(present),
            (Until::End, true) => None,
        };
        let summary = StreamSummary { stream: name, messages: 0, first_sequence: None, last_sequence: None };
        Ok(Source {
            name,
            follower: Follower::from_sequence(bus, name, subjects::ALL_NOTICES, &state.created, first),
            created: state.created,
            done: until.is_some_and(|until| until < first),
            present: if present < first { 0 } else { present },
            until,
            summary,
        })
    }

    fn recorded(&self) -> RecordedStream {
        RecordedStream { name: self.name.to_owned(), created: self.created.clone() }
    }

    /// Whether what it tells from now on is new.
    fn is_caught_up(&self, reached: u64) -> bool {
        self.done || reached >= self.present
    }

    /// Takes note of a message; `false` if it lies beyond what is wanted.
    fn is_wanted(&mut self, sequence: u64) -> bool {
        self.done = self.until.is_some_and(|until| sequence >= until);
        let wanted = self.until.is_none_or(|until| sequence <= until);
        if wanted {
            self.summary.messages += 1;
            self.summary.first_sequence.get_or_insert(sequence);
            self.summary.last_sequence = Some(sequence);
        }
        wanted
    }
}

/// Carries messages from the streams to the file; tells whether it was interrupted.
async fn carry(sources: &mut [Source], recorder: &mut Recorder, output: &Output) -> Result<bool, Failure> {
    let mut merge = Merge::new(sources.len());
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| source.is_caught_up(0)) {
        merge.catch_up(index);
        output.progress(&format!("{}: nothing is there yet that is wanted", source.name));
    }
    let mut ticking = tokio::time::interval(FLUSH_INTERVAL);
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        while let Some((stream, message)) = merge.take() {
            recorder.take(stream, &message).await?;
        }
        if sources.iter().all(|source| source.done) {
            return Ok(false);
        }
        tokio::select! {
            (index, followed) = next_of(sources, &merge) => hear(sources, index, followed, &mut merge, output)?,
            () = &mut stop => return Ok(true),
            _ = ticking.tick() => recorder.flush(output)?,
        }
    }
}

/// What one of the streams tells that has room for more.
async fn next_of<T>(sources: &mut [Source], merge: &Merge<T>) -> (usize, Followed) {
    let wanted = |(index, source): &(usize, &mut Source)| !source.done && merge.has_room(*index);
    let waiting = sources.iter_mut().enumerate().filter(wanted);
    let next: Vec<_> = waiting
        .map(|(index, source)| Box::pin(async move { (index, source.follower.next().await) }))
        .collect();
    if next.is_empty() { std::future::pending().await } else { select_all(next).await.0 }
}

fn hear(
    sources: &mut [Source],
    index: usize,
    followed: Followed,
    merge: &mut Merge<(&'static str, Stored)>,
    output: &Output,
) -> Result<(), Failure> {
    let Some(source) = sources.get_mut(index) else { return Ok(()) };
    let name = source.name;
    match followed {
        Followed::Next(message) => {
            let sequence = message.sequence;
            if source.is_wanted(sequence) {
                let at = i64::try_from(message.stored_at_ns).unwrap_or(i64::MAX);
                merge.put(index, at, (name, message));
            }
            if source.is_caught_up(sequence) {
                merge.catch_up(index);
            }
        }
        Followed::Attached { resync: Some(_), .. } => {
            return Err(Failure::io(format!(
                "{name} was made anew or lost its end: what was recorded before is in the file"
            )));
        }
        Followed::Detached { why } => {
            output.progress(&format!("{name}: contact is lost ({why}), trying again"));
        }
        Followed::Head(_) | Followed::Attached { resync: None, .. } => {}
    }
    Ok(())
}

/// Writes messages, each after the CRL that it names.
struct Recorder {
    writer: Writer<BufWriter<File>>,
    objects: Objects,
}

impl Recorder {
    async fn take(&mut self, stream: &str, message: &Stored) -> Result<(), Failure> {
        let recorded = Recorded {
            stream: stream.to_owned(),
            sequence: message.sequence,
            stored_at_ns: i64::try_from(message.stored_at_ns).unwrap_or(i64::MAX),
            subject: message.subject.clone(),
            headers: message.header_lines(),
            payload: message.payload.clone().into(),
        };
        if let Some((digest, size)) = recorded.named_object()
            && !self.writer.knows(digest)
        {
            match self.fetch(digest, size).await {
                Some(bytes) => self.writer.object(&bytes).map_err(failed)?,
                None => self.writer.misses(digest),
            }
        }
        self.writer.message(&recorded).map_err(failed)
    }

    /// An object, if the broker has it. What is announced as larger than a recording takes is not asked for.
    async fn fetch(&self, digest: Digest, size: u64) -> Option<Bytes> {
        if size > MAX_OBJECT as u64 {
            return None;
        }
        for attempt in 1..=OBJECT_ATTEMPTS {
            match self.objects.get(&digest.to_string(), MAX_OBJECT).await {
                Ok(bytes) => return Some(bytes),
                Err(error) if error.is_passing() && attempt < OBJECT_ATTEMPTS => {
                    tokio::time::sleep(OBJECT_PAUSE).await;
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn flush(&mut self, output: &Output) -> Result<(), Failure> {
        let so_far = self.writer.so_far();
        output.progress(&format!("{} messages, {} CRLs", so_far.messages, so_far.objects));
        self.writer.flush().map_err(failed)
    }
}
