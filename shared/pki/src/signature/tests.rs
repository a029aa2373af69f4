//! Keys are made at run time.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::*;

const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const DEFAULT: AlgorithmPolicy = AlgorithmPolicy::DEFAULT;

struct Signed {
    algorithm: &'static [u8],
    spki: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn statement<'a>(&'a self, message: &'a [u8]) -> Statement<'a> {
        Statement { algorithm: self.algorithm, spki: &self.spki, message, signature: &self.signature }
    }
}

fn ed25519(message: &[u8]) -> Signed {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let spki = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", key.public_key().as_ref()].concat();
    Signed { algorithm: ED25519, spki, signature: key.sign(message).as_ref().to_vec() }
}

fn p256(message: &[u8]) -> Signed {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
    let header = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let spki = [header, key.public_key().as_ref()].concat();
    let signature = key.sign(&random, message).unwrap().as_ref().to_vec();
    Signed { algorithm: ECDSA_SHA256, spki, signature }
}

/// An RSA key that nobody holds: the policy is asked before the arithmetic.
fn rsa_spki(bits: usize, exponent: &[u8]) -> Vec<u8> {
    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u16).to_be_bytes();
        let header: &[u8] = match content.len() {
            ..=0xff => &[tag, 0x81, length[1]],
            _ => &[tag, 0x82, length[0], length[1]],
        };
        [header, content].concat()
    }
    let short = |content: &[u8]| [&[2, content.len() as u8][..], content].concat();
    let mut modulus = vec![0xff; bits / 8 + 1];
    modulus[0] = 0;
    let key = tlv(0x30, &[tlv(2, &modulus), short(exponent)].concat());
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    tlv(0x30, &[&algorithm[..], &tlv(3, &[&[0], &key[..]].concat())].concat())
}

fn refused(spki: &[u8], policy: AlgorithmPolicy) -> Option<Refusal> {
    match inspect_key(spki, &policy) {
        Ok(()) => None,
        Err(SignatureError::Refused(refusal)) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_true_statement_verifies_and_each_bent_one_does_not() {
    for signed in [ed25519(b"words"), p256(b"words")] {
        assert_eq!(signed.statement(b"words").verify(&DEFAULT), Ok(()));
        assert_eq!(signed.statement(b"other").verify(&DEFAULT), Err(SignatureError::Wrong));
        let other = Statement { algorithm: b"\x30\x03\x06\x01\x2a", ..signed.statement(b"words") };
        assert!(matches!(other.verify(&DEFAULT), Err(SignatureError::Unknown(_))));
    }
    let (edwards, weierstrass) = (ed25519(b"words"), p256(b"words"));
    let mixed = Statement { spki: &weierstrass.spki, ..edwards.statement(b"words") };
    assert_eq!(mixed.verify(&DEFAULT), Err(SignatureError::KeyMismatch));
}

#[test]
fn rsa_keys_of_odd_size_or_shape_are_refused_before_the_arithmetic() {
    let f4 = &[1, 0, 1][..];
    assert_eq!(refused(&rsa_spki(2048, f4), DEFAULT), None);
    assert_eq!(refused(&rsa_spki(8192, f4), DEFAULT), None);
    assert_eq!(refused(&rsa_spki(1024, f4), DEFAULT), Some(Refusal::RsaTooShort(1024)));
    assert_eq!(refused(&rsa_spki(1024, f4), AlgorithmPolicy::legacy()), None);
    assert_eq!(refused(&rsa_spki(16384, f4), AlgorithmPolicy::legacy()), Some(Refusal::TooLong(16384)));
    for exponent in [&[1][..], &[2], &[1, 0, 0, 0, 1], &[1, 0]] {
        assert_eq!(refused(&rsa_spki(2048, exponent), DEFAULT), Some(Refusal::RsaShape), "{exponent:?}");
    }
}

#[test]
fn a_broken_hash_counts_only_under_legacy() {
    let sha1_with_rsa = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
    let spki = rsa_spki(2048, &[1, 0, 1]);
    let statement = Statement { algorithm: sha1_with_rsa, spki: &spki, message: b"", signature: &[1; 256] };
    assert_eq!(statement.verify(&DEFAULT), Err(SignatureError::Refused(Refusal::WeakHash)));
    assert_eq!(statement.verify(&AlgorithmPolicy::legacy()), Err(SignatureError::Wrong));
}

#[test]
fn the_memory_tells_statements_apart_by_every_part_and_stays_bounded() {
    let signed = ed25519(b"words");
    let statement = signed.statement(b"words");
    let memory = Memory::new(64);
    memory.remember(statement.fingerprint());
    assert!(memory.holds(&statement.fingerprint()));
    for other in [
        Statement { message: b"word", ..statement },
        Statement { algorithm: ECDSA_SHA256, ..statement },
        Statement { spki: b"", ..statement },
        Statement { signature: b"", ..statement },
        Statement { signature: &[], message: &[statement.signature, b"words"].concat(), ..statement },
    ] {
        assert!(!memory.holds(&other.fingerprint()));
    }
    for n in 0..10_000u32 {
        memory.remember(Statement { message: &n.to_be_bytes(), ..statement }.fingerprint());
    }
    assert!(memory.len() <= 64, "{}", memory.len());
    let none = Memory::new(0);
    none.remember(statement.fingerprint());
    assert!(none.is_empty());
}

#[test]
fn p521_verifies_with_every_hash_that_goes_with_it() {
    use p521::ecdsa::signature::hazmat::PrehashSigner;
    let key = p521::ecdsa::SigningKey::from_slice(&[7; 66].map(|octet| octet & 1)).unwrap();
    let header = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
    let spki = [header, key.verifying_key().to_sec1_point(false).as_bytes()].concat();
    for (last, digest) in [
        (2, ring::digest::digest(&ring::digest::SHA256, b"words")),
        (4, ring::digest::digest(&ring::digest::SHA512, b"words")),
    ] {
        let mut padded = [0; 66];
        padded[66 - digest.as_ref().len()..].copy_from_slice(digest.as_ref());
        let signature: p521::ecdsa::Signature = key.sign_prehash(&padded).unwrap();
        let signature = signature.to_der();
        let mut algorithm = ECDSA_SHA256.to_vec();
        *algorithm.last_mut().unwrap() = last;
        let statement = |message| Statement {
            algorithm: &algorithm,
            spki: &spki,
            message,
            signature: signature.as_bytes(),
        };
        assert_eq!(statement(b"words").verify(&DEFAULT), Ok(()));
        assert_eq!(statement(b"other").verify(&DEFAULT), Err(SignatureError::Wrong));
    }
}

#[test]
fn ml_dsa_verifies_in_all_three_sizes() {
    use ml_dsa::{KeyExport, Keypair, Signer};
    fn check<P: ml_dsa::MlDsaParams>(last: u8) {
        let key = ml_dsa::SigningKey::<P>::from_seed(&[7; 32].into());
        let algorithm = [b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03", &[last][..]].concat();
        let octets = key.verifying_key().to_bytes();
        let length = |n: usize| (n as u16).to_be_bytes();
        let bits = [&[3, 0x82][..], &length(octets.len() + 1), &[0], &octets].concat();
        let content = [&algorithm, &bits].map(|part| &part[..]).concat();
        let spki = [&[0x30, 0x82][..], &length(content.len()), &content].concat();
        let signature = key.sign(b"words").encode();
        let statement =
            |message| Statement { algorithm: &algorithm, spki: &spki, message, signature: &signature };
        assert_eq!(statement(b"words").verify(&DEFAULT), Ok(()));
        assert_eq!(statement(b"other").verify(&DEFAULT), Err(SignatureError::Wrong));
    }
    check::<ml_dsa::MlDsa44>(17);
    check::<ml_dsa::MlDsa65>(18);
    check::<ml_dsa::MlDsa87>(19);
}

#[test]
fn rsa_with_hashes_of_old_verifies_under_legacy_alone() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    for (last, signature) in [(4, MD5_SIGNATURE), (14, SHA224_SIGNATURE)] {
        let algorithm = [b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01", &[last, 5, 0][..]].concat();
        let (spki, signature) = (hex(OLD_RSA_KEY), hex(signature));
        let statement =
            |message| Statement { algorithm: &algorithm, spki: &spki, message, signature: &signature };
        assert_eq!(statement(b"words").verify(&AlgorithmPolicy::legacy()), Ok(()));
        assert_eq!(statement(b"other").verify(&AlgorithmPolicy::legacy()), Err(SignatureError::Wrong));
        assert!(matches!(statement(b"words").verify(&DEFAULT), Err(SignatureError::Refused(_))));
    }
}

/// RSA with 1024 bits, and its signatures over `words` with MD5 and SHA-224, as OpenSSL makes them.
const OLD_RSA_KEY: &str = concat!(
    "30819f300d06092a864886f70d010101050003818d0030818902818100bf5c9ffa681a1b67e5a21a9f52f0c9da42",
    "d1fd3fc1863d0d07fa311ec99df16ded51d328dff9dabec60462e14387e305e24278115b2d37a290617f770dd179",
    "be5de7228d0dabb59ffa4c6fac9e7803623a36944d75fe0274200b6f0357eb50814748fa8c2fe00a29c1eaf3a4f2",
    "6c227bee876c40cdb6460d834559b0b5cca2410203010001",
);
const MD5_SIGNATURE: &str = concat!(
    "88db28983bf9514069a198ca21a091a1a681e76f6b3ab084b969ef739661cb3f77474c4b486946784ee89d95b552",
    "82804146fe6484ebf59c5db05b513254d46e9b20b0b12ff938f5abcf4396380e40e075d1172c57a250fe9ed09f86",
    "25ce0561d261f4e96a276a40d551041ec9abf98eac5db2d5bb28e55919af3f7612fc7c93",
);
const SHA224_SIGNATURE: &str = concat!(
    "684ed355ba1d10f483acb673eb5147fa75be8a7ee314992fe90088df0daf21cdd97123048be159a1c077370e5750",
    "d487c37c958c714067597c38b39964875425226b0196fbd572c8ae52f633aaaafb8b8c7f0c1e0825679a6bbf4b54",
    "93c2b580f035db97b165d419189b0b6be60b3a4096af9e90fc003b20254b81e9b686fd17",
);
