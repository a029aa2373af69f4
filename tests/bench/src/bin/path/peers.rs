//! How the peers are asked the same question: leaf, intermediate, root, both CRLs held, each certificate checked.

use std::time::Duration;

use certval::{
    CertFile, CertSource, CertVector, CertificationPathResults, CertificationPathSettings, MemoryCrlSource,
    PkiEnvironment, TaSource, TimeOfInterest,
};
use foreign_types::ForeignTypeRef;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Crl, X509StoreContext};
use revocast_bench::Contender;
use revocast_pki::asn1::Reader;
use revocast_pki::signature::Statement;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::{NOW, each};

unsafe extern "C" {
    fn X509_STORE_add_crl(store: *mut openssl_sys::X509_STORE, crl: *mut openssl_sys::X509_CRL) -> i32;
}

/// The arithmetic alone.
pub fn ring(statement: &Statement<'_>) {
    let mut fields = Reader::new(statement.spki).sequence().expect("a key");
    fields.any().expect("an algorithm");
    let point = fields.octets_in_bit_string().expect("a point");
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, point);
    key.verify(statement.message, statement.signature).expect("right");
}

/// Each peer in the way its documentation shows, with what it can hold held.
pub fn contenders<'a>(
    root: &'a [u8],
    intermediate: &'a [u8],
    leaf: &'a [u8],
    crls: &'a [Vec<u8>; 2],
) -> Vec<Contender<'a>> {
    // With large CRLs a single question takes milliseconds.
    let count = if crls[1].len() > 1_000_000 { 1 } else { 10 };
    let webpki = webpki(root, intermediate, leaf, crls);
    let openssl = openssl(root, intermediate, leaf, crls);
    let certval = certval(root, intermediate, leaf, crls, false);
    let stale = certval_with_caches(root, intermediate, leaf, crls);
    vec![
        ("rustls-webpki", Box::new(move || each(count, &webpki))),
        ("openssl", Box::new(move || each(count, &openssl))),
        ("certval", Box::new(move || each(count, &certval))),
        ("certval, same leaf again, from its caches", Box::new(move || each(count, &stale))),
    ]
}

fn webpki<'a>(
    root: &'a [u8],
    intermediate: &'a [u8],
    leaf: &'a [u8],
    crls: &[Vec<u8>; 2],
) -> impl Fn() + use<'a> {
    let lists: Vec<CertRevocationList<'static>> =
        crls.iter().map(|der| OwnedCertRevocationList::from_der(der).expect("a CRL").into()).collect();
    let root = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root).expect("a root").to_owned();
    let intermediates = [CertificateDer::from(intermediate)];
    let leaf = CertificateDer::from(leaf);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unix() as u64));
    move || {
        let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
        let options = RevocationOptionsBuilder::new(&lists)
            .expect("CRLs")
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build();
        let leaf = EndEntityCert::try_from(&leaf).expect("a certificate");
        let algorithms = [webpki::ring::ECDSA_P256_SHA256];
        let anchors = [anchor.clone()];
        leaf.verify_for_usage(
            &algorithms,
            &anchors,
            &intermediates,
            time,
            KeyUsage::server_auth(),
            Some(options),
            None,
        )
        .expect("valid");
    }
}

fn openssl<'a>(root: &[u8], intermediate: &[u8], leaf: &'a [u8], crls: &[Vec<u8>; 2]) -> impl Fn() + use<'a> {
    let store = openssl_store(root, crls);
    let mut untrusted = openssl::stack::Stack::new().expect("a stack");
    untrusted.push(X509::from_der(intermediate).expect("a certificate")).expect("a stack");
    move || {
        let leaf = X509::from_der(leaf).expect("a certificate");
        let mut context = X509StoreContext::new().expect("a context");
        assert!(context.init(&store, &leaf, &untrusted, |context| context.verify_cert()).expect("a context"));
    }
}

fn openssl_store(root: &[u8], crls: &[Vec<u8>; 2]) -> X509Store {
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    let mut builder = X509StoreBuilder::new().expect("a store");
    builder.add_cert(X509::from_der(root).expect("a certificate")).expect("a store");
    for der in crls {
        let crl = X509Crl::from_der(der).expect("a CRL");
        // SAFETY: both pointers are of live objects; the store takes a reference of its own to the CRL.
        assert_eq!(unsafe { X509_STORE_add_crl(builder.as_ptr(), crl.as_ptr()) }, 1);
    }
    let mut parameters = X509VerifyParam::new().expect("parameters");
    parameters.set_time(NOW.unix());
    parameters.set_flags(flags).expect("parameters");
    builder.set_param(&parameters).expect("a store");
    builder.build()
}

fn certval<'a>(
    root: &[u8],
    intermediate: &[u8],
    leaf: &'a [u8],
    crls: &[Vec<u8>; 2],
    caches: bool,
) -> impl Fn() + use<'a> {
    let mut settings = CertificationPathSettings::default();
    settings.set_time_of_interest(TimeOfInterest::from_unix_secs(NOW.unix() as u64).expect("a time"));
    let file = |name: &str, der: &[u8]| CertFile { filename: name.into(), bytes: der.to_vec() };
    let mut environment = PkiEnvironment::default();
    environment.populate_5280_pki_environment();
    let mut anchors = TaSource::new();
    anchors.push(file("root", root));
    anchors.initialize().expect("a root");
    environment.add_trust_anchor_source(Box::new(anchors));
    let mut certificates = CertSource::new();
    certificates.push(file("intermediate", intermediate));
    certificates.initialize(&settings).expect("a certificate");
    certificates.find_all_partial_paths(&environment, &settings);
    environment.add_certificate_source(Box::new(certificates));
    let lists = MemoryCrlSource::new();
    crls.iter().for_each(|der| assert!(lists.add(der)));
    environment.add_crl_source(Box::new(lists));
    if caches {
        environment.add_signature_cache(Box::new(certval::DefaultSignatureVerificationCache::new()));
        environment.add_revocation_cache(Box::new(certval::RevocationCache::new()));
    }
    move || {
        let target = certval::parse_cert(leaf, "").expect("a certificate");
        let mut paths = Vec::new();
        environment
            .get_paths_for_target(&target, &mut paths, 0, settings.get_time_of_interest())
            .expect("a path");
        let mut results = CertificationPathResults::new();
        environment.validate_path(&environment, &settings, &paths[0], &mut results).expect("valid");
        certval::check_revocation_local(&environment, &settings, &paths[0], &mut results).expect("good");
    }
}

fn certval_with_caches<'a>(
    root: &[u8],
    intermediate: &[u8],
    leaf: &'a [u8],
    crls: &[Vec<u8>; 2],
) -> impl Fn() + use<'a> {
    certval(root, intermediate, leaf, crls, true)
}
