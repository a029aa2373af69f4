//! Signature algorithms and public keys, told apart by their identifiers (RFC 3279, 4055, 5480, 8410, 9881).

use super::SignatureError;
use crate::asn1::{Asn1Error, Asn1ErrorKind, Oid, Reader, Tag, minimal_integer};

/// What makes the digest that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// A signature algorithm with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    RsaPkcs1(Hash),
    /// RSASSA-PSS with MGF1 over the same hash and a salt of its length.
    RsaPss(Hash),
    Ecdsa(Hash),
    Dsa(Hash),
    Ed25519,
    MlDsa(MlDsa),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P192,
    P256,
    P384,
    P521,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MlDsa {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// A public key, borrowed from its SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// Modulus and exponent are magnitudes without leading zeros; `der` is the RSAPublicKey.
    Rsa {
        modulus: &'a [u8],
        exponent: &'a [u8],
        der: &'a [u8],
    },
    Ec {
        curve: Curve,
        point: &'a [u8],
    },
    Dsa {
        p: &'a [u8],
        q: &'a [u8],
        g: &'a [u8],
        y: &'a [u8],
    },
    Ed25519(&'a [u8]),
    MlDsa(MlDsa, &'a [u8]),
}

const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ECDSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_WITH_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
const DSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const DSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3];
const NIST_ALGORITHMS: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

impl Scheme {
    /// Decodes an AlgorithmIdentifier of a signature.
    pub(super) fn decode(der: &[u8]) -> Result<Scheme, SignatureError> {
        let (oid, parameters) = identifier(der)?;
        let unknown = || SignatureError::Unknown(oid.to_string());
        if oid.content() == RSASSA_PSS {
            return pss(parameters, unknown);
        }
        let scheme = match oid.content() {
            [prefix @ .., last] if prefix == PKCS1 => {
                let hash = match last {
                    4 => Hash::Md5,
                    5 => Hash::Sha1,
                    11 => Hash::Sha256,
                    12 => Hash::Sha384,
                    13 => Hash::Sha512,
                    14 => Hash::Sha224,
                    _ => return Err(unknown()),
                };
                // NULL should stand there (RFC 4055 section 5); some leave it out.
                return if matches!(parameters, [] | [5, 0]) {
                    Ok(Scheme::RsaPkcs1(hash))
                } else {
                    Err(unknown())
                };
            }
            [prefix @ .., last] if prefix == ECDSA_WITH_SHA2 => {
                Scheme::Ecdsa(sha2(*last).ok_or_else(unknown)?)
            }
            content if content == ECDSA_WITH_SHA1 => Scheme::Ecdsa(Hash::Sha1),
            content if content == DSA_WITH_SHA1 => Scheme::Dsa(Hash::Sha1),
            content if content == ED25519 => Scheme::Ed25519,
            [prefix @ .., 3, last] if prefix == NIST_ALGORITHMS => {
                nist_signature(*last).ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
        if parameters.is_empty() { Ok(scheme) } else { Err(unknown()) }
    }

    /// Whether a signature of this kind is made with such a key.
    pub(super) fn takes(self, key: &Key<'_>) -> bool {
        match (self, key) {
            (Scheme::RsaPkcs1(_) | Scheme::RsaPss(_), Key::Rsa { .. })
            | (Scheme::Ecdsa(_), Key::Ec { .. })
            | (Scheme::Dsa(_), Key::Dsa { .. })
            | (Scheme::Ed25519, Key::Ed25519(_)) => true,
            (Scheme::MlDsa(wanted), Key::MlDsa(found, _)) => wanted == *found,
            _ => false,
        }
    }

    /// The hash that is part of the scheme, if it is one of those that a policy judges.
    pub(super) fn hash(self) -> Option<Hash> {
        match self {
            Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) | Scheme::Ecdsa(hash) | Scheme::Dsa(hash) => {
                Some(hash)
            }
            Scheme::Ed25519 | Scheme::MlDsa(_) => None,
        }
    }
}

/// The last arc of ecdsa-with-SHA2.
fn sha2(arc: u8) -> Option<Hash> {
    Some(match arc {
        1 => Hash::Sha224,
        2 => Hash::Sha256,
        3 => Hash::Sha384,
        4 => Hash::Sha512,
        _ => return None,
    })
}

/// The last arc below sigAlgs of NIST: DSA with SHA-2 and ML-DSA.
fn nist_signature(arc: u8) -> Option<Scheme> {
    Some(match arc {
        1 => Scheme::Dsa(Hash::Sha224),
        2 => Scheme::Dsa(Hash::Sha256),
        3 => Scheme::Dsa(Hash::Sha384),
        4 => Scheme::Dsa(Hash::Sha512),
        17 => Scheme::MlDsa(MlDsa::MlDsa44),
        18 => Scheme::MlDsa(MlDsa::MlDsa65),
        19 => Scheme::MlDsa(MlDsa::MlDsa87),
        _ => return None,
    })
}

/// RSASSA-PSS-params (RFC 4055 3.1): one hash throughout, a salt of its length, the usual trailer.
fn pss(parameters: &[u8], unknown: impl Fn() -> SignatureError) -> Result<Scheme, SignatureError> {
    let mut fields = Reader::single(parameters, Tag::SEQUENCE)?.reader();
    let Some(hash) = fields.optional(Tag::context_constructed(0))? else { return Err(unknown()) };
    let Some(mask) = fields.optional(Tag::context_constructed(1))? else { return Err(unknown()) };
    let Some(salt) = fields.optional(Tag::context_constructed(2))? else { return Err(unknown()) };
    let trailer = fields.optional(Tag::context_constructed(3))?;
    fields.finish()?;
    let hash = digest(hash.content).ok_or_else(&unknown)?;
    let (mask_oid, mask_hash) = identifier(mask.content)?;
    let salt_length = Reader::single(salt.content, Tag::INTEGER)?.as_small_integer()?;
    let length = match hash {
        Hash::Sha256 => 32,
        Hash::Sha384 => 48,
        Hash::Sha512 => 64,
        _ => return Err(unknown()),
    };
    let usual = mask_oid.content() == MGF1
        && digest(mask_hash) == Some(hash)
        && salt_length == length
        && trailer.is_none_or(|trailer| trailer.content == [2, 1, 1]);
    if usual { Ok(Scheme::RsaPss(hash)) } else { Err(unknown()) }
}

fn digest(identifier_der: &[u8]) -> Option<Hash> {
    let (oid, parameters) = identifier(identifier_der).ok()?;
    let [prefix @ .., 2, last] = oid.content() else { return None };
    if prefix != NIST_ALGORITHMS || !matches!(parameters, [] | [5, 0]) {
        return None;
    }
    Some(match last {
        1 => Hash::Sha256,
        2 => Hash::Sha384,
        3 => Hash::Sha512,
        4 => Hash::Sha224,
        _ => return None,
    })
}

/// An AlgorithmIdentifier: the algorithm, and the DER of its parameters (empty if absent).
fn identifier(der: &[u8]) -> Result<(Oid<'_>, &[u8]), Asn1Error> {
    let mut fields = Reader::single(der, Tag::SEQUENCE)?.reader();
    let oid = fields.oid()?;
    if fields.is_empty() {
        return Ok((oid, &[]));
    }
    Ok((oid, fields.only()?.raw))
}

impl<'a> Key<'a> {
    /// Decodes a SubjectPublicKeyInfo.
    pub(super) fn decode(spki: &'a [u8]) -> Result<Key<'a>, SignatureError> {
        let info = KeyInfo::decode(spki)?;
        let unknown = || SignatureError::Unknown(info.oid.to_string());
        match info.oid.content() {
            RSA_ENCRYPTION if matches!(info.parameters, [] | [5, 0]) => Ok(rsa(info.key)?),
            RSASSA_PSS => Ok(rsa(info.key)?),
            EC_PUBLIC_KEY => {
                // Named curves only: parameters that a key brings along have forged roots (CVE-2020-0601).
                let curve = Reader::single(info.parameters, Tag::OID)
                    .ok()
                    .and_then(|oid| curve(oid.content))
                    .ok_or_else(|| SignatureError::Unknown("a curve without a known name".into()))?;
                Ok(Key::Ec { curve, point: info.key })
            }
            DSA_KEY => dsa(&info),
            ED25519 if info.parameters.is_empty() => Ok(Key::Ed25519(info.key)),
            [prefix @ .., 3, last] if prefix == NIST_ALGORITHMS && info.parameters.is_empty() => {
                match nist_signature(*last) {
                    Some(Scheme::MlDsa(kind)) => Ok(Key::MlDsa(kind, info.key)),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

struct KeyInfo<'a> {
    oid: Oid<'a>,
    algorithm: &'a [u8],
    parameters: &'a [u8],
    key: &'a [u8],
}

impl<'a> KeyInfo<'a> {
    fn decode(spki: &'a [u8]) -> Result<KeyInfo<'a>, Asn1Error> {
        let mut fields = Reader::single(spki, Tag::SEQUENCE)?.reader();
        let algorithm = fields.expect(Tag::SEQUENCE)?.raw;
        let (oid, parameters) = identifier(algorithm)?;
        let key = fields.octets_in_bit_string()?;
        fields.finish()?;
        Ok(KeyInfo { oid, algorithm, parameters, key })
    }
}

fn curve(oid: &[u8]) -> Option<Curve> {
    Some(match oid {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1] => Curve::P192,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Curve::P256,
        [0x2b, 0x81, 4, 0, 34] => Curve::P384,
        [0x2b, 0x81, 4, 0, 35] => Curve::P521,
        _ => return None,
    })
}

fn rsa(der: &[u8]) -> Result<Key<'_>, Asn1Error> {
    let mut fields = Reader::single(der, Tag::SEQUENCE)?.reader();
    let (modulus, exponent) = (positive(&mut fields)?, positive(&mut fields)?);
    fields.finish()?;
    Ok(Key::Rsa { modulus, exponent, der })
}

fn dsa<'a>(info: &KeyInfo<'a>) -> Result<Key<'a>, SignatureError> {
    if info.parameters.is_empty() {
        return Err(SignatureError::NoParameters);
    }
    let mut fields = Reader::single(info.parameters, Tag::SEQUENCE)?.reader();
    let (p, q, g) = (positive(&mut fields)?, positive(&mut fields)?, positive(&mut fields)?);
    fields.finish()?;
    let mut key = Reader::new(info.key);
    let y = positive(&mut key)?;
    key.finish()?;
    Ok(Key::Dsa { p, q, g, y })
}

/// A positive INTEGER in its minimal form: its magnitude without leading zeros.
pub(super) fn positive<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Asn1Error> {
    let at = reader.at();
    let content = reader.integer()?;
    let magnitude = content.strip_prefix(&[0]).unwrap_or(content);
    if content[0] >= 0x80 || magnitude.is_empty() || minimal_integer(content) != content {
        let kind = Asn1ErrorKind::Value("not a positive INTEGER in its minimal form");
        return Err(Asn1Error { at, kind });
    }
    Ok(magnitude)
}

pub(super) fn inherit_parameters(spki: &[u8], issuer_spki: &[u8]) -> Option<Vec<u8>> {
    let (own, issuer) = (KeyInfo::decode(spki).ok()?, KeyInfo::decode(issuer_spki).ok()?);
    let inherits = own.oid.content() == DSA_KEY
        && issuer.oid.content() == DSA_KEY
        && own.parameters.is_empty()
        && !issuer.parameters.is_empty();
    if !inherits {
        return None;
    }
    let key =
        spki.get(spki.len() - Reader::new(spki).sequence().ok()?.rest().len() + own.algorithm.len()..)?;
    let content = [issuer.algorithm, key].concat();
    let length = u16::try_from(content.len()).ok()?.to_be_bytes();
    let header: &[u8] = match content.len() {
        ..=0x7f => &[0x30, length[1]],
        0x80..=0xff => &[0x30, 0x81, length[1]],
        _ => &[0x30, 0x82, length[0], length[1]],
    };
    Some([header, &content].concat())
}
