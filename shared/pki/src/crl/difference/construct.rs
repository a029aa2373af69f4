//! Making a difference from two lists.
//!
//! New entries are walked in their order beside the old ones. While both agree, a copy grows; where they do not, the
//! old list is asked for the new entry: if it has it, with the same octets, the copy goes on from there (entries in
//! between were dropped, or the list was re-sorted), else the entry is inserted. That takes one comparison per entry
//! that stayed in place and one look-up per entry that did not, whatever the order of either list.

use super::Difference;
use super::encoding::Encoder;
use crate::crl::{Crl, Entries, Entry};

pub(super) fn construct(old: &Crl, new: &Crl) -> Difference {
    let difference = by_entries(old, new);
    if difference.is_bounded_by(old) { difference } else { whole(old, new) }
}

fn by_entries(old: &Crl, new: &Crl) -> Difference {
    let der = new.der();
    let list = new.header().entries();
    let (before, after) = (der.get(..list.start), der.get(list.end..));
    let tbs_at = old.header().tbs_at();
    let mut encoder = Encoder::new(old.id(), new.id(), der.len());
    let mut expected = old.iter();
    encoder.insert(before.unwrap_or_default());
    for entry in new.iter() {
        match counterpart(old, &mut expected, &entry) {
            Some(same) => encoder.copy(same.offset() - tbs_at, same.der().len()),
            None => encoder.insert(entry.der()),
        }
    }
    encoder.insert(after.unwrap_or_default());
    encoder.finish()
}

/// The old entry with the same octets, if there is one. `expected` then stands behind it.
fn counterpart<'a>(old: &'a Crl, expected: &mut Entries<'a>, entry: &Entry<'_>) -> Option<Entry<'a>> {
    let mut next = expected.clone();
    if let Some(found) = next.next()
        && found.der() == entry.der()
    {
        *expected = next;
        return Some(found);
    }
    let found = old.find_issued_by(entry.certificate_issuer(), entry.serial())?;
    if found.der() != entry.der() {
        return None;
    }
    *expected = old.iter_behind(&found);
    Some(found)
}

/// The new CRL as one insert.
fn whole(old: &Crl, new: &Crl) -> Difference {
    let mut encoder = Encoder::new(old.id(), new.id(), new.der().len());
    encoder.insert(new.der());
    encoder.finish()
}
