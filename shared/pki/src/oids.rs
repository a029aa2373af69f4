//! Object identifiers of the extensions of certificates and CRLs, named as in RFC 5280: they are written by one
//! module and read by another.

use crate::asn1::Oid;

/// id-ce-subjectKeyIdentifier (4.2.1.2).
pub const SUBJECT_KEY_ID: Oid<'static> = Oid::known(&[0x55, 0x1d, 14]);
/// id-ce-keyUsage (4.2.1.3).
pub const KEY_USAGE: Oid<'static> = Oid::known(&[0x55, 0x1d, 15]);
/// id-ce-subjectAltName (4.2.1.6).
pub const SUBJECT_ALT_NAME: Oid<'static> = Oid::known(&[0x55, 0x1d, 17]);
/// id-ce-issuerAltName (4.2.1.7, 5.2.2).
pub const ISSUER_ALT_NAME: Oid<'static> = Oid::known(&[0x55, 0x1d, 18]);
/// id-ce-basicConstraints (4.2.1.9).
pub const BASIC_CONSTRAINTS: Oid<'static> = Oid::known(&[0x55, 0x1d, 19]);
/// id-ce-cRLNumber (5.2.3).
pub const CRL_NUMBER: Oid<'static> = Oid::known(&[0x55, 0x1d, 20]);
/// id-ce-cRLReasons (5.3.1).
pub const REASON_CODE: Oid<'static> = Oid::known(&[0x55, 0x1d, 21]);
/// id-ce-invalidityDate (5.3.2).
pub const INVALIDITY_DATE: Oid<'static> = Oid::known(&[0x55, 0x1d, 24]);
/// id-ce-deltaCRLIndicator (5.2.4).
pub const DELTA_CRL_INDICATOR: Oid<'static> = Oid::known(&[0x55, 0x1d, 27]);
/// id-ce-issuingDistributionPoint (5.2.5).
pub const ISSUING_DISTRIBUTION_POINT: Oid<'static> = Oid::known(&[0x55, 0x1d, 28]);
/// id-ce-certificateIssuer (5.3.3).
pub const CERTIFICATE_ISSUER: Oid<'static> = Oid::known(&[0x55, 0x1d, 29]);
/// id-ce-nameConstraints (4.2.1.10).
pub const NAME_CONSTRAINTS: Oid<'static> = Oid::known(&[0x55, 0x1d, 30]);
/// id-ce-cRLDistributionPoints (4.2.1.13).
pub const CRL_DISTRIBUTION_POINTS: Oid<'static> = Oid::known(&[0x55, 0x1d, 31]);
/// id-ce-certificatePolicies (4.2.1.4).
pub const CERTIFICATE_POLICIES: Oid<'static> = Oid::known(&[0x55, 0x1d, 32]);
/// id-ce-policyMappings (4.2.1.5).
pub const POLICY_MAPPINGS: Oid<'static> = Oid::known(&[0x55, 0x1d, 33]);
/// id-ce-authorityKeyIdentifier (4.2.1.1, 5.2.1).
pub const AUTHORITY_KEY_ID: Oid<'static> = Oid::known(&[0x55, 0x1d, 35]);
/// id-ce-policyConstraints (4.2.1.11).
pub const POLICY_CONSTRAINTS: Oid<'static> = Oid::known(&[0x55, 0x1d, 36]);
/// id-ce-extKeyUsage (4.2.1.12).
pub const EXTENDED_KEY_USAGE: Oid<'static> = Oid::known(&[0x55, 0x1d, 37]);
/// id-ce-freshestCRL (4.2.1.15, 5.2.6).
pub const FRESHEST_CRL: Oid<'static> = Oid::known(&[0x55, 0x1d, 46]);
/// id-ce-inhibitAnyPolicy (4.2.1.14).
pub const INHIBIT_ANY_POLICY: Oid<'static> = Oid::known(&[0x55, 0x1d, 54]);
/// id-pe-authorityInfoAccess (4.2.2.1, 5.2.7).
pub const AUTHORITY_INFO_ACCESS: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 1, 1]);
/// id-pe-subjectInfoAccess (4.2.2.2).
pub const SUBJECT_INFO_ACCESS: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 1, 11]);
/// id-ad-ocsp (4.2.2.1).
pub const ACCESS_OCSP: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 48, 1]);
/// id-ad-caIssuers (4.2.2.1).
pub const ACCESS_CA_ISSUERS: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 48, 2]);
/// id-ad-caRepository (4.2.2.2).
pub const ACCESS_CA_REPOSITORY: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 48, 5]);
/// id-qt-cps (4.2.1.4).
pub const QUALIFIER_CPS: Oid<'static> = Oid::known(&[0x2b, 6, 1, 5, 5, 7, 2, 1]);
