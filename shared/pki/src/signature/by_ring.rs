//! The algorithms that ring has: RSA, ECDSA on P-256 and P-384, Ed25519.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::algorithm::{Curve, Hash, Key, Scheme};
use super::{SignatureError, Verifier};

pub(super) struct Ring;

impl Verifier for Ring {
    fn verify(
        &self,
        scheme: Scheme,
        key: &Key<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<Result<(), SignatureError>> {
        let (algorithm, octets): (&dyn VerificationAlgorithm, &[u8]) = match (scheme, key) {
            (Scheme::RsaPkcs1(hash), Key::Rsa { modulus, der, .. }) => {
                (pkcs1(hash, modulus.len() >= 256)?, der)
            }
            (Scheme::RsaPss(hash), Key::Rsa { modulus, der, .. }) if modulus.len() >= 256 => {
                (pss(hash)?, der)
            }
            (Scheme::Ecdsa(hash), Key::Ec { curve, point }) => (ecdsa(*curve, hash)?, point),
            (Scheme::Ed25519, Key::Ed25519(octets)) => (&signature::ED25519, octets),
            _ => return None,
        };
        let verified = UnparsedPublicKey::new(algorithm, octets).verify(message, signature);
        Some(verified.map_err(|_| SignatureError::Wrong))
    }
}

fn pkcs1(hash: Hash, long: bool) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (hash, long) {
        (Hash::Sha256, true) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Hash::Sha384, true) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Hash::Sha512, true) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (Hash::Sha1, true) => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Hash::Sha1, false) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Hash::Sha256, false) => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (Hash::Sha512, false) => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return None,
    })
}

fn pss(hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match hash {
        Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
        Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(curve: Curve, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (curve, hash) {
        (Curve::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (Curve::P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}
