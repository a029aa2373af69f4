//! What ring lacks and PKIs still have, or will have: P-521, DSA, ML-DSA, and RSA with hashes of old.
//!
//! Sizes are checked here before they reach a crate: what fails inside one must be the signature, not the caller.

use crypto_bigint::{BoxedUint, Odd, Resize};
use ml_dsa::signature::Verifier as _;
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::Digest;

use super::algorithm::{Curve, Hash, Key, MlDsa, Scheme, positive};
use super::{SignatureError, Verifier};
use crate::asn1::Reader;

pub(super) struct RustCrypto;

impl Verifier for RustCrypto {
    fn verify(
        &self,
        scheme: Scheme,
        key: &Key<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<Result<(), SignatureError>> {
        let right = match (scheme, key) {
            (Scheme::Ecdsa(hash), Key::Ec { curve: Curve::P521, point }) => {
                p521_is_right(point, &digest(hash, message), signature)
            }
            (Scheme::Dsa(hash), Key::Dsa { p, q, g, y }) => {
                dsa_is_right([*p, *q, *g, *y], &digest(hash, message), signature)
            }
            (Scheme::MlDsa(kind), Key::MlDsa(_, octets)) => ml_dsa_is_right(kind, octets, message, signature),
            (Scheme::RsaPkcs1(hash), Key::Rsa { modulus, exponent, .. }) => {
                pkcs1_is_right(modulus, exponent, hash, &digest(hash, message), signature)
            }
            _ => return None,
        };
        Some(if right == Some(true) { Ok(()) } else { Err(SignatureError::Wrong) })
    }
}

fn digest(hash: Hash, message: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Md5 => md5::Md5::digest(message).to_vec(),
        Hash::Sha1 => sha1::Sha1::digest(message).to_vec(),
        Hash::Sha224 => sha2::Sha224::digest(message).to_vec(),
        Hash::Sha256 => sha2::Sha256::digest(message).to_vec(),
        Hash::Sha384 => sha2::Sha384::digest(message).to_vec(),
        Hash::Sha512 => sha2::Sha512::digest(message).to_vec(),
    }
}

fn p521_is_right(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let (r, s) = pair(signature)?;
    let mut fixed = [0; 132];
    for (half, number) in fixed.chunks_exact_mut(66).zip([r, s]) {
        half.get_mut(66usize.checked_sub(number.len())?..)?.copy_from_slice(number);
    }
    let signature = p521::ecdsa::Signature::from_slice(&fixed).ok()?;
    // A digest shorter than half the order is refused by the crate; the number it stands for is the same
    // with zeros in front, as the order has more bits than any of these hashes.
    let mut padded = [0; 66];
    padded.get_mut(66usize.checked_sub(digest.len())?..)?.copy_from_slice(digest);
    Some(key.verify_prehash(&padded, &signature).is_ok())
}

fn dsa_is_right([p, q, g, y]: [&[u8]; 4], digest: &[u8], signature: &[u8]) -> Option<bool> {
    let (r, s) = pair(signature)?;
    let below = |a: &[u8], b: &[u8]| (a.len(), a) < (b.len(), b);
    if !below(r, q) || !below(s, q) || !below(g, p) || !below(y, p) || !below(q, p) {
        return None;
    }
    let number = BoxedUint::from_be_slice_vartime;
    let (p, q) = (number(p), number(q));
    let precision = p.bits_precision();
    let components = dsa::Components::from_components(p, q, number(g)).ok()?;
    let key = dsa::VerifyingKey::from_components(components, number(y).resize(precision)).ok()?;
    let signature = dsa::Signature::from_components(number(r), number(s))?;
    Some(key.verify_prehash(digest, &signature).is_ok())
}

fn ml_dsa_is_right(kind: MlDsa, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    fn verified<P: ml_dsa::MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        let key = ml_dsa::VerifyingKey::<P>::decode(key.try_into().ok()?);
        let signature = ml_dsa::Signature::<P>::decode(signature.try_into().ok()?)?;
        Some(key.verify(message, &signature).is_ok())
    }
    match kind {
        MlDsa::MlDsa44 => verified::<ml_dsa::MlDsa44>(key, message, signature),
        MlDsa::MlDsa65 => verified::<ml_dsa::MlDsa65>(key, message, signature),
        MlDsa::MlDsa87 => verified::<ml_dsa::MlDsa87>(key, message, signature),
    }
}

/// RSASSA-PKCS1-v1_5 (RFC 8017 8.2.2): the encoded message is built and compared, never parsed.
fn pkcs1_is_right(
    modulus: &[u8],
    exponent: &[u8],
    hash: Hash,
    digest: &[u8],
    signature: &[u8],
) -> Option<bool> {
    if signature.len() != modulus.len() || signature >= modulus {
        return None;
    }
    let number = BoxedUint::from_be_slice_vartime;
    let odd_modulus: Odd<BoxedUint> = Odd::new(number(modulus)).into_option()?;
    let opened = number(signature).pow_mod(&number(exponent), &odd_modulus).to_be_bytes();
    let mut expected = vec![0xff; modulus.len()];
    let tail = [&[0][..], digest_info(hash), digest].concat();
    // At least eight octets of padding stay in front of the zero.
    let tail_at = expected.len().checked_sub(tail.len()).filter(|at| *at >= 10)?;
    expected.get_mut(tail_at..)?.copy_from_slice(&tail);
    expected.get_mut(..2)?.copy_from_slice(&[0, 1]);
    let leading = opened.len().checked_sub(expected.len())?;
    let (zeros, opened) = opened.split_at(leading);
    Some(zeros.iter().all(|octet| *octet == 0) && opened == expected)
}

/// The DER that stands before the digest in a DigestInfo (RFC 8017 9.2).
fn digest_info(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Md5 => b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
        Hash::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        Hash::Sha224 => b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
        Hash::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        Hash::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        Hash::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// The two numbers of an ECDSA or DSA signature (RFC 3279 2.2.2).
fn pair(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut whole = Reader::new(signature);
    let mut fields = whole.sequence().ok()?;
    whole.finish().ok()?;
    let numbers = (positive(&mut fields).ok()?, positive(&mut fields).ok()?);
    fields.finish().ok()?;
    Some(numbers)
}
