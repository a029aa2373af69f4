//! Which URLs serve CRLs, by what certificates say of themselves.

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::distribution_point::{DistributionPointName, DistributionPoints};
use revocast_pki::general_name::GeneralName;
use revocast_pki::identity::CrlKind;
use revocast_pki::name::Name;
use url::Url;

/// At most this many URLs of one certificate count; real ones have one to three.
const MAX_URLS: usize = 8;

/// A longer URL does not count; no repository needs one.
const MAX_URL: usize = 2_048;

/// The URLs at which a certificate says that its CRLs are.
pub(crate) fn of_certificate(certificate: &Certificate) -> Vec<String> {
    named_by(certificate).into_iter().map(|(url, _)| url).collect()
}

/// The same, each with what it is said to serve: distribution points complete CRLs (RFC 5280 4.2.1.13), freshest CRL
/// deltas (4.2.1.15).
pub(crate) fn named_by(certificate: &Certificate) -> Vec<(String, CrlKind)> {
    let complete = certificate.crl_distribution_points().map(|points| (points, CrlKind::Complete));
    let deltas = certificate.freshest_crl().map(|points| (points, CrlKind::Delta));
    let named = complete
        .into_iter()
        .chain(deltas)
        .flat_map(|(points, kind)| of_points(points).into_iter().map(move |url| (url, kind)));
    named.filter(|(url, _)| url.len() <= MAX_URL).take(MAX_URLS).collect()
}

fn of_points(points: DistributionPoints<'_>) -> Vec<String> {
    let full = points.filter_map(|point| match point.name {
        Some(DistributionPointName::Full(names)) => Some(names),
        _ => None,
    });
    full.flatten().filter_map(uri).map(str::to_owned).collect()
}

fn uri<'a>(name: GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::Uri(url) => Some(url),
        _ => None,
    }
}

/// Whether what `url` serves for certificates of `issuer` is this CRL or one of its series: the CRL names the URL as its
/// distribution point, or is of that issuer and names none.
pub(crate) fn serves(url: &str, issuer: &Name, crl: &Crl) -> bool {
    match crl.distribution_point().and_then(|point| point.name()) {
        Some(DistributionPointName::Full(mut names)) => names.any(|name| uri(name) == Some(url)),
        Some(DistributionPointName::Relative(_)) => false,
        None => crl.issuer() == issuer,
    }
}

/// The host that a URL names; what has none waits with others of its kind.
pub(crate) fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{
        CertificateTemplate, CrlTemplate, DistributionPoint, KeyKind, SigningKey, name,
    };

    use super::*;

    const NOW: Time = Time::from_unix(1_795_305_600);

    #[test]
    fn urls_are_those_of_distribution_points_and_bounded() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let issuer = name("CN=CA").unwrap();
        let mut template = CertificateTemplate::ca(issuer.clone(), key.spki(), &[1], (NOW, NOW.plus(99)));
        let long = format!("http://h/{}", "x".repeat(MAX_URL));
        template.crl_distribution_points = std::iter::once(DistributionPoint::uri(&long))
            .chain((0..20).map(|n| DistributionPoint::uri(&format!("http://h/{n}"))))
            .collect();
        let certificate = Certificate::decode(template.sign(&issuer, &key).unwrap()).unwrap();
        let urls = of_certificate(&certificate);
        assert_eq!((urls.len(), urls[0].as_str()), (MAX_URLS, "http://h/0"));
    }

    #[test]
    fn distribution_points_serve_complete_crls_and_freshest_crl_deltas() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let issuer = name("CN=CA").unwrap();
        let mut template = CertificateTemplate::ca(issuer.clone(), key.spki(), &[1], (NOW, NOW.plus(99)));
        template.crl_distribution_points = vec![DistributionPoint::uri("http://h/complete")];
        template.freshest_crl = vec![DistributionPoint::uri("http://h/delta")];
        let certificate = Certificate::decode(template.sign(&issuer, &key).unwrap()).unwrap();
        let expected = [("http://h/complete", CrlKind::Complete), ("http://h/delta", CrlKind::Delta)];
        assert_eq!(named_by(&certificate), expected.map(|(url, kind)| (url.to_owned(), kind)));
    }

    #[test]
    fn a_crl_without_a_distribution_point_is_what_every_url_of_its_issuer_serves() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (issuer, other) = (name("CN=CA").unwrap(), name("CN=Other").unwrap());
        let template = CrlTemplate::new(issuer.clone(), 1u64, NOW, NOW.plus(99));
        let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
        assert!(serves("http://h/x", &issuer, &crl) && !serves("http://h/x", &other, &crl));
    }

    #[test]
    fn hosts_are_told_without_ports_and_users() {
        assert_eq!(host("http://user@crl.example:8080/x"), "crl.example");
        assert_eq!(host("not a url"), "");
    }
}
