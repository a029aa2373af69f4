//! `revocast crl diff`.

use std::path::PathBuf;

use revocast_pki::crl::{Changes, Difference, RevokedCertificate};
use revocast_pki::identity::{CrlId, CrlKind};
use serde::Serialize;

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

/// Certificates shown to people unless more are asked for; machines get them all.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The older CRL.
    #[arg(value_name = "FILE|URL")]
    old: PathBuf,
    /// The newer CRL.
    #[arg(value_name = "FILE|URL")]
    new: PathBuf,
    /// Write the difference here, for `crl patch`.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show every certificate, however many there are.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: files::Reach,
}

#[derive(Serialize)]
struct Report {
    old: CrlId,
    new: CrlId,
    changes: Changes,
    difference_bytes: usize,
    new_bytes: usize,
    worthwhile: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let (old, new) =
        (files::crl(&args.old, &args.reach, output)?, files::crl(&args.new, &args.reach, output)?);
    if old.issuer() != new.issuer() {
        output.progress("The CRLs are of different issuers.");
    }
    if (old.kind(), new.kind()) == (CrlKind::Delta, CrlKind::Complete) {
        output.progress("A delta does not mention what did not change: against it, all the rest is new.");
    }
    let difference = Difference::construct(&old, &new);
    if let Some(path) = &args.out {
        files::write(path, difference.encoded())?;
    }
    let report = Report {
        old: old.id(),
        new: new.id(),
        changes: Changes::between(&old, &new),
        difference_bytes: difference.encoded().len(),
        new_bytes: new.der().len(),
        worthwhile: difference.is_worthwhile(),
    };
    output.result(&report, || report.text(if args.all { usize::MAX } else { SHOWN }));
    Ok(Exit::Ok)
}

impl Report {
    fn text(&self, shown: usize) -> String {
        let changes = &self.changes;
        let mut rows = Vec::new();
        for (what, certificates) in
            [("revoked", &changes.revoked), ("released", &changes.released), ("dropped", &changes.dropped)]
        {
            rows.extend(certificates.iter().map(|certificate| row(what, certificate)));
        }
        rows.extend(changes.changed.iter().map(|changed| {
            let [what, serial, date, reason] = row("changed", &changed.certificate);
            [what, serial, date, format!("{reason}, before {}", changed.reason_before)]
        }));
        let left_out = rows.len().saturating_sub(shown);
        rows.truncate(shown);
        let mut text = String::new();
        if !rows.is_empty() {
            text = format!("{}\n", table(["", "SERIAL", "SINCE", "REASON"], rows));
        }
        if left_out > 0 {
            text.push_str(&format!("... and {left_out} more (--all shows them)\n"));
        }
        format!(
            "{text}{} revoked, {} released, {} dropped, {} changed\ndifference: {} bytes for a CRL of {}{}",
            changes.revoked.len(),
            changes.released.len(),
            changes.dropped.len(),
            changes.changed.len(),
            self.difference_bytes,
            self.new_bytes,
            if self.worthwhile { "" } else { "; send the whole CRL instead" },
        )
    }
}

fn row(what: &str, certificate: &RevokedCertificate) -> [String; 4] {
    let RevokedCertificate { serial, date, reason, .. } = certificate;
    [what.to_owned(), serial.to_string(), date.to_string(), reason.to_string()]
}
