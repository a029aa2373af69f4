//! Trust anchors: a name and a key that are believed, and what binds them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::certificate::{Certificate, KeyUsage, Version};
use crate::identity::IssuerId;
use crate::name::Name;
use crate::verdict::Reason;

use super::validation::valid_at;
use crate::asn1::Time;

/// A trust anchor; cheap to clone.
///
/// Given as a certificate it binds by name, key, validity and the certificate's constraints (RFC 5937);
/// given as a key, by name and key alone (RFC 5280 6.1.1 (d)).
#[derive(Clone, Debug)]
pub struct Anchor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Name,
    spki: Vec<u8>,
    certificate: Option<Certificate>,
    constrains: bool,
}

impl Anchor {
    /// Binds by all that the certificate says.
    pub fn from_certificate(certificate: Certificate) -> Anchor {
        Anchor::new(certificate, true)
    }

    /// Binds by the certificate's subject and key alone.
    pub fn as_key(certificate: Certificate) -> Anchor {
        Anchor::new(certificate, false)
    }

    /// Binds by a name and a key (the DER of a SubjectPublicKeyInfo).
    pub fn from_key(name: Name, spki: Vec<u8>) -> Anchor {
        Anchor(Arc::new(Inner { name, spki, certificate: None, constrains: false }))
    }

    fn new(certificate: Certificate, constrains: bool) -> Anchor {
        let (name, spki) = (certificate.subject().clone(), certificate.spki().to_vec());
        Anchor(Arc::new(Inner { name, spki, certificate: Some(certificate), constrains }))
    }

    /// Who is believed.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The key that is believed: the DER of a SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.0.spki
    }

    /// The certificate by which the anchor was given.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.0.certificate.as_ref()
    }

    /// What the anchor is called as an issuer.
    pub fn as_issuer(&self) -> IssuerId {
        match &self.0.certificate {
            Some(certificate) => certificate.as_issuer(),
            None => IssuerId::of(&self.0.name, &self.0.spki),
        }
    }

    /// The certificate whose constraints bind, if they do.
    pub(crate) fn constraints(&self) -> Option<&Certificate> {
        self.0.certificate.as_ref().filter(|_| self.0.constrains)
    }

    /// Whether the anchor may be used at all at `at`: what its own certificate says of it.
    pub(crate) fn inspect(&self, at: Time) -> Result<(), Reason> {
        let Some(certificate) = self.constraints() else { return Ok(()) };
        valid_at(certificate, at)?;
        if certificate.unknown_critical_extension().is_some() {
            return Err(Reason::UnknownCriticalExtension);
        }
        // Before version 3 a certificate could not say that it is a CA's: then the anchor's owner said so.
        if certificate.version() == Version::V3 && !certificate.is_ca() {
            return Err(Reason::NotACa);
        }
        match certificate.key_usage() {
            Some(usage) if !usage.contains(KeyUsage::KEY_CERT_SIGN) => Err(Reason::KeyUsage),
            _ => Ok(()),
        }
    }
}

/// The anchors of a question, by name.
#[derive(Clone, Debug, Default)]
pub struct Anchors(HashMap<Name, Vec<Anchor>>);

impl Anchors {
    /// The anchors of that name.
    pub fn named(&self, name: &Name) -> &[Anchor] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.0.values().flatten()
    }
}

impl FromIterator<Anchor> for Anchors {
    fn from_iter<I: IntoIterator<Item = Anchor>>(anchors: I) -> Anchors {
        let mut by_name: HashMap<Name, Vec<Anchor>> = HashMap::new();
        for anchor in anchors {
            by_name.entry(anchor.name().clone()).or_default().push(anchor);
        }
        Anchors(by_name)
    }
}
