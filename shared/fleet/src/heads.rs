//! [`Heads`]: what is told of one series of CRLs, and which of it counts as the newest.
//!
//! A number alone proves nothing: a sighting that names 2^150 would have every subscriber lag for ever. So a CRL counts once
//! somebody enforces it, once its bytes are found to be signed by an issuer whom somebody believes, or if an authority
//! tells it and nothing speaks against it. What does not count is shown apart.

use std::collections::{BTreeMap, BTreeSet};

use revocast_bus::Bus;
use revocast_messages::{CertificateNotice, CrlNotice, Receipt, Role};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{CrlId, CrlNumber, CrlOrder, IssuerId};

use crate::overview::ScopeKey;
use crate::publisher::{Publisher, is_what_is_told};

/// The largest CRL that is fetched to see whether it is what a head tells. A larger one counts once it is enforced.
const MAX_LOOKED_AT: usize = 16 << 20;
/// Heads whose bytes are looked at in one reading: an invented series costs the liar nothing.
const MAX_LOOKS: usize = 256;

/// The heads of one series, by what they tell and who tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads(BTreeMap<(CrlOrder, Role), Head>);

/// A notice that stands, or stood.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub notice: CrlNotice,
    /// When the broker had it first.
    pub stored_at_ms: i64,
    bytes: Looked,
}

/// What a head's bytes were found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// They were not looked at, cannot be had, or nobody knows the key.
    Unknown,
    /// What is told, signed by the issuer.
    Signed,
    /// Something else.
    Other,
}

/// What speaks for a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// CRLs that somebody enforces, with the number under which it does: a lie may name a real CRL with another number.
    enforced: BTreeSet<(ScopeKey, CrlId, Option<CrlNumber>)>,
    /// Issuers of whom somebody enforces a CRL, or an authority tells one. Anybody can make an issuer of its own.
    believed: BTreeSet<IssuerId>,
    /// Keys by the identity that is their hash, so it does not matter who told of them.
    keys: BTreeMap<IssuerId, Vec<u8>>,
}

impl Evidence {
    pub(crate) fn take_receipt(&mut self, receipt: &Receipt) {
        let key = (receipt.issuer, receipt.scope, receipt.kind);
        self.enforced.insert((key, receipt.crl_id, receipt.number));
        self.believed.insert(receipt.issuer);
    }

    pub(crate) fn take_certificate(&mut self, notice: &CertificateNotice) {
        let Ok(certificate) = Certificate::decode(notice.certificate.0.clone()) else { return };
        self.keys.entry(certificate.as_issuer()).or_insert_with(|| certificate.spki().to_vec());
    }

    pub(crate) fn take_notice(&mut self, notice: &CrlNotice) {
        if notice.origin.role == Role::Authority {
            self.believed.insert(notice.issuer);
        }
    }

    /// The key by which the bytes of a head are worth looking at.
    fn key(&self, notice: &CrlNotice) -> Option<&[u8]> {
        let key = self.keys.get(&notice.issuer)?;
        self.believed.contains(&notice.issuer).then_some(key)
    }

    fn is_enforced(&self, notice: &CrlNotice) -> bool {
        let key = (notice.issuer, notice.scope, notice.kind);
        self.enforced.contains(&(key, notice.crl_id, notice.number))
    }

    fn backs(&self, head: &Head) -> bool {
        let by_bytes = match head.bytes {
            Looked::Unknown => head.notice.origin.role == Role::Authority,
            Looked::Signed => true,
            Looked::Other => false,
        };
        by_bytes || self.is_enforced(&head.notice)
    }
}

impl Heads {
    pub(crate) fn take(&mut self, notice: CrlNotice, stored_at_ms: i64) {
        let key = (notice.order(), notice.origin.role);
        let first = self.0.get(&key).map_or(stored_at_ms, |known| known.stored_at_ms.min(stored_at_ms));
        self.0.insert(key, Head { notice, stored_at_ms: first, bytes: Looked::Unknown });
    }

    /// The newest of those that count, in the words of whom its thisUpdate is believed first, and as early as it was told.
    pub(crate) fn newest(&self, evidence: &Evidence) -> Option<Head> {
        let highest = &self.0.values().rev().find(|head| evidence.backs(head))?.notice;
        let is_it = |notice: &CrlNotice| (notice.crl_id, notice.number) == (highest.crl_id, highest.number);
        let same = || self.0.values().filter(|head| is_it(&head.notice) && evidence.backs(head));
        let told = same().min_by_key(|head| head.notice.origin.role)?;
        let stored_at_ms = same().map(|head| head.stored_at_ms).min()?;
        Some(Head { stored_at_ms, ..told.clone() })
    }

    /// Those that would be newer, if anything spoke for them; the highest first.
    pub(crate) fn unproven(&self, newest: Option<&CrlNotice>) -> impl Iterator<Item = &CrlNotice> {
        let order = newest.map(CrlNotice::order);
        let notices = self.0.values().rev().map(|head| &head.notice);
        notices.filter(move |notice| order.is_none_or(|order| notice.order() > order))
    }
}

/// Looks at the bytes of those heads of which it has to be known: that nobody enforces, above those that count.
pub(crate) async fn look<'h>(bus: &Bus, all: impl Iterator<Item = &'h mut Heads>, evidence: &Evidence) {
    let (mut publisher, mut looks) = (None, 0);
    for head in all.flat_map(|heads| undecided(heads, evidence)) {
        let Some(key) = evidence.key(&head.notice).filter(|_| looks < MAX_LOOKS) else { continue };
        looks += 1;
        if publisher.is_none() {
            publisher = Some(Publisher::new(bus, "status").await);
        }
        let Some(publisher) = &publisher else { continue };
        let Some(bytes) = publisher.bytes_of(&head.notice, MAX_LOOKED_AT).await else { continue };
        let signed = is_what_is_told(&head.notice, bytes, key);
        head.bytes = if signed { Looked::Signed } else { Looked::Other };
    }
}

/// The heads above the highest that somebody enforces.
fn undecided<'h>(heads: &'h mut Heads, evidence: &Evidence) -> impl Iterator<Item = &'h mut Head> {
    heads.0.values_mut().rev().take_while(|head| !evidence.is_enforced(&head.notice))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use revocast_messages::{Origin, Source};
    use revocast_pki::asn1::Time;
    use revocast_pki::crl::Crl;
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;

    const NOW: Time = Time::from_unix(1_795_305_600);

    fn notice(role: Role, key: &SigningKey, number: u64) -> CrlNotice {
        let subject = name("CN=CA").unwrap();
        let template = CrlTemplate::new(subject.clone(), CrlNumber::from(number), NOW, NOW.plus(9));
        let crl = Crl::decode(template.sign([], key).unwrap()).unwrap();
        let origin = Origin { role, instance: "one".parse().unwrap(), seen_at_ms: 0 };
        CrlNotice::of(&crl, IssuerId::of(&subject, key.spki()), origin)
    }

    fn receipt(notice: &CrlNotice) -> Receipt {
        Receipt {
            validator: "v1".parse().unwrap(),
            issuer: notice.issuer,
            scope: notice.scope,
            kind: notice.kind,
            number: notice.number,
            crl_id: notice.crl_id,
            applied_at_ms: 0,
            source: Source::Inline,
            took_us: 0,
        }
    }

    /// The number that counts as the newest, and those that are unproven.
    fn told(heads: &Heads, evidence: &Evidence) -> (Option<String>, Vec<String>) {
        let number = |notice: &CrlNotice| notice.number.unwrap().to_string();
        let newest = heads.newest(evidence).map(|head| head.notice);
        let unproven = heads.unproven(newest.as_ref()).map(number).collect();
        (newest.as_ref().map(number), unproven)
    }

    #[test]
    fn a_sighting_counts_as_the_newest_once_it_is_enforced_or_its_bytes_are_seen() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (mut heads, mut evidence) = (Heads::default(), Evidence::default());
        let (one, two) = (notice(Role::Watcher, &key, 1), notice(Role::Validator, &key, 2));
        heads.take(one.clone(), 10);
        heads.take(two.clone(), 20);
        assert_eq!(told(&heads, &evidence), (None, vec!["2".into(), "1".into()]));
        evidence.take_receipt(&receipt(&one));
        assert_eq!(told(&heads, &evidence), (Some("1".into()), vec!["2".into()]));
        heads.0.get_mut(&(two.order(), Role::Validator)).unwrap().bytes = Looked::Signed;
        assert_eq!(told(&heads, &evidence), (Some("2".into()), Vec::new()));
    }

    #[test]
    fn an_authority_counts_unless_its_bytes_are_something_else() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (mut heads, evidence) = (Heads::default(), Evidence::default());
        let notice = notice(Role::Authority, &key, 7);
        heads.take(notice.clone(), 10);
        assert_eq!(told(&heads, &evidence), (Some("7".into()), Vec::new()));
        heads.0.get_mut(&(notice.order(), Role::Authority)).unwrap().bytes = Looked::Other;
        assert_eq!(told(&heads, &evidence), (None, vec!["7".into()]));
    }

    #[test]
    fn a_crl_that_is_enforced_proves_no_other_number_and_no_other_this_update() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (mut heads, mut evidence) = (Heads::default(), Evidence::default());
        let real = notice(Role::Repository, &key, 1);
        let lie = notice(Role::Validator, &key, 1);
        let numbered = CrlNotice { number: Some(CrlNumber::from(99)), ..lie.clone() };
        let later = CrlNotice { this_update: NOW.plus(5), ..lie };
        for (notice, at) in [(&real, 10), (&numbered, 20), (&later, 30)] {
            heads.take(notice.clone(), at);
        }
        evidence.take_receipt(&receipt(&real));
        let newest = heads.newest(&evidence).unwrap();
        assert_eq!((newest.notice.this_update, newest.stored_at_ms), (NOW, 10));
        assert_eq!(told(&heads, &evidence).1, ["99", "1"]);
    }

    #[test]
    fn only_what_the_issuer_signed_is_what_is_told_and_only_a_believed_issuer_is_looked_at() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (real, mut evidence) = (notice(Role::Watcher, &key, 1), Evidence::default());
        evidence.keys.insert(real.issuer, key.spki().to_vec());
        assert_eq!(evidence.key(&real), None, "anybody can make an issuer");
        evidence.take_notice(&notice(Role::Authority, &key, 0));
        assert_eq!(evidence.key(&real), Some(key.spki()));
        let bytes = |notice: &CrlNotice| -> Bytes { notice.crl.clone().unwrap().0 };
        assert!(is_what_is_told(&real, bytes(&real), key.spki()));
        let forged = notice(Role::Watcher, &SigningKey::generate(KeyKind::Ed25519).unwrap(), 9);
        let forged = CrlNotice { issuer: real.issuer, scope: real.scope, ..forged };
        assert!(!is_what_is_told(&forged, bytes(&forged), key.spki()));
    }
}
