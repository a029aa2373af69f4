//! Many questions in one run: a line of JSON each, answered by a line of JSON each, in the same order.
//!
//! Whatever a line is, it gets one line: a question that cannot be read or asked is `indeterminate` with the reason
//! `question`, one whose files cannot be read with the reason `file`.

use std::fs;
use std::path::Path;

use revocast_pki::asn1::Time;
use revocast_pki::signature::Memory;
use revocast_pki::verdict::{Outcome, Report};

use super::REMEMBERED;
use super::asked::{Answer, Asked, AskedError};
use super::files::Files;
use crate::exit::Failure;
use crate::output::Output;

pub(super) fn run(path: &Path, now: Time) -> Result<(), Failure> {
    let lines = fs::read(path).map_err(|error| Failure::io(format_args!("{}: {error}", path.display())))?;
    let output = Output::new(true);
    answers(&lines, path.parent().unwrap_or(Path::new("")), now)
        .for_each(|answer| output.record(&answer, String::new));
    Ok(())
}

/// One answer for each line; what follows the last line feed is a line if there is anything.
pub(super) fn answers<'a>(
    lines: &'a [u8],
    folder: &'a Path,
    now: Time,
) -> impl Iterator<Item = Answer> + use<'a> {
    let (memory, mut files) = (Memory::new(REMEMBERED), Files::default());
    let lines = lines.split_inclusive(|octet| *octet == b'\n');
    lines.map(move |line| answer(line, folder, &mut files, &memory, now))
}

fn answer(line: &[u8], folder: &Path, files: &mut Files, memory: &Memory, now: Time) -> Answer {
    let asked: Result<Asked, _> = serde_json::from_slice(line);
    let (reason, explanation) = match asked {
        Err(error) => ("question", error.to_string()),
        Ok(asked) => match asked.relative_to(folder).answer(files, memory, now) {
            Ok(answer) => return answer,
            Err(error @ AskedError::Usage(_)) => ("question", error.to_string()),
            Err(error @ AskedError::File(..)) => ("file", error.to_string()),
        },
    };
    let report = Report::without_path(Outcome::Indeterminate, reason, &explanation, now);
    Answer { report, warnings: Vec::new() }
}
