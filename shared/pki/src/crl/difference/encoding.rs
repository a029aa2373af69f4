//! The octets of a difference, written and read; the [module above](super) has the table.

use bytes::Bytes;

use super::varint::{put, take, unzigzag, zigzag};
use super::{DIFFERENCE_VERSION, Difference, DifferenceError, MAX_DIFFERENCE_OCTETS, Run};
use crate::crl::MAX_OCTETS;
use crate::identity::{CrlId, Digest};

const ID: usize = 32;
const CHECKSUM: usize = 16;

/// Puts a difference together from runs, joining those that follow one another.
pub(super) struct Encoder {
    base: CrlId,
    target: CrlId,
    made: usize,
    out: Vec<u8>,
    runs_at: usize,
    insert: Vec<u8>,
    /// Start and length of a copy that follows the insert.
    copy: Option<(usize, usize)>,
    /// Where the copy that was written last ended.
    from: usize,
}

impl Encoder {
    /// For a CRL of `made` octets.
    pub(super) fn new(base: CrlId, target: CrlId, made: usize) -> Encoder {
        let mut out = vec![DIFFERENCE_VERSION];
        out.extend_from_slice(&base.0);
        out.extend_from_slice(&target.0);
        put(&mut out, made);
        let runs_at = out.len();
        Encoder { base, target, made, out, runs_at, insert: Vec::new(), copy: None, from: 0 }
    }

    pub(super) fn insert(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        if self.copy.is_some() {
            self.flush();
        }
        self.insert.extend_from_slice(octets);
    }

    pub(super) fn copy(&mut self, start: usize, length: usize) {
        match &mut self.copy {
            Some((from, copied)) if *from + *copied == start => *copied += length,
            Some(_) => {
                self.flush();
                self.copy = Some((start, length));
            }
            None => self.copy = Some((start, length)),
        }
    }

    /// Octets so far, the checksum left out.
    pub(super) fn len(&self) -> usize {
        self.out.len() + self.insert.len()
    }

    pub(super) fn finish(mut self) -> Difference {
        if !self.insert.is_empty() || self.copy.is_some() {
            self.flush();
        }
        let sum = checksum(&self.out);
        self.out.extend_from_slice(&sum);
        let Encoder { base, target, made, runs_at, .. } = self;
        Difference { base, target, made, encoded: self.out.into(), runs_at }
    }

    fn flush(&mut self) {
        put(&mut self.out, self.insert.len());
        self.out.append(&mut self.insert);
        if let Some((start, length)) = self.copy.take() {
            put(&mut self.out, length);
            put(&mut self.out, zigzag(self.from, start));
            self.from = start + length;
        }
    }
}

pub(super) fn decode(encoded: Bytes) -> Result<Difference, DifferenceError> {
    if encoded.len() > MAX_DIFFERENCE_OCTETS {
        return Err(DifferenceError::TooLarge);
    }
    match encoded.first() {
        Some(&DIFFERENCE_VERSION) => {}
        Some(other) => return Err(DifferenceError::Version(*other)),
        None => return Err(DifferenceError::Malformed),
    }
    let (body, sum) = encoded.split_last_chunk::<CHECKSUM>().ok_or(DifferenceError::Malformed)?;
    if checksum(body) != *sum {
        return Err(DifferenceError::Malformed);
    }
    let (base, target, made, runs_at) = frame(body).ok_or(DifferenceError::Malformed)?;
    if made > MAX_OCTETS {
        return Err(DifferenceError::TooLarge);
    }
    let mut runs = Runs::new(&body[runs_at..], made);
    while runs.next().is_some() {}
    if runs.left > 0 || !runs.rest.is_empty() {
        return Err(DifferenceError::Malformed);
    }
    Ok(Difference { base, target, made, runs_at, encoded })
}

/// The runs of a difference, in the order of what they make.
pub(super) fn runs(difference: &Difference) -> Runs<'_> {
    let end = difference.encoded.len().saturating_sub(CHECKSUM);
    Runs::new(difference.encoded.get(difference.runs_at..end).unwrap_or_default(), difference.made)
}

/// Base, target, octets made, and where the runs begin.
fn frame(body: &[u8]) -> Option<(CrlId, CrlId, usize, usize)> {
    let (base, rest) = body.get(1..)?.split_first_chunk::<ID>()?;
    let (target, mut rest) = rest.split_first_chunk::<ID>()?;
    let made = take(&mut rest)?;
    Some((CrlId(*base), CrlId(*target), made, body.len() - rest.len()))
}

/// Walks encoded runs; ends when all is made, or where the octets stop making sense.
pub(super) struct Runs<'a> {
    rest: &'a [u8],
    /// Octets that are yet to be made.
    left: usize,
    /// Where the copy before ended.
    from: usize,
    copy_is_next: bool,
}

impl<'a> Runs<'a> {
    fn new(rest: &'a [u8], made: usize) -> Runs<'a> {
        Runs { rest, left: made, from: 0, copy_is_next: false }
    }

    fn take_insert(&mut self) -> Option<Run<'a>> {
        let length = take(&mut self.rest)?;
        let (octets, rest) = self.rest.split_at_checked(length)?;
        self.left = self.left.checked_sub(length)?;
        self.rest = rest;
        Some(Run::Insert(octets))
    }

    fn take_copy(&mut self) -> Option<Run<'a>> {
        let length = take(&mut self.rest)?;
        let start = unzigzag(self.from, take(&mut self.rest)?)?;
        self.left = if length == 0 { None } else { self.left.checked_sub(length) }?;
        self.from = start.checked_add(length)?;
        Some(Run::Copy { start, length })
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        if self.left == 0 {
            return None;
        }
        self.copy_is_next = !self.copy_is_next;
        let run = if self.copy_is_next { self.take_insert() } else { self.take_copy() };
        if run.is_none() {
            // Nothing that follows can be told from what does not make sense.
            self.left = self.left.max(1);
            self.rest = &[];
        }
        run
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let Digest(hash) = Digest::of(body);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}
