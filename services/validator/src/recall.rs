//! A start begins with what was enforced before: certificates, marks, CRL files. Every signature is verified again.

use std::collections::BTreeMap;

use revocast_faults::fail_point;
use revocast_messages::Source;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlId, CrlOrder};
use tracing::{info, warn};

use crate::metrics::Counts;
use crate::notice::receipt::{Receipts, Told};
use crate::notice::swap::show;
use crate::notice::verify::Verifier;
use crate::state::{Enforced, Journal, JournalError, Live, Mark, ScopeKey, Withheld};

/// Enforces what the marks name. What is joined is enforced together or not at all: what either revokes is revoked, and
/// what a lost one revokes is not known.
pub(crate) fn recall(
    journal: &Journal,
    live: &Live,
    verifier: &Verifier,
    receipts: &Receipts,
    counts: &Counts,
) -> Result<(), JournalError> {
    for der in journal.certificates()? {
        if let Ok(certificate) = Certificate::decode(der) {
            live.insert_certificate(certificate);
        }
    }
    for (scope, kept) in kept(journal, verifier)? {
        match kept.stand() {
            Standing::Whole(enforced) => {
                live.swap(scope, enforced.clone());
                show(&scope, &enforced, counts);
                receipts.tell(Told::again(scope, &enforced));
            }
            Standing::Part(withheld) => {
                let (issuer, lost, at_hand) = (scope.0, withheld.lost.len(), withheld.crls.len());
                warn!(%issuer, scope = %scope.1, lost, at_hand, "nothing is enforced until a lost CRL, or a newer one, comes");
                live.withhold(scope, withheld);
            }
            Standing::Nothing => {}
        }
        fail_point!("recall");
    }
    journal.sweep()?;
    info!(scopes = live.scopes(), "enforcing what was enforced before");
    Ok(())
}

/// What was kept of one scope.
#[derive(Default)]
struct Kept {
    /// The CRLs that are there and still count.
    crls: Vec<Crl>,
    /// How many marks name a file of which that cannot be said.
    missing: usize,
    /// Where all of them stand.
    heights: Vec<CrlOrder>,
    signer: Vec<u8>,
    applied_at_ms: i64,
}

/// How a scope begins.
enum Standing {
    /// With all of its CRLs.
    Whole(Enforced),
    /// Without some.
    Part(Withheld),
    /// Without any, and without a height: an earlier release wrote none.
    Nothing,
}

impl Kept {
    fn stand(self) -> Standing {
        let Kept { mut crls, missing, heights, signer, applied_at_ms } = self;
        let is_lost = |height: &CrlOrder| !crls.iter().any(|crl| crl.id() == height.id);
        let mut lost: Vec<CrlOrder> = heights.iter().copied().filter(is_lost).collect();
        if missing > lost.len() {
            // An earlier release did not write where it stands: nothing but what supersedes the highest is known to
            // supersede it.
            let highest = heights.iter().copied().chain(crls.iter().map(Crl::order)).max();
            lost.extend(highest.map(|highest| CrlOrder { id: CrlId([0; 32]), ..highest }));
        }
        if !lost.is_empty() {
            return Standing::Part(Withheld { crls, lost });
        }
        crls.sort_by_key(|crl| std::cmp::Reverse(crl.order()));
        let mut crls = crls.into_iter();
        let Some(crl) = crls.next() else { return Standing::Nothing };
        let (conflicting, source) = (crls.collect(), Source::Store);
        Standing::Whole(Enforced { crl, conflicting, signer, applied_at_ms, source })
    }
}

/// By scope.
fn kept(journal: &Journal, verifier: &Verifier) -> Result<BTreeMap<ScopeKey, Kept>, JournalError> {
    let mut kept: BTreeMap<ScopeKey, Kept> = BTreeMap::new();
    for (scope, height) in journal.heights()? {
        kept.entry(scope).or_default().heights.push(height);
    }
    let marks = journal.marks()?;
    for (crl, mark) in verify_kept(journal, verifier, &marks)?.into_iter().zip(marks) {
        let of_scope = kept.entry(mark.scope).or_default();
        of_scope.missing += usize::from(crl.is_none());
        of_scope.crls.extend(crl);
        (of_scope.signer, of_scope.applied_at_ms) = (mark.signer, mark.applied_at_ms);
    }
    Ok(kept)
}

/// The CRLs of these marks, in their order, as far as they are there and still count. Reading and verifying thousands is
/// arithmetic, so all cores share it.
fn verify_kept(
    journal: &Journal,
    verifier: &Verifier,
    marks: &[Mark],
) -> Result<Vec<Option<Crl>>, JournalError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = marks.len().div_ceil(threads).max(1);
    let verify_share = |marks: &[Mark]| -> Result<Vec<Option<Crl>>, JournalError> {
        marks.iter().map(|mark| verify_one(journal, verifier, mark)).collect()
    };
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            marks.chunks(share).map(|marks| scope.spawn(move || verify_share(marks))).collect();
        let mut crls = Vec::with_capacity(marks.len());
        for share in shares {
            crls.extend(share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(crls)
    })
}

fn verify_one(journal: &Journal, verifier: &Verifier, mark: &Mark) -> Result<Option<Crl>, JournalError> {
    let Some(bytes) = journal.crl(mark.digest)? else {
        warn!(digest = %mark.digest, "a CRL file is gone or was damaged; the fleet will bring it again");
        return Ok(None);
    };
    match verifier.verify_kept(&mark.scope, bytes, &mark.signer) {
        Ok(verified) => Ok(Some(verified.crl().clone())),
        Err(error) => {
            warn!(digest = %mark.digest, %error, "a CRL file does not count any more");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

    use super::*;

    /// A CRL of this number that revokes one serial number.
    fn minted(key: &SigningKey, number: u64, serial: u8) -> Crl {
        let at = Time::from_unix(1_795_305_600);
        let template = CrlTemplate::new(name("CN=CA").unwrap(), number, at, at.plus(3_600));
        Crl::decode(template.sign([RevokedEntry::new(&[serial], at)], key).unwrap()).unwrap()
    }

    fn kept(crls: &[&Crl], missing: usize, heights: &[&Crl]) -> Kept {
        let crls = crls.iter().copied().cloned().collect();
        Kept { crls, missing, heights: heights.iter().map(|crl| crl.order()).collect(), ..Kept::default() }
    }

    /// I2, I5. Earlier releases wrote the height of the highest only, the earliest none.
    #[test]
    fn a_scope_begins_with_all_of_its_crls_or_waits_for_the_lost_ones() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (one, other) = (minted(&key, 5, 1), minted(&key, 5, 2));
        let (highest, lower) = if one.order() > other.order() { (one, other) } else { (other, one) };
        for whole in
            [kept(&[&lower, &highest], 0, &[&highest, &lower]), kept(&[&highest, &lower], 0, &[&highest])]
        {
            let Standing::Whole(enforced) = whole.stand() else { panic!("all are there") };
            assert_eq!((enforced.crl.id(), enforced.conflicting[0].id()), (highest.id(), lower.id()));
        }
        for (part, lost) in [
            (kept(&[&highest], 1, &[&highest, &lower]), lower.id()),
            (kept(&[&lower], 1, &[&highest, &lower]), highest.id()),
            (kept(&[&lower], 1, &[&highest]), highest.id()),
            (kept(&[&highest], 1, &[&highest]), CrlId([0; 32])),
            (kept(&[&highest], 1, &[]), CrlId([0; 32])),
        ] {
            let Standing::Part(withheld) = part.stand() else { panic!("{lost} is lost") };
            assert_eq!(withheld.lost.iter().map(|order| order.id).collect::<Vec<_>>(), [lost]);
            assert_eq!(withheld.lost[0].number, highest.number());
        }
        assert!(matches!(kept(&[], 1, &[]).stand(), Standing::Nothing));
    }
}
