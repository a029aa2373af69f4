//! Differences: the laws for lists that the input describes, and forged differences under a checksum that is right.

use std::sync::LazyLock;

use revocast_pki::asn1::Time;
use revocast_pki::crl::{Changes, Crl, DIFFERENCE_VERSION, Difference, Reason};
use revocast_pki::identity::Digest;
use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

/// What is made of a small base stays below this.
const MADE_LIMIT: usize = 1 << 21;

/// The input is three lists, separated by 0; one octet per entry.
pub fn holds(octets: &[u8]) {
    let mut parts = octets.splitn(3, |octet| *octet == 0);
    let [a, b, c] = [1, 2, 3].map(|number| list(number, parts.next().unwrap_or_default()));
    let (ab, bc) = (Difference::construct(&a, &b), Difference::construct(&b, &c));
    assert_eq!(ab.apply(&a).as_ref(), Ok(b.der()));
    assert_eq!(ab.merge(&bc).unwrap().apply(&a).as_ref(), Ok(c.der()));
    assert_eq!(Difference::decode(ab.encoded().clone()).as_ref(), Ok(&ab));
    let changes = Changes::between(&a, &b);
    assert!(changes.revoked.iter().all(|one| a.find(one.serial.octets()).is_none()));
    assert!(changes.dropped.iter().chain(&changes.released).all(|one| b.find(one.serial.octets()).is_none()));
    forged(&a, octets);
    let _ = Difference::decode(octets.to_vec());
}

/// Runs that nobody constructs may be refused, and never do harm.
fn forged(base: &Crl, runs: &[u8]) {
    let mut encoded = vec![DIFFERENCE_VERSION];
    encoded.extend([base.id().0, base.id().0].concat());
    encoded.extend_from_slice(runs);
    let Digest(sum) = Digest::of(&encoded);
    encoded.extend_from_slice(&sum[..16]);
    let Ok(difference) = Difference::decode(encoded) else { return };
    if let Ok(der) = difference.apply(base) {
        assert_eq!(der.len(), difference.target_octets());
        assert!(der.len() < MADE_LIMIT);
    }
    let _ = difference.merge(&difference);
}

fn list(number: u64, serials: &[u8]) -> Crl {
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(KeyKind::Ed25519).unwrap());
    let at = Time::from_unix(1_790_000_000).plus(number as i64);
    let template = CrlTemplate::new(name("CN=Example CA").unwrap(), number, at, at.plus(86_400));
    let entries = serials.iter().map(|serial| {
        let entry = RevokedEntry::new(&[0x40, *serial >> 1], at);
        if serial & 1 == 0 { entry } else { entry.because(Reason::CertificateHold) }
    });
    Crl::decode(template.sign(entries, &KEY).unwrap()).unwrap()
}
