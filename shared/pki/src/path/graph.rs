//! Where candidates come from: certificates by the name of their subject.

use std::collections::HashMap;

use crate::certificate::Certificate;
use crate::name::Name;

/// Gives certificates that may issue. A validator hands its live state through this.
pub trait CertificateSource {
    /// All certificates whose subject is `subject`, in any order.
    fn by_subject(&self, subject: &Name) -> Vec<Certificate>;
}

/// Certificates in memory, by subject.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    by_subject: HashMap<Name, Vec<Certificate>>,
}

impl Graph {
    /// Without certificates.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Takes in a certificate; tells whether it was new.
    pub fn insert(&mut self, certificate: Certificate) -> bool {
        let known = self.by_subject.entry(certificate.subject().clone()).or_default();
        let new = !known.contains(&certificate);
        if new {
            known.push(certificate);
        }
        new
    }

    /// All certificates, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.by_subject.values().flatten()
    }
}

impl FromIterator<Certificate> for Graph {
    fn from_iter<I: IntoIterator<Item = Certificate>>(certificates: I) -> Graph {
        let mut graph = Graph::new();
        graph.extend(certificates);
        graph
    }
}

impl Extend<Certificate> for Graph {
    fn extend<I: IntoIterator<Item = Certificate>>(&mut self, certificates: I) {
        for certificate in certificates {
            self.insert(certificate);
        }
    }
}

impl CertificateSource for Graph {
    fn by_subject(&self, subject: &Name) -> Vec<Certificate> {
        self.by_subject.get(subject).cloned().unwrap_or_default()
    }
}

/// Two sources as one: what a question brings along, before what is known anyway.
impl<A: CertificateSource + ?Sized, B: CertificateSource + ?Sized> CertificateSource for (&A, &B) {
    fn by_subject(&self, subject: &Name) -> Vec<Certificate> {
        let mut found = self.0.by_subject(subject);
        for certificate in self.1.by_subject(subject) {
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
        found
    }
}
