//! Two consecutive differences as one, without any CRL at hand.

use super::encoding::{Encoder, runs};
use super::{Difference, DifferenceError, MAX_DIFFERENCE_OCTETS, Run};

pub(super) fn merge(first: &Difference, second: &Difference) -> Result<Difference, DifferenceError> {
    if first.target != second.base {
        return Err(DifferenceError::OtherBase { wanted: second.base, found: first.target });
    }
    let made = Made::by(first);
    let mut encoder = Encoder::new(first.base, second.target, second.made);
    for run in runs(second) {
        match run {
            Run::Insert(octets) => encoder.insert(octets),
            Run::Copy { start, length } => made.copy(start, length, &mut encoder)?,
        }
        if encoder.len() > MAX_DIFFERENCE_OCTETS {
            return Err(DifferenceError::TooLarge);
        }
    }
    Ok(encoder.finish())
}

/// What a difference makes, as runs and where each begins.
struct Made<'a> {
    runs: Vec<(usize, Run<'a>)>,
    /// Where the TBSCertList begins, from which copies are counted.
    tbs_at: usize,
}

impl<'a> Made<'a> {
    fn by(difference: &'a Difference) -> Made<'a> {
        let mut at = 0;
        let begin = |run: Run<'a>| {
            let begins = at;
            at += run.length();
            (begins, run)
        };
        Made { runs: runs(difference).map(begin).collect(), tbs_at: header_octets(difference.made) }
    }

    /// Copies `length` octets from `start` of the TBSCertList that was made: by way of the runs that made them.
    fn copy(&self, start: usize, length: usize, encoder: &mut Encoder) -> Result<(), DifferenceError> {
        let mut at = self.tbs_at.checked_add(start).ok_or(DifferenceError::OutOfBase)?;
        let end = at.checked_add(length).ok_or(DifferenceError::OutOfBase)?;
        let first = self.runs.partition_point(|(begins, run)| begins + run.length() <= at);
        for (begins, run) in self.runs.get(first..).unwrap_or_default() {
            if at == end {
                break;
            }
            let part = at - begins..run.length().min(end - begins);
            match run {
                Run::Insert(octets) => encoder.insert(octets.get(part.clone()).unwrap_or_default()),
                Run::Copy { start, .. } => encoder.copy(start + part.start, part.len()),
            }
            at += part.len();
            if encoder.len() > MAX_DIFFERENCE_OCTETS {
                return Err(DifferenceError::TooLarge);
            }
        }
        if at == end { Ok(()) } else { Err(DifferenceError::OutOfBase) }
    }
}

impl Run<'_> {
    fn length(&self) -> usize {
        match self {
            Run::Insert(octets) => octets.len(),
            Run::Copy { length, .. } => *length,
        }
    }
}

/// Octets of tag and length in front of the content of a DER value that has `total` octets in all.
fn header_octets(total: usize) -> usize {
    match total {
        ..=0x81 => 2,
        0x82..=0x102 => 3,
        0x103..=0x1_0003 => 4,
        0x1_0004..=0x100_0004 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{Reader, Tag, Writer};

    #[test]
    fn the_header_of_a_value_follows_from_its_size() {
        for content in [0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let mut writer = Writer::new();
            writer.value(Tag::SEQUENCE, &vec![0; content]);
            let der = writer.finish();
            let value = Reader::single(&der, Tag::SEQUENCE).unwrap();
            assert_eq!(header_octets(der.len()), value.content_at(), "{content:#x}");
        }
    }
}
