//! What to do about a notice: decided here, carried out by `intake`.

use bytes::Bytes;
use revocast_messages::CrlNotice;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_store::{Holdings, Rank};

/// What to do about a notice.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Nothing: the CRL is held, or a higher one.
    Held,
    /// Wait for a certificate of the issuer.
    UnknownIssuer,
    /// Get the bytes, the cheapest way first, and verify them with this certificate's key.
    Take { signer: Certificate, ways: Vec<Way> },
}

/// A way to the bytes of a CRL.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Rebuild them from the CRL that is held.
    Difference { encoded: Bytes, base: Crl },
    /// They are inside the notice.
    Inline(Bytes),
    /// They are in the broker's object store.
    Object(Digest),
}

/// Decides about a notice by what is held.
pub(crate) fn plan(notice: &CrlNotice, holdings: &Holdings) -> Plan {
    let key = (notice.issuer, notice.scope, notice.kind);
    if matches!(holdings.rank(&key, &notice.order()), Rank::Same | Rank::Lower) {
        return Plan::Held;
    }
    let Some(signer) = holdings.by_issuer(notice.issuer).first() else { return Plan::UnknownIssuer };
    let base = holdings.crl(&key).map(|held| &held.crl);
    Plan::Take { signer: signer.clone(), ways: ways(notice, base) }
}

fn ways(notice: &CrlNotice, held: Option<&Crl>) -> Vec<Way> {
    let difference =
        notice.difference.as_ref().zip(held).filter(|(difference, held)| held.id() == difference.base);
    let by_difference = difference.map(|(difference, held)| Way::Difference {
        encoded: difference.bytes.0.clone(),
        base: held.clone(),
    });
    let inline = notice.crl.as_ref().map(|crl| Way::Inline(crl.0.clone()));
    by_difference.into_iter().chain(inline).chain([Way::Object(notice.digest)]).collect()
}
