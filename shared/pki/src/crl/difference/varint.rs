//! Numbers of seven bits per octet, lowest first, in their shortest form.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number below 2^63 from the front; `None` if there is none in its shortest form.
pub(super) fn take(from: &mut &[u8]) -> Option<usize> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (octet, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            let shortest = *octet != 0 || shift == 0;
            return if shortest { usize::try_from(number).ok() } else { None };
        }
    }
    None
}

/// A signed distance as a number: small ones of either sign stay small.
pub(super) fn zigzag(from: usize, to: usize) -> usize {
    if to >= from { (to - from) << 1 } else { ((from - to) << 1) - 1 }
}

/// Where a distance leads from `from`; `None` if that is below zero.
pub(super) fn unzigzag(from: usize, distance: usize) -> Option<usize> {
    if distance & 1 == 0 { from.checked_add(distance >> 1) } else { from.checked_sub((distance >> 1) + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_distances_lead_back_to_themselves() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 30, (1 << 63) - 1] {
            let mut out = Vec::new();
            put(&mut out, number);
            let mut rest = &out[..];
            assert_eq!((take(&mut rest), rest), (Some(number), &[][..]));
        }
        for (from, to) in [(0, 0), (5, 7), (7, 5), (0, 1 << 30), (1 << 30, 0)] {
            assert_eq!(unzigzag(from, zigzag(from, to)), Some(to));
        }
        assert_eq!(unzigzag(0, 1), None);
    }

    #[test]
    fn longer_forms_and_cut_ones_are_refused() {
        for octets in [&[0x80, 0][..], &[0x81], &[], &[0xff; 12]] {
            assert_eq!(take(&mut &*octets), None, "{octets:02x?}");
        }
    }
}
