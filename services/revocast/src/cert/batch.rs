//! Many questions in one run: a line of JSON each, answered by a line of JSON each, in the same order.
//!
//! Whatever a line is, it gets one line: a question that cannot be read or asked is `indeterminate` with the reason
//! `question`, one whose files cannot be read with the reason `file`.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use revocast_pki::asn1::Time;
use revocast_pki::signature::Memory;
use revocast_pki::verdict::{Outcome, Report};

use super::REMEMBERED;
use super::asked::{Answer, Asked, AskedError};
use super::files::Files;

pub(super) fn run(path: &Path, now: Time, out: &mut dyn Write) -> io::Result<()> {
    let content = fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (memory, mut files) = (Memory::new(REMEMBERED), Files::default());
    let mut out = BufWriter::new(out);
    let lines = content.strip_suffix(b"\n").unwrap_or(&content);
    if lines.is_empty() {
        return Ok(());
    }
    for line in lines.split(|octet| *octet == b'\n') {
        let answer = answer(line, folder, &mut files, &memory, now);
        serde_json::to_writer(&mut out, &answer)?;
        writeln!(out)?;
    }
    out.flush()
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
