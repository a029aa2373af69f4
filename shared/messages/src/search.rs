//! Searching a repository's certificates: what is found is a candidate, believed by nobody for having been found.

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Serial;
use revocast_pki::identity::CertId;
use revocast_pki::name::Name;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::subjects::Instance;

/// By what a certificate is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SearchBy {
    /// The SHA-256 of its DER.
    Certificate(CertId),
    /// Its subject.
    Subject {
        /// DER of the Name; names are compared by RFC 5280 7.1.
        name: Blob,
        /// Certificates with this subject key identifier come first; the others follow, since the identifier is a
        /// hint (RFC 4158 3.5.12).
        #[serde(default)]
        key_id: Option<Blob>,
    },
    /// Who issued it, and under which number.
    IssuerAndSerial {
        /// DER of the issuer's Name.
        issuer: Blob,
        /// Content octets of the serial number, padded or not.
        serial: Blob,
    },
    /// Its subject key identifier, whatever its subject.
    KeyId(Blob),
}

/// A search whose words cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASearch {
    /// A name that is not the DER of one.
    #[error("the name is not the DER of a Name: {0}")]
    Name(String),
    /// A name, serial number or key identifier that is longer than any real one.
    #[error("{what} of {size} bytes is above the limit of {limit}")]
    TooLong {
        /// Which field.
        what: &'static str,
        /// Its octets.
        size: usize,
        /// The limit in octets.
        limit: usize,
    },
}

/// No real name is longer, in octets.
const MAX_NAME: usize = 16 << 10;

/// RFC 5280 4.1.2.2 allows 20 octets of a serial number, 4.2.1.2 speaks of 20 octets of a key identifier; real ones
/// have been seen above.
const MAX_IDENTIFIER: usize = 256;

impl SearchBy {
    /// Reads what is looked for, each field within its limit.
    pub fn read(&self) -> Result<Wanted, NotASearch> {
        Ok(match self {
            SearchBy::Certificate(id) => Wanted::Certificate(*id),
            SearchBy::Subject { name, key_id } => Wanted::Subject(
                read_name(name)?,
                key_id.as_deref().map(|octets| identifier("a key identifier", octets)).transpose()?,
            ),
            SearchBy::IssuerAndSerial { issuer, serial } => Wanted::IssuerAndSerial(
                read_name(issuer)?,
                Serial::new(&identifier("a serial number", serial)?),
            ),
            SearchBy::KeyId(octets) => Wanted::KeyId(identifier("a key identifier", octets)?),
        })
    }
}

fn read_name(der: &Blob) -> Result<Name, NotASearch> {
    bounded("a name", der, MAX_NAME)?;
    Name::decode(der.0.clone()).map_err(|error| NotASearch::Name(error.to_string()))
}

fn identifier(what: &'static str, octets: &[u8]) -> Result<Vec<u8>, NotASearch> {
    bounded(what, octets, MAX_IDENTIFIER).map(|()| octets.to_vec())
}

fn bounded(what: &'static str, octets: &[u8], limit: usize) -> Result<(), NotASearch> {
    match octets.len() {
        size if size > limit => Err(NotASearch::TooLong { what, size, limit }),
        _ => Ok(()),
    }
}

/// What is looked for, read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// See [`SearchBy::Certificate`].
    Certificate(CertId),
    /// See [`SearchBy::Subject`].
    Subject(Name, Option<Vec<u8>>),
    /// See [`SearchBy::IssuerAndSerial`].
    IssuerAndSerial(Name, Serial),
    /// See [`SearchBy::KeyId`].
    KeyId(Vec<u8>),
}

impl Wanted {
    /// Whether this certificate is looked for. Whoever gets an answer asks it again: the one who answers may lie.
    pub fn fits(&self, certificate: &Certificate) -> bool {
        match self {
            Wanted::Certificate(id) => certificate.id() == *id,
            Wanted::Subject(name, _) => certificate.subject() == name,
            Wanted::IssuerAndSerial(issuer, serial) => {
                certificate.issuer() == issuer && Serial::new(certificate.serial()) == *serial
            }
            Wanted::KeyId(key_id) => certificate.subject_key_id() == Some(key_id),
        }
    }
}

/// Asks a repository for certificates. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// By what.
    pub by: SearchBy,
}

impl Message for SearchRequest {
    const NAME: &'static str = "search";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 64 << 10;
}

/// What a repository has. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// Who answers.
    pub repository: Instance,
    /// Certificates, DER, the likeliest first; at most [`SearchAnswer::MAX_CERTIFICATES`].
    pub certificates: Vec<Blob>,
    /// Whether it has more than the answer may hold.
    pub more: bool,
}

impl SearchAnswer {
    /// A name may have many certificates, an answer should end.
    pub const MAX_CERTIFICATES: usize = 64;
    /// Octets of all certificates together: half of what the broker takes as one message.
    pub const MAX_OCTETS: usize = 480 << 10;
}

impl Message for SearchAnswer {
    const NAME: &'static str = "search answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 512 << 10;
}
