//! The index of a CRL: where in its DER the entry of a serial stands.
//!
//! One slot of eight octets per entry: the high half of the serial's [hash](super::serial_hash) and the offset
//! of the entry. Slots are grouped in buckets by the top bits of the hash, in list order within each, and one
//! number per bucket tells where it begins. A look-up touches one such number, one bucket (a cache line or
//! two), and the entry itself, whose serial decides. Against a table of open addresses this fills every slot,
//! keeps list order among equal serials, and is written front to back.
//!
//! Building is a radix sort in two steps: slots are collected in list order while the entries are read, moved
//! into partitions that fit the first-level cache, and there put into buckets. That takes a second array of the
//! same size for a moment: 8.7 octets per entry are kept, 17 at the peak.

/// Slots per bucket that are aimed at: between this and half of it. Two cache lines hold sixteen.
const BUCKET: usize = 12;

/// Slots per partition that are aimed at: 32 KiB of them, the size of a first-level data cache.
const PARTITION: usize = 4096;

/// At most 2^this partitions, so that the lines being written to stay in the second-level cache.
const MAX_PARTITION_BITS: u32 = 11;

/// The half of a slot that is hash; the other is offset.
const HASH_HALF: u64 = 0xffff_ffff_0000_0000;

/// Slots in list order, being collected. Room is made for what the list seems to need, not for twice of it.
pub(super) struct IndexBuilder {
    slots: Vec<u64>,
}

impl IndexBuilder {
    /// For about `expected` entries.
    pub(super) fn new(expected: usize) -> IndexBuilder {
        IndexBuilder { slots: Vec::with_capacity(expected) }
    }

    /// Adds the entry at `offset`. `remaining` tells how many more are expected when room runs out.
    #[inline]
    pub(super) fn push(&mut self, hash: u64, offset: u32, remaining: impl FnOnce(usize) -> usize) {
        if self.slots.len() == self.slots.capacity() {
            let more = remaining(self.slots.len());
            // The exact estimate plus a thirty-second part: growing is rare, and little is left unused.
            self.slots.reserve_exact(more + more / 32 + 64);
        }
        self.slots.push((hash & HASH_HALF) | u64::from(offset));
    }

    /// How many were added.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Puts the slots into their buckets.
    pub(super) fn build(self) -> Index {
        let IndexBuilder { mut slots } = self;
        let bits = bucket_bits(slots.len());
        let partition_bits = partition_bits(slots.len()).min(bits);
        let mut starts = vec![0; (1 << bits) + 1];
        let mut partitioned = vec![0; slots.len()];
        let mut bounds = vec![0; (1 << partition_bits) + 1];
        scatter(&slots, &mut partitioned, Digit { below: 0, width: partition_bits }, &mut bounds);

        let digit = Digit { below: partition_bits, width: bits - partition_bits };
        let mut inner = vec![0; (1 << digit.width) + 1];
        for (partition, bound) in bounds.windows(2).enumerate() {
            let range = bound[0] as usize..bound[1] as usize;
            scatter(&partitioned[range.clone()], &mut slots[range], digit, &mut inner);
            let first = partition << digit.width;
            for (start, within) in starts[first + 1..].iter_mut().zip(&inner[1..]) {
                *start = bound[0] + within;
            }
        }
        slots.shrink_to_fit();
        Index { shift: u64::BITS - bits, starts: starts.into(), slots: slots.into() }
    }
}

/// Where the entry of a serial stands.
pub(super) struct Index {
    /// How far to shift a hash to get its bucket.
    shift: u32,
    /// Where each bucket begins, and at last where the last one ends.
    starts: Box<[u32]>,
    slots: Box<[u64]>,
}

impl Index {
    /// Offsets of the entries whose serial may have this hash, in list order.
    #[inline]
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let bucket = hash.checked_shr(self.shift).unwrap_or(0) as usize;
        let range = match self.starts.get(bucket..bucket + 2) {
            Some(&[start, end]) => start as usize..end as usize,
            _ => 0..0,
        };
        let slots = self.slots.get(range).unwrap_or_default();
        slots.iter().filter(move |slot| (**slot ^ hash) >> 32 == 0).map(|slot| *slot as u32)
    }

    /// How many entries stand in the fullest bucket: the bound on the work of a look-up.
    pub(super) fn fullest(&self) -> usize {
        let sizes = self.starts.windows(2).map(|bucket| bucket[1] - bucket[0]);
        sizes.max().unwrap_or(0) as usize
    }

    /// How many entries are filed.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Octets that it takes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.slots)
    }
}

/// Some of the top bits of a hash: `width` of them below the `below` topmost ones.
#[derive(Clone, Copy)]
struct Digit {
    below: u32,
    width: u32,
}

impl Digit {
    #[inline]
    fn of(self, slot: u64) -> usize {
        let low = u64::BITS - self.below - self.width;
        slot.checked_shr(low).unwrap_or(0) as usize & ((1 << self.width) - 1)
    }
}

/// Moves `from` to `to` by `digit`, keeping the order of equal ones. `bounds` has one more element than there
/// are digits and receives where each begins.
fn scatter(from: &[u64], to: &mut [u64], digit: Digit, bounds: &mut [u32]) {
    bounds.fill(0);
    for slot in from {
        bounds[digit.of(*slot)] += 1;
    }
    let mut sum = 0;
    for bound in bounds.iter_mut() {
        (*bound, sum) = (sum, sum + *bound);
    }
    // Each bound moves on while its digit is filled, and ends where the next one began.
    for slot in from {
        let next = &mut bounds[digit.of(*slot)];
        to[*next as usize] = *slot;
        *next += 1;
    }
    bounds.rotate_right(1);
    bounds[0] = 0;
}

fn bucket_bits(slots: usize) -> u32 {
    (slots / (BUCKET / 2)).checked_ilog2().unwrap_or(0)
}

fn partition_bits(slots: usize) -> u32 {
    (slots / PARTITION).checked_ilog2().unwrap_or(0).min(MAX_PARTITION_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads small numbers over 64 bits.
    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn every_slot_is_found_at_every_size_and_equal_ones_in_list_order() {
        for count in [0, 1, 5, 12, 13, 4_095, 4_096, 8_192, 100_000] {
            let mut builder = IndexBuilder::new(1);
            for offset in 0..count {
                builder.push(spread(offset / 2), offset as u32, |filed| count as usize - filed);
            }
            let index = builder.build();
            assert_eq!(index.len(), count as usize);
            for offset in (0..count).step_by(2) {
                let found: Vec<_> = index.candidates(spread(offset / 2)).collect();
                let expected: Vec<_> = (offset..count.min(offset + 2)).map(|offset| offset as u32).collect();
                assert_eq!(found, expected, "{offset} of {count}");
            }
        }
    }

    #[test]
    fn an_index_takes_at_most_nine_octets_per_entry() {
        for count in [1_000u64, 4_096, 100_000, (1 << 17) * 6 - 1, (1 << 17) * 6] {
            let mut builder = IndexBuilder::new(count as usize);
            (0..count).for_each(|n| builder.push(spread(n), n as u32, |_| 0));
            let index = builder.build();
            assert!(index.fullest() < 64, "{} in a bucket of {count}", index.fullest());
            assert!(index.size() <= 9 * count as usize, "{} for {count}", index.size());
        }
    }
}
