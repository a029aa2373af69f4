//! [`AlgorithmPolicy`]: which algorithms and keys count, decided before any arithmetic.

use std::fmt;
use std::str::FromStr;

use super::algorithm::{Curve, Hash, Key, Scheme};

/// Larger RSA moduli are refused by every policy: one verification with 16,384 bits costs as much as dozens
/// of usual ones (CVE-2023-49568 and its kin), and ring stops here too.
pub const MAX_RSA_BITS: usize = 8192;

/// DSA moduli beyond 3072 bits do not exist (FIPS 186-4).
const MAX_DSA_BITS: usize = 3072;

/// Which algorithms and keys count. Chosen by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlgorithmPolicy {
    min_rsa_bits: usize,
    legacy: bool,
}

/// What a policy does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// MD5 or SHA-1.
    #[error("a hash that is broken")]
    WeakHash,
    /// An RSA modulus that is too short.
    #[error("an RSA key of {0} bits")]
    RsaTooShort(usize),
    /// An RSA or DSA modulus whose arithmetic is not worth its cost.
    #[error("a modulus of {0} bits")]
    TooLong(usize),
    /// An RSA exponent that is even, 1, or 2^32 and more; or an even modulus.
    #[error("an RSA key with an odd shape")]
    RsaShape,
    /// DSA.
    #[error("DSA")]
    Dsa,
    /// A curve below 112 bits of strength.
    #[error("a curve that is too small")]
    WeakCurve,
}

impl AlgorithmPolicy {
    /// RSA from 2048 to 8192 bits, ECDSA on named NIST curves, Ed25519, ML-DSA, hashes from SHA-224.
    pub const DEFAULT: AlgorithmPolicy = AlgorithmPolicy { min_rsa_bits: 2048, legacy: false };

    /// Also SHA-1, MD5, RSA from 1024 bits and DSA: for the archives of old PKIs.
    pub const LEGACY: AlgorithmPolicy = AlgorithmPolicy { min_rsa_bits: 1024, legacy: true };

    /// [`AlgorithmPolicy::LEGACY`].
    pub fn legacy() -> AlgorithmPolicy {
        AlgorithmPolicy::LEGACY
    }

    /// `default` or `legacy`.
    pub fn name(&self) -> &'static str {
        if self.legacy { "legacy" } else { "default" }
    }

    pub(super) fn admits(&self, scheme: Scheme, key: &Key<'_>) -> Result<(), Refusal> {
        if !self.legacy && matches!(scheme.hash(), Some(Hash::Md5 | Hash::Sha1)) {
            return Err(Refusal::WeakHash);
        }
        self.admits_key(key)
    }

    pub(super) fn admits_key(&self, key: &Key<'_>) -> Result<(), Refusal> {
        match key {
            Key::Rsa { modulus, exponent, .. } => self.admits_rsa(modulus, exponent),
            Key::Dsa { .. } if !self.legacy => Err(Refusal::Dsa),
            Key::Dsa { p, .. } if bits(p) > MAX_DSA_BITS => Err(Refusal::TooLong(bits(p))),
            Key::Ec { curve: Curve::P192, .. } if !self.legacy => Err(Refusal::WeakCurve),
            _ => Ok(()),
        }
    }

    fn admits_rsa(&self, modulus: &[u8], exponent: &[u8]) -> Result<(), Refusal> {
        let size = bits(modulus);
        if size > MAX_RSA_BITS {
            return Err(Refusal::TooLong(size));
        }
        if size < self.min_rsa_bits {
            return Err(Refusal::RsaTooShort(size));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        let shaped = odd(modulus) && odd(exponent) && exponent.len() <= 4 && exponent != [1];
        if shaped { Ok(()) } else { Err(Refusal::RsaShape) }
    }
}

/// Bits of a magnitude without leading zeros.
fn bits(magnitude: &[u8]) -> usize {
    magnitude.first().map_or(0, |first| magnitude.len() * 8 - first.leading_zeros() as usize)
}

impl Default for AlgorithmPolicy {
    fn default() -> AlgorithmPolicy {
        AlgorithmPolicy::DEFAULT
    }
}

impl fmt::Display for AlgorithmPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no algorithm policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither default nor legacy")]
pub struct NotAnAlgorithmPolicy;

impl FromStr for AlgorithmPolicy {
    type Err = NotAnAlgorithmPolicy;

    fn from_str(text: &str) -> Result<AlgorithmPolicy, NotAnAlgorithmPolicy> {
        match text {
            "default" => Ok(AlgorithmPolicy::DEFAULT),
            "legacy" => Ok(AlgorithmPolicy::LEGACY),
            _ => Err(NotAnAlgorithmPolicy),
        }
    }
}
