//! Certificates, said as a template and signed.

use super::extension::{
    write_authority_key_id, write_distribution_points, write_extension, write_extra, write_general_names,
};
use super::{DistributionPoint, Extension, GeneralName, GeneralSubtrees, MintError, SigningKey, key_id};
use crate::asn1::{Tag, Time, Writer};
use crate::certificate::{BasicConstraints, KeyUsage, PolicyConstraints};
use crate::name::Name;
use crate::oids;

/// An access method of authorityInfoAccess or subjectInfoAccess (RFC 5280 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMethod {
    /// id-ad-ocsp.
    Ocsp,
    /// id-ad-caIssuers.
    CaIssuers,
    /// id-ad-caRepository.
    CaRepository,
}

/// A policy under which a certificate is issued (RFC 5280 4.2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatement {
    /// Content octets of its identifier.
    pub oid: Vec<u8>,
    /// URI of the practice statement.
    pub cps: Option<String>,
}

impl From<Vec<u8>> for PolicyStatement {
    fn from(oid: Vec<u8>) -> PolicyStatement {
        PolicyStatement { oid, cps: None }
    }
}

/// A certificate to be signed. Extensions that are `None` or empty are left out.
#[derive(Clone, Debug)]
pub struct CertificateTemplate {
    /// Whose certificate it is.
    pub subject: Name,
    /// SubjectPublicKeyInfo DER of the subject's key.
    pub spki: Vec<u8>,
    /// Content octets of the serial number, written as they stand.
    pub serial: Vec<u8>,
    /// First second of validity.
    pub not_before: Time,
    /// Last second of validity.
    pub not_after: Time,
    /// Critical when written.
    pub basic_constraints: Option<BasicConstraints>,
    /// Critical when written.
    pub key_usage: Option<KeyUsage>,
    /// Content octets of each purpose's identifier (RFC 5280 4.2.1.12).
    pub extended_key_usage: Vec<Vec<u8>>,
    /// Critical if the subject is the empty name (RFC 5280 4.2.1.6).
    pub subject_alt_names: Vec<GeneralName>,
    /// Where CRLs for this certificate are.
    pub crl_distribution_points: Vec<DistributionPoint>,
    /// Where delta CRLs for this certificate are.
    pub freshest_crl: Vec<DistributionPoint>,
    /// Where the issuer's certificates and responders are.
    pub authority_info_access: Vec<(AccessMethod, GeneralName)>,
    /// Where the subject publishes.
    pub subject_info_access: Vec<(AccessMethod, GeneralName)>,
    /// Under which policies it is issued.
    pub policies: Vec<PolicyStatement>,
    /// Pairs (issuer's policy, subject's policy), content octets; critical when written.
    pub policy_mappings: Vec<(Vec<u8>, Vec<u8>)>,
    /// Critical when written.
    pub policy_constraints: Option<PolicyConstraints>,
    /// Critical when written (RFC 5280 4.2.1.14).
    pub inhibit_any_policy: Option<u32>,
    /// Critical when written.
    pub name_constraints: Option<GeneralSubtrees>,
    /// Identifier of the subject's key.
    pub subject_key_id: Option<Vec<u8>>,
    /// Identifier of the issuer's key.
    pub authority_key_id: Option<Vec<u8>>,
    /// Whatever else, written last and as it stands.
    pub extra: Vec<Extension>,
}

impl CertificateTemplate {
    /// A certificate for the holder of `spki`, with the identifier of its key as its only extension.
    pub fn new(
        subject: Name,
        spki: &[u8],
        serial: &[u8],
        (not_before, not_after): (Time, Time),
    ) -> CertificateTemplate {
        CertificateTemplate {
            subject,
            spki: spki.to_vec(),
            serial: serial.to_vec(),
            not_before,
            not_after,
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: Vec::new(),
            subject_alt_names: Vec::new(),
            crl_distribution_points: Vec::new(),
            freshest_crl: Vec::new(),
            authority_info_access: Vec::new(),
            subject_info_access: Vec::new(),
            policies: Vec::new(),
            policy_mappings: Vec::new(),
            policy_constraints: None,
            inhibit_any_policy: None,
            name_constraints: None,
            subject_key_id: Some(key_id(spki).to_vec()),
            authority_key_id: None,
            extra: Vec::new(),
        }
    }

    /// A CA's certificate: [`CertificateTemplate::new`] with basic constraints, keyCertSign and cRLSign.
    pub fn ca(subject: Name, spki: &[u8], serial: &[u8], validity: (Time, Time)) -> CertificateTemplate {
        CertificateTemplate {
            basic_constraints: Some(BasicConstraints { ca: true, path_length: None }),
            key_usage: Some(KeyUsage(KeyUsage::KEY_CERT_SIGN.0 | KeyUsage::CRL_SIGN.0)),
            ..CertificateTemplate::new(subject, spki, serial, validity)
        }
    }

    /// Signs in the name of `issuer`; DER of the certificate. Fails for want of randomness only.
    pub fn sign(&self, issuer: &Name, key: &SigningKey) -> Result<Vec<u8>, MintError> {
        let algorithm = key.signature_algorithm();
        let mut writer = Writer::new();
        let certificate = writer.open(Tag::SEQUENCE);
        let tbs_at = writer.written().len();
        self.write_tbs(issuer, &algorithm, &mut writer);
        let signature = key.sign(&writer.written()[tbs_at..])?;
        writer.raw(&algorithm);
        writer.octets_in_bit_string(&signature);
        writer.close(certificate);
        Ok(writer.finish())
    }

    fn write_tbs(&self, issuer: &Name, algorithm: &[u8], writer: &mut Writer) {
        writer.sequence(|writer| {
            let mut extensions = Writer::new();
            self.write_extensions(&mut extensions);
            // Only v3 has extensions (RFC 5280 4.1.2.1).
            if !extensions.written().is_empty() {
                writer.nested(Tag::context_constructed(0), |writer| writer.integer(&[2]));
            }
            writer.integer(&self.serial);
            writer.raw(algorithm);
            writer.raw(issuer.der());
            writer.sequence(|writer| {
                writer.time(self.not_before);
                writer.time(self.not_after);
            });
            writer.raw(self.subject.der());
            writer.raw(&self.spki);
            if !extensions.written().is_empty() {
                writer.nested(Tag::context_constructed(3), |writer| {
                    writer.value(Tag::SEQUENCE, extensions.written());
                });
            }
        });
    }

    fn write_extensions(&self, writer: &mut Writer) {
        self.write_key_extensions(writer);
        self.write_name_extensions(writer);
        self.write_policy_extensions(writer);
        self.write_access_extensions(writer);
        write_extra(writer, &self.extra);
    }

    fn write_key_extensions(&self, writer: &mut Writer) {
        if let Some(id) = &self.authority_key_id {
            write_extension(writer, oids::AUTHORITY_KEY_ID, false, |writer| {
                write_authority_key_id(id, writer)
            });
        }
        if let Some(id) = &self.subject_key_id {
            write_extension(writer, oids::SUBJECT_KEY_ID, false, |writer| {
                writer.value(Tag::OCTET_STRING, id)
            });
        }
        if let Some(KeyUsage(bits)) = self.key_usage {
            write_extension(writer, oids::KEY_USAGE, true, |writer| writer.named_bits(Tag::BIT_STRING, bits));
        }
        if let Some(constraints) = self.basic_constraints {
            write_extension(writer, oids::BASIC_CONSTRAINTS, true, |writer| {
                writer.sequence(|writer| {
                    writer.true_or_nothing(constraints.ca);
                    if let Some(length) = constraints.path_length {
                        writer.small_integer(Tag::INTEGER, length);
                    }
                });
            });
        }
        if !self.extended_key_usage.is_empty() {
            write_extension(writer, oids::EXTENDED_KEY_USAGE, false, |writer| {
                writer.sequence(|writer| {
                    self.extended_key_usage.iter().for_each(|oid| writer.value(Tag::OID, oid));
                });
            });
        }
    }

    fn write_name_extensions(&self, writer: &mut Writer) {
        if !self.subject_alt_names.is_empty() {
            write_extension(writer, oids::SUBJECT_ALT_NAME, self.subject.is_empty(), |writer| {
                writer.sequence(|writer| write_general_names(&self.subject_alt_names, writer));
            });
        }
        if let Some(constraints) = &self.name_constraints {
            write_extension(writer, oids::NAME_CONSTRAINTS, true, |writer| constraints.write(writer));
        }
    }

    fn write_policy_extensions(&self, writer: &mut Writer) {
        if !self.policies.is_empty() {
            write_extension(writer, oids::CERTIFICATE_POLICIES, false, |writer| {
                writer
                    .sequence(|writer| self.policies.iter().for_each(|policy| write_policy(policy, writer)));
            });
        }
        if !self.policy_mappings.is_empty() {
            write_extension(writer, oids::POLICY_MAPPINGS, true, |writer| {
                writer.sequence(|writer| {
                    for (issuers, subjects) in &self.policy_mappings {
                        writer.sequence(|writer| {
                            writer.value(Tag::OID, issuers);
                            writer.value(Tag::OID, subjects);
                        });
                    }
                });
            });
        }
        if let Some(constraints) = self.policy_constraints {
            write_extension(writer, oids::POLICY_CONSTRAINTS, true, |writer| {
                writer.sequence(|writer| {
                    for (tag, skip) in
                        [(0, constraints.require_explicit_policy), (1, constraints.inhibit_policy_mapping)]
                    {
                        if let Some(skip) = skip {
                            writer.small_integer(Tag::context(tag), skip);
                        }
                    }
                });
            });
        }
        if let Some(skip) = self.inhibit_any_policy {
            write_extension(writer, oids::INHIBIT_ANY_POLICY, true, |writer| {
                writer.small_integer(Tag::INTEGER, skip);
            });
        }
    }

    fn write_access_extensions(&self, writer: &mut Writer) {
        for (oid, points) in [
            (oids::CRL_DISTRIBUTION_POINTS, &self.crl_distribution_points),
            (oids::FRESHEST_CRL, &self.freshest_crl),
        ] {
            if !points.is_empty() {
                write_extension(writer, oid, false, |writer| write_distribution_points(points, writer));
            }
        }
        for (oid, accesses) in [
            (oids::AUTHORITY_INFO_ACCESS, &self.authority_info_access),
            (oids::SUBJECT_INFO_ACCESS, &self.subject_info_access),
        ] {
            if !accesses.is_empty() {
                write_extension(writer, oid, false, |writer| write_accesses(accesses, writer));
            }
        }
    }
}

fn write_policy(policy: &PolicyStatement, writer: &mut Writer) {
    writer.sequence(|writer| {
        writer.value(Tag::OID, &policy.oid);
        if let Some(uri) = &policy.cps {
            writer.sequence(|writer| {
                writer.sequence(|writer| {
                    writer.oid(oids::QUALIFIER_CPS);
                    writer.value(Tag::IA5_STRING, uri.as_bytes());
                });
            });
        }
    });
}

fn write_accesses(accesses: &[(AccessMethod, GeneralName)], writer: &mut Writer) {
    writer.sequence(|writer| {
        for (method, location) in accesses {
            writer.sequence(|writer| {
                writer.oid(match method {
                    AccessMethod::Ocsp => oids::ACCESS_OCSP,
                    AccessMethod::CaIssuers => oids::ACCESS_CA_ISSUERS,
                    AccessMethod::CaRepository => oids::ACCESS_CA_REPOSITORY,
                });
                location.write(writer);
            });
        }
    });
}
