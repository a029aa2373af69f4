//! [`Session`]: what the searches for one question share.

use std::collections::{HashMap, HashSet};

use super::budget::{Budget, Exhausted};
use crate::certificate::Certificate;
use crate::identity::{CertId, Digest};
use crate::signature::{AlgorithmPolicy, Memory, SignatureError, Statement};
use crate::verdict::Reason;

/// Budget and knowledge of one question, its nested searches included.
pub(crate) struct Session<'a> {
    pub(crate) budget: Budget<'a>,
    memory: &'a Memory,
    algorithms: AlgorithmPolicy,
    /// Which key signed which certificate, and which did not.
    signatures: HashMap<(CertId, Digest), Result<(), Reason>>,
    /// CRL issuers whose paths are being searched for, outermost first.
    pub(crate) in_progress: Vec<CertId>,
    /// CRL issuers that have a valid path to the anchor with that key.
    pub(crate) entitled: HashSet<(CertId, Digest)>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(budget: Budget<'a>, memory: &'a Memory, algorithms: AlgorithmPolicy) -> Session<'a> {
        Session {
            budget,
            memory,
            algorithms,
            signatures: HashMap::new(),
            in_progress: Vec::new(),
            entitled: HashSet::new(),
        }
    }

    /// Whether the key in `spki` signed the certificate. The policy is judged before any memory is asked.
    pub(crate) fn verify(
        &mut self,
        certificate: &Certificate,
        spki: &[u8],
    ) -> Result<Result<(), Reason>, Exhausted> {
        let edge = (certificate.id(), Digest::of(spki));
        if let Some(known) = self.signatures.get(&edge) {
            return Ok(*known);
        }
        let statement = Statement {
            algorithm: certificate.signature_algorithm(),
            spki,
            message: certificate.tbs(),
            signature: certificate.signature(),
        };
        let result = self.judge(&statement)?;
        self.signatures.insert(edge, result);
        Ok(result)
    }

    fn judge(&mut self, statement: &Statement<'_>) -> Result<Result<(), Reason>, Exhausted> {
        if let Err(error) = statement.inspect(&self.algorithms) {
            return Ok(Err(reason_of(&error)));
        }
        let fingerprint = statement.fingerprint();
        if self.memory.holds(&fingerprint) {
            return Ok(Ok(()));
        }
        self.budget.signature()?;
        match statement.verify(&self.algorithms) {
            Ok(()) => {
                self.memory.remember(fingerprint);
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(reason_of(&error))),
        }
    }

    pub(crate) fn algorithms(&self) -> &AlgorithmPolicy {
        &self.algorithms
    }
}

/// What a verdict says of a signature that does not count.
fn reason_of(error: &SignatureError) -> Reason {
    match error {
        SignatureError::Refused(_) => Reason::AlgorithmRefused,
        SignatureError::Wrong | SignatureError::KeyMismatch => Reason::Signature,
        _ => Reason::AlgorithmUnknown,
    }
}
