//! Signatures: which algorithms there are, which a policy admits, and whether one is right.
//!
//! Begin with [`Statement`]: who is said to have signed what. Its [`verify`](Statement::verify) asks three questions
//! in this order: what are algorithm and key (`algorithm`), does the policy admit them ([`AlgorithmPolicy`]), and is
//! the arithmetic right (`by_ring` for what ring has, `by_rustcrypto` for P-521, DSA, ML-DSA and the hashes of old).
//! What was right once may be remembered ([`Memory`]); the policy is asked before the memory is.

mod algorithm;
mod by_ring;
mod by_rustcrypto;
mod memory;
mod policy;
#[cfg(test)]
mod tests;

pub use memory::{Fingerprint, Memory};
pub use policy::{AlgorithmPolicy, MAX_RSA_BITS, NotAnAlgorithmPolicy, Refusal};

use crate::asn1::Asn1Error;
use algorithm::{Key, Scheme};

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Algorithm or key are not the DER that they should be.
    #[error("a malformed algorithm or key: {0}")]
    Malformed(#[from] Asn1Error),
    /// An algorithm, curve or parameter that nobody here knows.
    #[error("an unknown algorithm: {0}")]
    Unknown(String),
    /// The key belongs to another algorithm.
    #[error("the key does not belong to the algorithm of the signature")]
    KeyMismatch,
    /// A DSA key without parameters of its own: they stand in the issuer's key (RFC 3279 2.3.2).
    #[error("a key whose parameters must be inherited")]
    NoParameters,
    /// The policy does not admit algorithm or key.
    #[error("refused by the algorithm policy: {0}")]
    Refused(#[from] Refusal),
    /// The arithmetic says no.
    #[error("the signature is wrong")]
    Wrong,
}

/// The claim that the holder of a key signed a message.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// DER of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    /// DER of the SubjectPublicKeyInfo, with its parameters.
    pub spki: &'a [u8],
    /// What is signed.
    pub message: &'a [u8],
    /// The octets of the signature.
    pub signature: &'a [u8],
}

impl Statement<'_> {
    /// Whether algorithm and key are known, belong together and are admitted; no arithmetic is done.
    pub fn inspect(&self, policy: &AlgorithmPolicy) -> Result<(), SignatureError> {
        self.admitted(policy).map(drop)
    }

    /// Whether the statement is true.
    pub fn verify(&self, policy: &AlgorithmPolicy) -> Result<(), SignatureError> {
        let (scheme, key) = self.admitted(policy)?;
        let verifiers: [&dyn Verifier; 2] = [&by_ring::Ring, &by_rustcrypto::RustCrypto];
        verifiers
            .iter()
            .find_map(|verifier| verifier.verify(scheme, &key, self.message, self.signature))
            .unwrap_or_else(|| Err(SignatureError::Unknown(format!("{scheme:?} with {key:?}"))))
    }

    fn admitted(&self, policy: &AlgorithmPolicy) -> Result<(Scheme, Key<'_>), SignatureError> {
        let scheme = Scheme::decode(self.algorithm)?;
        let key = Key::decode(self.spki)?;
        if !scheme.takes(&key) {
            return Err(SignatureError::KeyMismatch);
        }
        policy.admits(scheme, &key)?;
        Ok((scheme, key))
    }
}

/// Whether `signature` over `message` is by the key in `spki`; see [`Statement`].
pub fn verify(
    algorithm: &[u8],
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
    policy: &AlgorithmPolicy,
) -> Result<(), SignatureError> {
    Statement { algorithm, spki, message, signature }.verify(policy)
}

/// Whether `policy` admits a key as such, whatever it is used for. Keys of unknown algorithms pass:
/// they can sign nothing that is verified here.
pub fn inspect_key(spki: &[u8], policy: &AlgorithmPolicy) -> Result<(), SignatureError> {
    match Key::decode(spki) {
        Ok(key) => Ok(policy.admits_key(&key)?),
        Err(SignatureError::Unknown(_) | SignatureError::NoParameters) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The key in `spki` with the parameters of `issuer_spki`, if it is a DSA key that lacks its own and the issuer's
/// is a DSA key that has them (RFC 5280 6.1.4 (e)); `None` if nothing is to be inherited.
pub fn inherit_parameters(spki: &[u8], issuer_spki: &[u8]) -> Option<Vec<u8>> {
    algorithm::inherit_parameters(spki, issuer_spki)
}

/// Whether a key lacks parameters that its issuer's key may have.
pub(crate) fn needs_parameters(spki: &[u8]) -> bool {
    matches!(Key::decode(spki), Err(SignatureError::NoParameters))
}

/// Does the arithmetic of some algorithms.
trait Verifier {
    /// Whether the signature is right; `None` if this verifier does not have the algorithm.
    /// Scheme and key belong together and are admitted.
    fn verify(
        &self,
        scheme: Scheme,
        key: &Key<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<Result<(), SignatureError>>;
}
