//! Notices: a CRL or a certificate was issued. Hints, believed only for where to look and how fast.

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, CrlOrder, Digest, IssuerId, ScopeId};
use revocast_pki::name::Name;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::headers::{self, Headers};
use crate::subjects::{Instance, Role, Subject};

/// A CRL up to this size travels inside its notice; a larger one through the object store or as a difference.
/// 256 KiB keeps a notice well below NATS's default message limit of 1 MiB.
pub const INLINE_LIMIT: usize = 256 * 1024;

/// At most this many newly revoked entries are named in a notice; of more, the first ones.
pub const MAX_NEWLY_REVOKED: usize = 1024;

/// At most this many locations are named in a notice.
pub const MAX_LOCATIONS: usize = 8;

/// Who published, and when it saw the thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its role; must agree with the subject's class.
    pub role: Role,
    /// Its instance.
    pub instance: Instance,
    /// When it issued, stored or saw the thing: milliseconds since the Unix epoch, by its own clock.
    pub seen_at_ms: i64,
}

/// A difference from the CRL with the CrlId `base`, as `revocast_pki::crl::difference` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeDifference {
    /// What it applies to.
    pub base: CrlId,
    /// The difference itself.
    pub bytes: Blob,
}

/// An entry that the publisher says is new. Only raises the priority of the fetch: the signed CRL decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedEntry {
    /// Content octets of the serial number.
    pub serial: Blob,
    /// CRLReason code (RFC 5280 5.3.1); 0 when the entry has none.
    pub reason: u8,
    /// revocationDate.
    pub date: Time,
}

/// A CRL was issued. Layout version 1, in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlNotice {
    /// Who signed it.
    pub issuer: IssuerId,
    /// The issuer's name, DER.
    pub issuer_name: Blob,
    /// What it covers.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// CRLNumber.
    pub number: Option<CrlNumber>,
    /// BaseCRLNumber of a delta.
    pub base_number: Option<CrlNumber>,
    /// thisUpdate.
    pub this_update: Time,
    /// nextUpdate.
    pub next_update: Option<Time>,
    /// Which CRL: the hash of its signed words.
    pub crl_id: CrlId,
    /// SHA-256 of the whole DER: the object's name in the store.
    pub digest: Digest,
    /// Octets of the whole DER.
    pub size_bytes: u64,
    /// How many entries it lists.
    pub entries: u64,
    /// Who says so.
    pub origin: Origin,
    /// URLs at which it can be had, at most [`MAX_LOCATIONS`].
    pub locations: Vec<String>,
    /// The CRL itself, up to [`INLINE_LIMIT`].
    pub crl: Option<Blob>,
    /// How to make it from an earlier one.
    pub difference: Option<NoticeDifference>,
    /// What it newly revokes, at most [`MAX_NEWLY_REVOKED`].
    pub newly_revoked: Vec<RevokedEntry>,
}

impl Message for CrlNotice {
    const NAME: &'static str = "CRL notice";
    const VERSION: u8 = 1;
    // An inline CRL and a difference at their limits, and the rest.
    const MAX_BYTES: usize = 2 * INLINE_LIMIT + 128 * 1024;
}

/// Subject, headers and body of a notice say different things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {place} disagrees with the body about {what}")]
pub struct Disagreement {
    /// `subject` or `header`.
    pub place: &'static str,
    /// About what.
    pub what: &'static str,
}

impl CrlNotice {
    /// Tells of `crl`, signed by `issuer`; the CRL goes in when it is small enough.
    pub fn of(crl: &Crl, issuer: IssuerId, origin: Origin) -> CrlNotice {
        CrlNotice {
            issuer,
            issuer_name: crl.issuer().der().clone().into(),
            scope: crl.scope(issuer),
            kind: crl.kind(),
            number: crl.number(),
            base_number: crl.base_number(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            crl_id: crl.id(),
            digest: crl.digest(),
            size_bytes: crl.der().len() as u64,
            entries: crl.entries() as u64,
            origin,
            locations: Vec::new(),
            crl: (crl.der().len() <= INLINE_LIMIT).then(|| crl.der().clone().into()),
            difference: None,
            newly_revoked: Vec::new(),
        }
    }

    /// Adds how to make the CRL from the one before it, where that is small enough to be worth it and the CRL itself is
    /// not in the notice.
    pub fn add_difference(&mut self, before: &Crl, crl: &Crl) {
        if self.crl.is_some() {
            return;
        }
        let difference = Difference::construct(before, crl);
        if difference.is_worthwhile() && difference.encoded().len() <= INLINE_LIMIT {
            let bytes = difference.encoded().clone().into();
            self.difference = Some(NoticeDifference { base: difference.base(), bytes });
        }
    }

    /// Where this CRL stands among those of its scope and kind.
    pub fn order(&self) -> CrlOrder {
        CrlOrder { number: self.number, this_update: self.this_update, id: self.crl_id }
    }

    /// The subject on which it is published.
    pub fn subject(&self) -> Subject {
        Subject::CrlNotice {
            class: self.origin.role,
            issuer: self.issuer,
            scope: self.scope,
            kind: self.kind,
        }
    }

    /// The header lines that repeat it in words.
    pub fn headers(&self) -> Headers {
        let mut lines = vec![
            (headers::ISSUER, self.issuer_line()),
            (headers::SCOPE, self.scope.to_string()),
            (headers::KIND, self.kind.to_string()),
            (headers::THIS_UPDATE, self.this_update.to_string()),
            (headers::ENTRIES, self.entries.to_string()),
            (headers::NEWLY_REVOKED, self.newly_revoked.len().to_string()),
            (headers::ORIGIN, origin_line(&self.origin)),
            (headers::MESSAGE_ID, message_id(&self.subject(), &self.crl_id.0)),
        ];
        lines.extend(self.number.map(|number| (headers::NUMBER, number.to_string())));
        lines.extend(self.next_update.map(|time| (headers::NEXT_UPDATE, time.to_string())));
        lines
    }

    /// Whether subject and headers say what the body says. A header that is absent says nothing.
    pub fn agrees_with<'h>(
        &self,
        subject: &Subject,
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Result<(), Disagreement> {
        agree(subject == &self.subject(), "subject", "issuer, scope, kind or class")?;
        let number = self.number.map(|number| number.to_string());
        agree(
            header(headers::NUMBER) == number.as_deref() || header(headers::NUMBER).is_none(),
            "header",
            "the CRL number",
        )?;
        for (name, said, what) in [
            (headers::SCOPE, self.scope.to_string(), "the scope"),
            (headers::KIND, self.kind.to_string(), "the kind"),
            (headers::ISSUER, self.issuer_line(), "the issuer"),
            (headers::THIS_UPDATE, self.this_update.to_string(), "thisUpdate"),
        ] {
            agree(header(name).is_none_or(|found| found == said), "header", what)?;
        }
        Ok(())
    }

    fn issuer_line(&self) -> String {
        name_line(&self.issuer_name)
    }
}

fn name_line(der: &Blob) -> String {
    Name::decode(der.0.clone()).map_or_else(|_| "unreadable".into(), |name| headers::name_line(&name))
}

fn origin_line(origin: &Origin) -> String {
    format!("{}/{}", origin.role, origin.instance)
}

fn agree(same: bool, place: &'static str, what: &'static str) -> Result<(), Disagreement> {
    if same { Ok(()) } else { Err(Disagreement { place, what }) }
}

/// JetStream's dedup spans the whole stream, so the subject goes into the key.
fn message_id(subject: &Subject, content: &[u8; 32]) -> String {
    let mut words = subject.to_string().into_bytes();
    words.push(0);
    words.extend_from_slice(content);
    Digest::of(&words).to_string()
}

/// A certificate was issued or stored. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateNotice {
    /// Who signed it: the identity of the key under which the publisher issued it.
    pub issuer: IssuerId,
    /// The certificate, DER.
    pub certificate: Blob,
    /// Who says so.
    pub origin: Origin,
    /// URLs at which it can be had, at most [`MAX_LOCATIONS`].
    pub locations: Vec<String>,
}

impl Message for CertificateNotice {
    const NAME: &'static str = "certificate notice";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 128 * 1024;
}

impl CertificateNotice {
    /// The certificate's identity.
    pub fn id(&self) -> CertId {
        CertId::of(&self.certificate)
    }

    /// The subject on which it is published.
    pub fn subject(&self) -> Subject {
        Subject::CertificateNotice { class: self.origin.role, issuer: self.issuer, certificate: self.id() }
    }

    /// The header lines that repeat it in words.
    pub fn headers(&self) -> Headers {
        let names = Certificate::decode(self.certificate.0.clone())
            .map(|found| (headers::name_line(found.issuer()), headers::name_line(found.subject())))
            .unwrap_or_default();
        vec![
            (headers::ISSUER, names.0),
            (headers::SUBJECT, names.1),
            (headers::ORIGIN, origin_line(&self.origin)),
            (headers::MESSAGE_ID, message_id(&self.subject(), &self.id().0)),
        ]
    }

    /// Whether the subject says what the body says.
    pub fn agrees_with(&self, subject: &Subject) -> Result<(), Disagreement> {
        agree(subject == &self.subject(), "subject", "issuer, certificate or class")
    }
}

/// A publisher is alive. Layout version 1. Freshness of a follower is the age of the last one delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is alive; its clock.
    pub origin: Origin,
    /// Seconds until the next one is due.
    pub interval_s: u32,
}

impl Message for Heartbeat {
    const NAME: &'static str = "heartbeat";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 256;
}

impl Heartbeat {
    /// The subject on which it is published.
    pub fn subject(&self) -> Subject {
        Subject::Heartbeat { class: self.origin.role, instance: self.origin.instance.clone() }
    }
}
