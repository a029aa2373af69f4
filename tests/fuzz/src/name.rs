//! Reading and comparing names.

use revocast_pki::name::Name;

/// A name equals itself and what its normal form says, stands within itself and within nothing below it, and is shown
/// without control characters.
pub fn holds(octets: &[u8]) {
    let Ok(name) = Name::decode(octets.to_vec()) else { return };
    assert_eq!(name.der(), octets);
    assert!(name.is_within(&name));
    assert_eq!(name.is_empty(), name.attributes().is_empty());
    assert!(!name.to_string().chars().any(char::is_control));
    let below = name.join(b"\x30\x08\x06\x03\x55\x04\x03\x0c\x01x");
    assert!(below.is_err() || below.is_ok_and(|below| below.is_within(&name) && !name.is_within(&below)));
}
