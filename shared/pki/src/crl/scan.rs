//! One walk over the entries of a list: reads each strictly and files it in the index.
//!
//! Nearly all entries of the world look alike: a short SEQUENCE of serial, UTCTime and perhaps a reason and an
//! invalidity date. [`common`] recognises those by their octets, at a tenth of the cost of reading them value by
//! value; whatever it does not recognise is read the long way, which alone decides what is wrong. A test holds
//! that both agree.

use std::collections::HashMap;

use super::entry::{Checked, Fields};
use super::index::{Index, IndexBuilder};
use super::{CrlError, Header, MAX_ENTRIES, Unusable, serial_hash};
use crate::asn1::{Reader, Time, minimal_integer};
use crate::name::Name;

/// Room for this many entries is made at first; then as many more as the octets read so far suggest.
const FIRST_ROOM: usize = 256;

/// Entries that fall into one bucket are a dozen, forty at the most: more than this are one serial over and over, which
/// no CA needs and which would make every look-up beside it slow.
const MAX_REPETITIONS: usize = 1024;

/// What the walk leaves.
pub(super) struct Scan {
    pub(super) index: Index,
    pub(super) issuers: Issuers,
    pub(super) unusable: Option<Unusable>,
}

/// Reads all entries of a list.
pub(super) fn scan(header: &Header) -> Result<Scan, CrlError> {
    let range = header.entries();
    // Offsets fit 32 bits, since a CRL has at most MAX_OCTETS.
    let list = header.der().get(..range.end).unwrap_or_default();
    let mut index = IndexBuilder::new(FIRST_ROOM);
    let mut issuers = Issuers::default();
    let mut unusable = None;
    let mut at = range.start;
    while at < list.len() {
        let (length, serial) = match common(&list[at..]) {
            Some(entry) => entry,
            None => {
                let (fields, flaw) = uncommon(header, &list[at..], at, &mut issuers)?;
                unusable = unusable.or(flaw);
                (fields.raw.len(), fields.serial)
            }
        };
        let hash = serial_hash::hash(minimal_integer(serial), issuers.latest);
        index.push(hash, at as u32, |filed| expected(filed, at - range.start, list.len() - at));
        at += length;
        if index.len() > MAX_ENTRIES {
            return Err(CrlError::TooManyEntries);
        }
    }
    let index = index.build();
    if index.fullest() > MAX_REPETITIONS {
        return Err(CrlError::Repetitions);
    }
    Ok(Scan { index, issuers, unusable })
}

/// How many more entries there will be, if they go on as the `filed` ones did, which took `octets`.
fn expected(filed: usize, octets: usize, remaining: usize) -> usize {
    remaining.saturating_mul(filed) / octets.max(1) + 1
}

/// Reads an entry the long way.
fn uncommon<'a>(
    header: &Header,
    rest: &'a [u8],
    at: usize,
    issuers: &mut Issuers,
) -> Result<(Fields<'a>, Option<Unusable>), CrlError> {
    let fields = Fields::read(&mut Reader::part(rest, at))?;
    let Some(extensions) = fields.extensions else { return Ok((fields, None)) };
    let checked = Checked::read(extensions.reader())?;
    let mut flaw = checked.unknown_critical.map(Unusable::UnknownCriticalEntryExtension);
    if let Some(name) = checked.certificate_issuer {
        if !header.is_indirect() || name.is_none() {
            flaw.get_or_insert(Unusable::CertificateIssuer);
        }
        if let Some(name) = name {
            issuers.change(at as u32, header.issuer(), name);
        }
    }
    Ok((fields, flaw))
}

/// Length and serial of the entry that `rest` begins with, if it is one of the common kind.
#[inline]
pub(super) fn common(rest: &[u8]) -> Option<(usize, &[u8])> {
    let [0x30, length @ ..=0x7f, 0x02, octets @ 1..=0x7f, ..] = rest else { return None };
    let length = 2 + usize::from(*length);
    let (serial, rest) = rest.get(4..length)?.split_at_checked(usize::from(*octets))?;
    let (date, extensions) = rest.split_first_chunk()?;
    (is_utc_time(date) && are_common(extensions)).then_some((length, serial))
}

/// Whether these are no entry extensions, or a reason code and an invalidity date, or one of them.
#[inline]
fn are_common(extensions: &[u8]) -> bool {
    let [0x30, length, list @ ..] = extensions else { return extensions.is_empty() };
    let mut list = list;
    if *length > 0x7f || list.len() != usize::from(*length) {
        return false;
    }
    if let Some(([0x30, 0x0a, 6, 3, 0x55, 0x1d, 21, 4, 3, 0x0a, 1, ..=0x7f], rest)) = list.split_first_chunk()
    {
        list = rest;
    }
    if let Some(([0x30, 0x18, 6, 3, 0x55, 0x1d, 24, 4, 0x11, 0x18, 0x0f, time @ ..], rest)) =
        list.split_first_chunk::<26>()
        && Time::from_generalized_time(time).is_some()
    {
        list = rest;
    }
    list.is_empty()
}

/// Whether these are tag, length and content of a UTCTime, as [`Reader::time`] would say.
#[inline]
fn is_utc_time(value: &[u8; 15]) -> bool {
    const DAYS: [u64; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let [0x17, 0x0d, a, b, c, d, e, f, g, h, i, j, k, l, b'Z'] = *value else { return false };
    let (Some([year, month, day, hour]), Some([_, _, minute, second])) =
        (pairs([a, b, c, d, e, f, g, h]), pairs([e, f, g, h, i, j, k, l]))
    else {
        return false;
    };
    let days = match DAYS.get(month as usize) {
        // 2000 is among the years 1950 to 2049 and is a leap year, so every fourth one is.
        Some(29) if year % 4 != 0 => 28,
        Some(days) => *days,
        None => return false,
    };
    day.wrapping_sub(1) < days && hour < 24 && minute < 60 && second < 60
}

/// Eight decimal digits as four numbers, all lanes of a word at once; `None` if one is no digit.
#[inline]
fn pairs(digits: [u8; 8]) -> Option<[u64; 4]> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const SIXES: u64 = 0x0606_0606_0606_0606;
    let word = u64::from_le_bytes(digits);
    // A digit is 0x30 to 0x39: its high half is 3, and still is after six was added.
    if word & HIGH != ZEROS || word.wrapping_add(SIXES) & HIGH != ZEROS {
        return None;
    }
    let digits = word - ZEROS;
    let pairs = digits * 10 + (digits >> 8);
    Some([0, 16, 32, 48].map(|shift| pairs >> shift & 0xff))
}

/// Whose certificates the entries of an indirect CRL are. The issuer of the CRL has the number 0; others are
/// numbered as they come, and hold until the next one comes (RFC 5280 5.3.3). Eight octets for each change.
#[derive(Default)]
pub(super) struct Issuers {
    /// The issuers from number 1 on.
    names: Vec<Name>,
    numbers: HashMap<Name, u32>,
    /// From which offset on which issuer holds, ascending.
    runs: Vec<(u32, u32)>,
    latest: u32,
}

impl Issuers {
    /// The number of the CRL's own issuer.
    pub(super) const OWN: u32 = 0;

    /// The number of the issuer of the entry at `offset`.
    #[inline]
    pub(super) fn at(&self, offset: u32) -> u32 {
        match self.runs.partition_point(|(start, _)| *start <= offset).checked_sub(1) {
            Some(run) => self.runs.get(run).map_or(Issuers::OWN, |(_, number)| *number),
            None => Issuers::OWN,
        }
    }

    /// The number of an issuer, if entries of its may be here; `own` is the issuer of the CRL.
    pub(super) fn ordinal(&self, own: &Name, name: &Name) -> Option<u32> {
        if own == name { Some(Issuers::OWN) } else { self.numbers.get(name).copied() }
    }

    /// The name behind a number.
    pub(super) fn name<'a>(&'a self, number: u32, own: &'a Name) -> &'a Name {
        (number as usize).checked_sub(1).and_then(|other| self.names.get(other)).unwrap_or(own)
    }

    /// Octets that it takes, but for what shared names point to.
    pub(super) fn size(&self) -> usize {
        self.runs.capacity() * size_of::<(u32, u32)>() + self.names.capacity() * size_of::<Name>()
    }

    fn change(&mut self, offset: u32, own: &Name, name: Name) {
        let number = match self.ordinal(own, &name) {
            Some(number) => number,
            None => {
                self.names.push(name.clone());
                let number = self.names.len() as u32;
                self.numbers.insert(name, number);
                number
            }
        };
        if number != self.latest {
            self.runs.push((offset, number));
            self.latest = number;
        }
    }
}
