//! The hash under which serials are filed.
//!
//! Serials may be chosen by who wants an index to degenerate, so the hash is keyed with randomness of the
//! process and belongs to a family with a proof: multilinear hashing, `(k0 + k1 w1 + ... mod 2^128) / 2^64`, is
//! strongly universal over words of 64 bits (Lemire and Kaser, 2014), so for serials fixed before the key is
//! drawn any two fall into one of `b` buckets with probability `1/b`, whatever they are. It costs a few
//! multiplications; SipHash, which std offers, costs several times as much and serves for what is longer
//! than three words.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Serials up to this length, which are all that RFC 5280 4.1.2.2 allows, are hashed as three words.
const THREE_WORDS: usize = 24;

/// The hash of a serial in its normal form, issued by the `issuer`th issuer of its CRL.
///
/// The same for the life of the process, so that an index can be made from another.
#[inline]
pub(super) fn hash(serial: &[u8], issuer: u32) -> u64 {
    KEYS.hash(serial, issuer)
}

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::random);

struct Keys {
    offset: u128,
    words: [u128; 4],
    long: RandomState,
}

impl Keys {
    fn random() -> Keys {
        // Each state draws its own key; its output is SipHash of the input under that key.
        let state = RandomState::new();
        let key = |i: u64| u128::from(state.hash_one(2 * i)) << 64 | u128::from(state.hash_one(2 * i + 1));
        Keys { offset: key(0), words: [key(1), key(2), key(3), key(4)], long: RandomState::new() }
    }

    #[inline]
    fn hash(&self, serial: &[u8], issuer: u32) -> u64 {
        let Some(words) = three_words(serial) else { return self.long.hash_one((serial, issuer)) };
        // Length and issuer share a word: the length is at most THREE_WORDS here.
        let rest = u64::from(issuer) << 8 | serial.len() as u64;
        let mut sum = self.offset.wrapping_add(self.words[3].wrapping_mul(u128::from(rest)));
        for (key, word) in self.words.iter().zip(words) {
            sum = sum.wrapping_add(key.wrapping_mul(u128::from(word)));
        }
        (sum >> 64) as u64
    }
}

/// The serial as three words, one to one for a given length: they overlap where it does not fill them.
#[inline]
fn three_words(serial: &[u8]) -> Option<[u64; 3]> {
    let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
    let (Some(first), Some(last)) = (serial.first_chunk(), serial.last_chunk()) else {
        let mut short = [0; 8];
        short[..serial.len()].copy_from_slice(serial);
        return Some([word(&short), 0, 0]);
    };
    match serial.len() {
        ..=16 => Some([word(first), word(last), 0]),
        17..=THREE_WORDS => Some([word(first), word(serial[8..].first_chunk()?), word(last)]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_serials_have_different_words() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..=THREE_WORDS {
            for changed in 0..length {
                let mut serial = vec![0; length];
                serial[changed] = 1;
                assert!(seen.insert((length, three_words(&serial))), "{length} {changed}");
            }
        }
        assert_eq!(three_words(&[0; THREE_WORDS + 1]), None);
    }

    #[test]
    fn length_issuer_and_every_octet_count() {
        let serial = [7; 30];
        for length in [0, 1, 8, 16, 20, 24, 25, 30] {
            assert_ne!(hash(&serial[..length], 0), hash(&serial[..length], 1));
            assert_ne!(hash(&serial[..length], 0), hash(&[&serial[..length], &[0]].concat(), 0));
            assert_eq!(hash(&serial[..length], 5), hash(&serial[..length], 5));
        }
    }
}
