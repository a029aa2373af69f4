//! [`Live`]: the CRLs and certificates that questions are answered from, as of this moment.
//!
//! A reader takes a copy of a short list of shared CRLs under a lock that is held for nanoseconds, or goes by the one that
//! it took before while the revision is the same: it sees the old list or the new one, and never waits for an apply, which
//! does all its work before. Who owns what: only `notice::swap` writes CRLs, only `notice::certificates` writes
//! certificates.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use dashmap::DashMap;
use revocast_messages::Source;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, CrlOrder, IssuerId, ScopeId};
use revocast_pki::name::Name;
use revocast_pki::path::{CertificateSource, Graph};
use revocast_pki::revocation::{CrlSource, Revision, Revisions};
use revocast_pki::signature::Memory;

/// One series of CRLs: who signs, what is covered, complete or delta.
pub(crate) type ScopeKey = (IssuerId, ScopeId, CrlKind);

/// At most this many certificates are kept that only notices brought. Real PKIs have thousands of CAs at the most.
pub(crate) const MAX_CERTIFICATES: usize = 100_000;

/// At most this many of them are taken from notices that lead to no anchor. Whoever may publish can make as many as they
/// like, and must not keep a CA from being known that leads to one; but an issuer's certificate may come after the one that
/// it signed.
pub(crate) const MAX_UNCHAINED: usize = MAX_CERTIFICATES / 4;

/// Those that lead to no anchor are counted anew after so many seconds, if there seem to be too many: issuers come, and
/// certificates end. It takes as many path searches as there are certificates.
const COUNTED_FOR_S: u64 = 3_600;

/// Nobody has counted them yet: then there may be any number.
const UNCOUNTED: usize = usize::MAX;

/// At most this many scopes are enforced.
pub(crate) const MAX_SCOPES: usize = 100_000;

/// At most this many CRLs of one number with different words are joined: a second one is a CA's fault, a fifth one
/// somebody's game.
pub(crate) const MAX_CONFLICTING: usize = 4;

/// Signatures that are remembered as right: 64 octets each, so 4 MiB.
const REMEMBERED_SIGNATURES: usize = 65_536;

/// What is enforced for one scope and kind.
#[derive(Clone)]
pub(crate) struct Enforced {
    /// The highest CRL.
    pub crl: Crl,
    /// Others of the same number with other words: what they revoke is revoked, too.
    pub conflicting: Vec<Crl>,
    /// SubjectPublicKeyInfo of the key that signed it.
    pub signer: Vec<u8>,
    /// When it came to be enforced: milliseconds since the Unix epoch.
    pub applied_at_ms: i64,
    /// How its bytes came.
    pub source: Source,
}

impl Enforced {
    /// Where all of them stand.
    pub(crate) fn orders(&self) -> impl Iterator<Item = CrlOrder> + Clone {
        self.crls().map(Crl::order)
    }

    /// The highest CRL, then those that conflict with it.
    pub(crate) fn crls(&self) -> impl Iterator<Item = &Crl> + Clone {
        std::iter::once(&self.crl).chain(&self.conflicting)
    }

    /// Whether this CRL is among those enforced.
    pub(crate) fn holds(&self, id: CrlId) -> bool {
        self.crls().any(|crl| crl.id() == id)
    }
}

/// Joined CRLs of a scope of which some are lost, their files gone or damaged. What a lost one revokes is not known, so
/// nothing is enforced until it comes again, or another that supersedes it.
#[derive(Clone)]
pub(crate) struct Withheld {
    /// Those that are at hand.
    pub crls: Vec<Crl>,
    /// Where the lost ones stand.
    pub lost: Vec<CrlOrder>,
}

impl Withheld {
    /// Where all of them stand, at hand or lost.
    pub(crate) fn orders(&self) -> impl Iterator<Item = CrlOrder> + Clone {
        self.crls.iter().map(Crl::order).chain(self.lost.iter().copied())
    }
}

/// The CRLs of one issuer's name: what readers are handed, and the scope of each.
#[derive(Default)]
struct Listed {
    scopes: Vec<ScopeKey>,
    crls: Arc<[Crl]>,
}

/// How others told of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToldBy {
    /// By a notice, to everybody and for ever.
    Notice,
    /// With a path, for as long as that is told.
    Path,
}

/// The live state. Shared by all questions and all notices.
pub(crate) struct Live {
    scopes: DashMap<ScopeKey, Enforced>,
    by_issuer: DashMap<Name, Listed>,
    graph: RwLock<Graph>,
    certificates: AtomicUsize,
    /// How many lead to no anchor, or [`UNCOUNTED`]. It lacks those that are being learned, and may have some too many
    /// whose issuers came later.
    unchained: AtomicUsize,
    /// When they were counted: seconds since the Unix epoch. Held by whoever counts.
    counted_at_s: Mutex<Option<i64>>,
    /// Those that others know as well, by identity.
    told: DashMap<CertId, (Certificate, ToldBy)>,
    /// Goes on with what is swapped in, withheld and learned.
    revisions: Revisions,
    /// Scopes that are not enforced for want of a file. New ones are put in at start only, so they are bounded by the journal.
    withheld: DashMap<ScopeKey, Withheld>,
    /// Signatures found right before; keyed by all that they depend on, so it can never be stale.
    pub memory: Memory,
}

impl Live {
    pub(crate) fn new() -> Live {
        Live {
            scopes: DashMap::new(),
            by_issuer: DashMap::new(),
            graph: RwLock::new(Graph::new()),
            certificates: AtomicUsize::new(0),
            unchained: AtomicUsize::new(UNCOUNTED),
            counted_at_s: Mutex::new(None),
            told: DashMap::new(),
            revisions: Revisions::default(),
            withheld: DashMap::new(),
            memory: Memory::new(REMEMBERED_SIGNATURES),
        }
    }

    /// What is enforced for a scope.
    pub(crate) fn enforced(&self, scope: &ScopeKey) -> Option<Enforced> {
        self.scopes.get(scope).map(|enforced| enforced.clone())
    }

    /// Looks at what is enforced for a scope, or at what is not for the want of a CRL; a swap waits meanwhile.
    pub(crate) fn look<T>(
        &self,
        scope: &ScopeKey,
        look: impl FnOnce(Option<&Enforced>, Option<&Withheld>) -> T,
    ) -> T {
        match self.scopes.get(scope) {
            Some(enforced) => look(Some(&enforced), None),
            None => look(None, self.withheld.get(scope).as_deref()),
        }
    }

    /// Everything that is enforced.
    pub(crate) fn all(&self) -> Vec<(ScopeKey, Enforced)> {
        self.scopes.iter().map(|entry| (*entry.key(), entry.value().clone())).collect()
    }

    /// The scopes that are enforced.
    pub(crate) fn scope_keys(&self) -> Vec<ScopeKey> {
        self.scopes.iter().map(|entry| *entry.key()).collect()
    }

    /// How many scopes are enforced.
    pub(crate) fn scopes(&self) -> usize {
        self.scopes.len()
    }

    /// The CRL with this identity, if it is enforced in this scope: the base of a difference.
    pub(crate) fn base(&self, scope: &ScopeKey, id: CrlId) -> Option<Crl> {
        let enforced = self.scopes.get(scope)?;
        enforced.crls().find(|crl| crl.id() == id).cloned()
    }

    /// Makes `enforced` what readers see from now on.
    pub(crate) fn swap(&self, scope: ScopeKey, enforced: Enforced) {
        let mut listed = self.by_issuer.entry(enforced.crl.issuer().detached()).or_default();
        let held = listed.scopes.iter().copied().zip(listed.crls.iter().cloned());
        let others = held.filter(|(key, _)| *key != scope);
        let ours = enforced.crls().map(|crl| (scope, crl.clone()));
        let (scopes, crls): (Vec<ScopeKey>, Vec<Crl>) = others.chain(ours).unzip();
        *listed = Listed { scopes, crls: crls.into() };
        // Before anybody sees the new list: nobody goes by the old one who comes after somebody saw the new one.
        self.revisions.advance();
        drop(listed);
        self.scopes.insert(scope, enforced);
        self.withheld.remove(&scope);
        self.revisions.advance();
    }

    /// Changes with each swap and each new certificate. What was found out since it was read holds for whoever reads the
    /// same again.
    pub(crate) fn revision(&self) -> Revision {
        self.revisions.get()
    }

    /// Says what is missing of a scope that is not enforced for the want of it.
    pub(crate) fn withhold(&self, scope: ScopeKey, withheld: Withheld) {
        self.withheld.insert(scope, withheld);
        self.revisions.advance();
    }

    /// What is missing of a scope that is not enforced for the want of it.
    pub(crate) fn withheld(&self, scope: &ScopeKey) -> Option<Withheld> {
        self.withheld.get(scope).map(|withheld| withheld.clone())
    }

    /// The scopes that are not enforced for the want of something.
    pub(crate) fn withheld_scopes(&self) -> Vec<ScopeKey> {
        self.withheld.iter().map(|entry| *entry.key()).collect()
    }

    /// Takes in a certificate that may help to build paths; tells whether it was new.
    pub(crate) fn insert_certificate(&self, certificate: Certificate) -> bool {
        let new = self.graph.write().unwrap_or_else(PoisonError::into_inner).insert(certificate);
        self.certificates.fetch_add(usize::from(new), Ordering::Relaxed);
        if new {
            self.revisions.advance();
        }
        new
    }

    /// The same for one that others know as well.
    pub(crate) fn learn_certificate(&self, certificate: Certificate, by: ToldBy) -> bool {
        self.note_told(&certificate, by);
        self.insert_certificate(certificate)
    }

    /// Remembers that others know a certificate as well.
    pub(crate) fn note_told(&self, certificate: &Certificate, by: ToldBy) {
        let id = certificate.id();
        if by == ToldBy::Notice || !self.told.contains_key(&id) {
            self.told.insert(id, (certificate.clone(), by));
        }
    }

    /// A certificate that a notice brought, and that everybody knows by its identity therefore.
    pub(crate) fn told(&self, id: CertId) -> Option<Certificate> {
        let told = self.told.get(&id)?;
        (told.1 == ToldBy::Notice).then(|| told.0.clone())
    }

    /// Whether it was others who told of a certificate.
    pub(crate) fn is_told(&self, id: CertId) -> bool {
        self.told.contains_key(&id)
    }

    /// Whether a certificate is known.
    pub(crate) fn knows(&self, certificate: &Certificate) -> bool {
        self.by_subject(certificate.subject()).contains(certificate)
    }

    /// How many certificates are known.
    pub(crate) fn certificates(&self) -> usize {
        self.certificates.load(Ordering::Relaxed)
    }

    /// Whether one more may be learned that leads to no anchor. If there seem to be too many, they may have to be counted,
    /// by searching for the paths of all: for a thread that may block. Whoever comes meanwhile goes by what was counted
    /// before.
    pub(crate) fn has_room_for_unchained(
        &self,
        is_chained: impl Fn(&Certificate) -> bool,
        now_s: i64,
    ) -> bool {
        let has_room = || self.unchained.load(Ordering::Relaxed) < MAX_UNCHAINED;
        let counted_at_s = match self.counted_at_s.try_lock() {
            Ok(counted_at_s) => Some(counted_at_s),
            // A count that ended in a panic is taken up by the next.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut counted_at_s) = counted_at_s
            && !has_room()
            && counted_at_s.is_none_or(|at_s| now_s.abs_diff(at_s) >= COUNTED_FOR_S)
        {
            let unchained = self.all_certificates().iter().filter(|one| !is_chained(one)).count();
            self.unchained.store(unchained, Ordering::Relaxed);
            *counted_at_s = Some(now_s);
        }
        has_room()
    }

    /// A certificate was learned that leads to no anchor.
    pub(crate) fn unchained_came(&self) {
        let one_more = |unchained: usize| Some(unchained.saturating_add(1));
        let _ = self.unchained.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// How many lead to no anchor, if they were counted.
    #[cfg(test)]
    pub(crate) fn unchained(&self) -> Option<usize> {
        Some(self.unchained.load(Ordering::Relaxed)).filter(|unchained| *unchained != UNCOUNTED)
    }

    /// As if so many were known, of which so many were counted just now that lead to no anchor.
    #[cfg(test)]
    pub(crate) fn crowd(&self, certificates: usize, unchained: usize, now_s: i64) {
        self.certificates.store(certificates, Ordering::Relaxed);
        self.unchained.store(unchained, Ordering::Relaxed);
        *self.counted_at_s.lock().unwrap() = Some(now_s);
    }

    /// The known certificates of which this holds, at most so many.
    pub(crate) fn certificates_that(
        &self,
        holds: impl Fn(&Certificate) -> bool,
        limit: usize,
    ) -> Vec<Certificate> {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        graph.iter().filter(|certificate| holds(certificate)).take(limit).cloned().collect()
    }

    /// Every CA certificate that is known, in no order.
    pub(crate) fn cas(&self) -> Vec<Certificate> {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        graph.iter().filter(|certificate| certificate.is_ca()).cloned().collect()
    }

    /// The known certificates that name this issuer (a Name's DER).
    pub(crate) fn issued_by(&self, issuer: &[u8]) -> Vec<Certificate> {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        graph.iter().filter(|certificate| certificate.issuer().der() == issuer).cloned().collect()
    }

    /// Every known certificate.
    pub(crate) fn all_certificates(&self) -> Vec<Certificate> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What is enforced of CRLs that bear this issuer's name.
    pub(crate) fn enforced_of(&self, issuer: &Name) -> Vec<Enforced> {
        let scopes: Vec<ScopeKey> =
            self.by_issuer.get(issuer).map_or_else(Vec::new, |listed| listed.scopes.clone());
        scopes.iter().filter_map(|scope| self.enforced(scope)).collect()
    }

    /// The known certificates of a subject that have this identity as issuers.
    pub(crate) fn certificates_of(&self, issuer: IssuerId, subject: &Name) -> Vec<Certificate> {
        let mut found = self.by_subject(subject);
        found.retain(|certificate| certificate.as_issuer() == issuer);
        found
    }
}

impl CertificateSource for Live {
    fn by_subject(&self, subject: &Name) -> Vec<Certificate> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner).by_subject(subject)
    }
}

impl CrlSource for Live {
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]> {
        self.by_issuer.get(issuer).map_or_else(Arc::default, |listed| listed.crls.clone())
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revisions.get())
    }

    fn lost(&self, signer: IssuerId, scope: ScopeId) -> Option<CrlNumber> {
        let of_kind = |kind| self.withheld.get(&(signer, scope, kind))?.orders().max()?.number;
        of_kind(CrlKind::Complete).max(of_kind(CrlKind::Delta))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;

    /// Octets of a CRL that tell, by the count of the other half, whether anybody still holds them.
    struct Watched(Vec<u8>, #[expect(dead_code, reason = "held for its count")] Arc<()>);

    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    fn minted(number: u64, held: &Arc<()>) -> Enforced {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let at = Time::from_unix(1_795_305_600);
        let template = CrlTemplate::new(name("CN=CA").unwrap(), number, at, at.plus(3_600));
        let octets = Watched(template.sign([], &key).unwrap(), held.clone());
        Enforced {
            crl: Crl::decode(Bytes::from_owner(octets)).unwrap(),
            conflicting: Vec::new(),
            signer: key.spki().to_vec(),
            applied_at_ms: 0,
            source: Source::Inline,
        }
    }

    #[test]
    fn what_is_lost_of_a_scope_is_told_until_something_is_enforced_for_it() {
        let (live, signer, scope) = (Live::new(), IssuerId([1; 16]), ScopeId([2; 16]));
        let lost = |number: u64| CrlOrder {
            number: Some(number.into()),
            this_update: Time::from_unix(0),
            id: CrlId([0; 32]),
        };
        let without = |number| Withheld { crls: Vec::new(), lost: vec![lost(number)] };
        assert_eq!(live.lost(signer, scope), None);
        live.withhold((signer, scope, CrlKind::Complete), without(5));
        live.withhold((signer, scope, CrlKind::Delta), without(6));
        assert_eq!(live.lost(signer, scope), Some(6.into()));
        live.swap((signer, scope, CrlKind::Delta), minted(7, &Arc::new(())));
        assert_eq!((live.lost(signer, scope), live.lost(signer, ScopeId([3; 16]))), (Some(5.into()), None));
    }

    #[test]
    fn whoever_sees_a_new_list_is_followed_by_nobody_who_reads_the_old_revision() {
        let (live, scope) = (Live::new(), (IssuerId([1; 16]), ScopeId([2; 16]), CrlKind::Complete));
        let (subject, enforced) = (name("CN=CA").unwrap(), minted(1, &Arc::new(())));
        for _ in 0..2_000 {
            let (list, revision) = (live.by_issuer(&subject), live.revision());
            std::thread::scope(|threads| {
                threads.spawn(|| live.swap(scope, enforced.clone()));
                while Arc::ptr_eq(&live.by_issuer(&subject), &list) {
                    std::hint::spin_loop();
                }
                assert_ne!(live.revision(), revision);
            });
        }
    }

    #[test]
    fn the_old_crl_is_let_go_at_the_swap_or_with_its_last_reader() {
        let (live, scope) = (Live::new(), (IssuerId([1; 16]), ScopeId([2; 16]), CrlKind::Complete));
        let (first, second, third) = (Arc::new(()), Arc::new(()), Arc::new(()));
        let subject = name("CN=CA").unwrap();
        live.swap(scope, minted(1, &first));
        live.swap(scope, minted(2, &second));
        assert_eq!(Arc::strong_count(&first), 1, "nobody reads, so old and new are never both kept");
        let reader = live.by_issuer(&subject);
        live.swap(scope, minted(3, &third));
        assert_eq!(Arc::strong_count(&second), 2, "a reader sees what it saw when it began");
        drop(reader);
        assert_eq!(Arc::strong_count(&second), 1);
        assert_eq!(Arc::strong_count(&third), 2);
    }
}
