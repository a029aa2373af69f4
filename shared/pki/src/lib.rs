//! The mathematics of Revocast: certificates, names, signatures, certification paths, CRLs, verdicts.
//!
//! Nothing here knows a clock, a network, a file or a runtime: whatever looks at time takes `now`.
//! Four verbs have one meaning each: *decode* bytes, *inspect* the object alone, *verify* it against its issuer,
//! *validate* the whole. Signed bytes are kept as they arrived; hashes and signatures run over them.

pub mod asn1;
pub mod bundle;
pub mod certificate;
pub mod crl;
pub mod distribution_point;
pub mod general_name;
pub mod identity;
pub mod mint;
pub mod name;
pub mod oids;
pub mod path;
pub mod revocation;
pub mod signature;
pub mod verdict;
