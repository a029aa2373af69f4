//! Whether a CRL is signed by a key, and remembering that it is.

use std::sync::{Mutex, PoisonError};
use std::thread;

use bytes::Bytes;

use super::{Crl, CrlError, Header};
use crate::identity::Digest;
use crate::signature::{AlgorithmPolicy, SignatureError, Statement};

/// Keys remembered per CRL. Few keys share a name, and only one of them signed.
const MAX_KEYS: usize = 4;

/// From this size on it pays to hash on one thread and index on another: below, starting one takes longer than it
/// saves (measured: 0.2 to 0.4 ms to start, 0.5 ms to index a megabyte).
const TWO_THREADS_FROM: usize = 1 << 21;

/// Why a CRL was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] CrlError),
    /// It was not signed by the key.
    #[error(transparent)]
    Unverified(#[from] SignatureError),
}

impl Header {
    /// Whether the key in `spki` (SubjectPublicKeyInfo DER) signed the CRL, under an algorithm that `policy` admits.
    pub fn verify(&self, spki: &[u8], policy: &AlgorithmPolicy) -> Result<(), SignatureError> {
        self.statement(spki).verify(policy)
    }

    fn statement<'a>(&'a self, spki: &'a [u8]) -> Statement<'a> {
        let (algorithm, signature) = (self.signature_algorithm(), self.signature());
        Statement { algorithm, spki, message: self.tbs(), signature }
    }
}

impl Crl {
    /// Whether the key in `spki` (SubjectPublicKeyInfo DER) signed the CRL, under an algorithm that `policy` admits.
    ///
    /// A success is remembered here, so that asking again does not hash the list again; the policy is asked
    /// before the memory is.
    pub fn verify(&self, spki: &[u8], policy: &AlgorithmPolicy) -> Result<(), SignatureError> {
        self.header().statement(spki).inspect(policy)?;
        let key = Digest::of(spki);
        if self.0.verified_by.holds(key) {
            return Ok(());
        }
        self.header().verify(spki, policy)?;
        self.0.verified_by.remember(key);
        Ok(())
    }

    /// Decodes a CRL and verifies its signature: a large one on two threads at once, since hashing it costs as much
    /// as reading it.
    pub fn decode_and_verify(
        der: impl Into<Bytes>,
        spki: &[u8],
        policy: &AlgorithmPolicy,
    ) -> Result<Crl, IntakeError> {
        let header = Header::decode(der)?;
        let crl = if header.der().len() < TWO_THREADS_FROM {
            header.verify(spki, policy)?;
            Crl::read(header)?
        } else {
            let signed = header.clone();
            thread::scope(|scope| {
                let verified = scope.spawn(move || signed.verify(spki, policy));
                let crl = Crl::read(header);
                match verified.join() {
                    Ok(verified) => verified?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
                Ok::<_, IntakeError>(crl?)
            })?
        };
        crl.0.verified_by.remember(Digest::of(spki));
        Ok(crl)
    }
}

/// The keys under which the signature was found right, by the hash of their SubjectPublicKeyInfo. Algorithm,
/// signature and signed bytes need not be remembered: they are the CRL's own and never change.
#[derive(Default)]
pub(super) struct VerifiedBy(Mutex<Vec<Digest>>);

impl VerifiedBy {
    fn holds(&self, key: Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn remember(&self, key: Digest) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < MAX_KEYS && !keys.contains(&key) {
            keys.push(key);
        }
    }
}
