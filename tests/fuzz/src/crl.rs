//! Reading a CRL.

use revocast_pki::crl::lint::{Company, Profile, lint};
use revocast_pki::crl::{Changes, Crl, Difference, Effective, Header};

/// Octets are a CRL or are not. If they are, each entry is found again, and the list is no different from itself.
pub fn holds(octets: &[u8]) {
    let header = Header::decode(octets.to_vec());
    let Ok(crl) = Crl::decode(octets.to_vec()) else { return };
    assert!(header.is_ok());
    assert_eq!(crl.der(), octets);
    assert_eq!(crl.iter().count(), crl.entries());
    for entry in crl.iter() {
        let found = crl.find_issued_by(entry.certificate_issuer(), entry.serial());
        assert!(found.is_some_and(|found| found.certificate_issuer() == entry.certificate_issuer()));
        let _ = (entry.date(), entry.reason(), entry.invalidity_date(), entry.extensions().count());
    }
    assert!(Changes::between(&crl, &crl).released.is_empty());
    assert_eq!(Difference::construct(&crl, &crl).apply(&crl).as_ref(), Ok(crl.der()));
    let _ =
        lint(&crl, Profile::BaselineRequirements, &Company { previous: Some(&crl), ..Company::default() });
    let _ = Effective::complete(crl.clone());
    let _ = (format!("{crl:?}"), crl.usable(), crl.order(), crl.freshest_crl().map(Iterator::count));
}
