//! Keys that sign.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};

use super::MintError;
use crate::asn1::{Asn1Error, Oid, Reader, Tag, Writer};

/// The kinds of key that can be made here. RSA keys can be read, though not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// A private key that signs certificates and CRLs.
pub struct SigningKey {
    pair: Pair,
    pkcs8: Vec<u8>,
    spki: Vec<u8>,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// A new key from the system's randomness.
    pub fn generate(kind: KeyKind) -> Result<SigningKey, MintError> {
        let random = SystemRandom::new();
        let pkcs8 = match kind {
            KeyKind::EcdsaP256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random),
            KeyKind::EcdsaP384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random),
            KeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        };
        SigningKey::from_pkcs8(pkcs8.map_err(|_| MintError::Randomness)?.as_ref())
    }

    /// Reads an unencrypted PKCS #8 key: ECDSA on P-256 or P-384, Ed25519, RSA of 2048 to 4096 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, MintError> {
        let refused = |_| MintError::Key("its parts do not fit together, or its size is not supported");
        let pair = match private_key_algorithm(der).map_err(|_| MintError::Key("not PKCS #8"))? {
            (EC_PUBLIC_KEY, Some(PRIME256V1)) => Pair::P256(ecdsa(der, KeyKind::EcdsaP256).map_err(refused)?),
            (EC_PUBLIC_KEY, Some(SECP384R1)) => Pair::P384(ecdsa(der, KeyKind::EcdsaP384).map_err(refused)?),
            (ED25519, None) => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(refused)?)
            }
            (RSA_ENCRYPTION, _) => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(refused)?)),
            _ => return Err(MintError::Key("an algorithm that is not supported")),
        };
        let spki = subject_public_key_info(&pair);
        Ok(SigningKey { pair, pkcs8: der.to_vec(), spki })
    }

    /// The private key as PKCS #8 DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key as SubjectPublicKeyInfo DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// AlgorithmIdentifier DER of the signatures that this key makes.
    pub fn signature_algorithm(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.sequence(|writer| match self.pair {
            Pair::P256(_) => writer.oid(ECDSA_WITH_SHA256),
            Pair::P384(_) => writer.oid(ECDSA_WITH_SHA384),
            Pair::Ed25519(_) => writer.oid(ED25519),
            Pair::Rsa(_) => {
                writer.oid(SHA256_WITH_RSA);
                writer.value(Tag::NULL, &[]);
            }
        });
        writer.finish()
    }

    /// Signs; the signature as it goes into a BIT STRING.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(key) | Pair::P384(key) => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            Pair::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| MintError::Randomness)
    }
}

/// Only what is public is shown.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey(public {})", data_encoding::HEXLOWER.encode(&key_id(&self.spki)))
    }
}

/// A key identifier: the first 20 octets of SHA-256 over the public key's bits (RFC 7093 section 2, method 1).
/// Whatever is not a SubjectPublicKeyInfo is hashed as it stands.
pub fn key_id(spki: &[u8]) -> [u8; 20] {
    let bits = public_key_bits(spki).unwrap_or(spki);
    let hash = ring::digest::digest(&ring::digest::SHA256, bits);
    let mut id = [0; 20];
    id.copy_from_slice(&hash.as_ref()[..20]);
    id
}

const EC_PUBLIC_KEY: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]);
const PRIME256V1: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
const SECP384R1: Oid<'static> = Oid::known(&[0x2b, 0x81, 4, 0, 0x22]);
const ECDSA_WITH_SHA256: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
const ECDSA_WITH_SHA384: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]);
const ED25519: Oid<'static> = Oid::known(&[0x2b, 0x65, 0x70]);
const RSA_ENCRYPTION: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
const SHA256_WITH_RSA: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]);

/// The algorithm of a PrivateKeyInfo and its parameter, if that is an identifier (a curve).
fn private_key_algorithm(pkcs8: &[u8]) -> Result<(Oid<'_>, Option<Oid<'_>>), Asn1Error> {
    let mut info = Reader::single(pkcs8, Tag::SEQUENCE)?.reader();
    info.small_integer()?;
    let mut algorithm = info.sequence()?;
    let oid = algorithm.oid()?;
    let curve = if algorithm.peek() == Some(Tag::OID) { Some(algorithm.oid()?) } else { None };
    Ok((oid, curve))
}

fn ecdsa(pkcs8: &[u8], kind: KeyKind) -> Result<EcdsaKeyPair, ring::error::KeyRejected> {
    let algorithm = match kind {
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => &ECDSA_P256_SHA256_ASN1_SIGNING,
    };
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new())
}

fn subject_public_key_info(pair: &Pair) -> Vec<u8> {
    let (algorithm, parameter, public) = match pair {
        Pair::P256(key) => (EC_PUBLIC_KEY, Some(PRIME256V1), key.public_key().as_ref()),
        Pair::P384(key) => (EC_PUBLIC_KEY, Some(SECP384R1), key.public_key().as_ref()),
        Pair::Ed25519(key) => (ED25519, None, key.public_key().as_ref()),
        Pair::Rsa(key) => (RSA_ENCRYPTION, None, key.public_key().as_ref()),
    };
    let mut writer = Writer::new();
    writer.sequence(|writer| {
        writer.sequence(|writer| {
            writer.oid(algorithm);
            match parameter {
                Some(curve) => writer.oid(curve),
                // RFC 3279 2.3.1 wants the NULL for RSA; RFC 8410 section 3 wants nothing.
                None if algorithm == RSA_ENCRYPTION => writer.value(Tag::NULL, &[]),
                None => {}
            }
        });
        writer.octets_in_bit_string(public);
    });
    writer.finish()
}

fn public_key_bits(spki: &[u8]) -> Option<&[u8]> {
    let mut info = Reader::single(spki, Tag::SEQUENCE).ok()?.reader();
    info.sequence().ok()?;
    info.octets_in_bit_string().ok()
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519 as RING_ED25519};
    use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};

    use super::*;

    #[test]
    fn keys_survive_pkcs8_and_sign_for_their_public_key() {
        let kinds: [(KeyKind, &'static dyn VerificationAlgorithm); 3] = [
            (KeyKind::EcdsaP256, &ECDSA_P256_SHA256_ASN1),
            (KeyKind::EcdsaP384, &ECDSA_P384_SHA384_ASN1),
            (KeyKind::Ed25519, &RING_ED25519),
        ];
        for (kind, algorithm) in kinds {
            let key = SigningKey::generate(kind).unwrap();
            let again = SigningKey::from_pkcs8(key.pkcs8()).unwrap();
            assert_eq!(key.spki(), again.spki());
            let signature = again.sign(b"message").unwrap();
            let public = UnparsedPublicKey::new(algorithm, public_key_bits(key.spki()).unwrap());
            assert!(public.verify(b"message", &signature).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn other_bytes_are_not_a_key() {
        for der in [&b""[..], b"\x30\x00", b"-----BEGIN PRIVATE KEY-----"] {
            assert_eq!(SigningKey::from_pkcs8(der).unwrap_err(), MintError::Key("not PKCS #8"));
        }
    }
}
