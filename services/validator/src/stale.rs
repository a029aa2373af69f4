//! `x509_crl_stale`: which of the CRLs that are enforced are past their nextUpdate, whatever grace a policy grants.

use std::sync::Arc;
use std::time::Duration;

use revocast_daemon::{Clock, blocking, every};
use revocast_pki::asn1::Time;

use crate::metrics::Counts;
use crate::state::Live;

/// How often it is looked. With very many scopes a look takes a tenth of a second.
const LOOK: Duration = Duration::from_secs(15);

/// Sets the series, for as long as it is polled.
pub(crate) async fn show(live: Arc<Live>, counts: Counts, clock: Clock) {
    let mut looking = every(LOOK);
    loop {
        looking.tick().await;
        let (live, counts, at) = (live.clone(), counts.clone(), Time::from_unix(clock.now_s()));
        blocking(move || look(&live, &counts, at)).await;
    }
}

fn look(live: &Live, counts: &Counts, at: Time) {
    for (scope, enforced) in live.all() {
        let (issuer, covered, kind) = (scope.0.to_string(), scope.1.to_string(), scope.2.to_string());
        let is_stale = enforced.crl.next_update().is_none_or(|next| next < at);
        let labels = [("issuer", &issuer[..]), ("scope", &covered[..]), ("kind", &kind[..])];
        counts.crl_stale.set(&labels, f64::from(u8::from(is_stale)));
    }
}

#[cfg(test)]
mod tests {
    use revocast_daemon::Metrics;
    use revocast_messages::Source;
    use revocast_pki::crl::Crl;
    use revocast_pki::identity::{CrlKind, IssuerId, ScopeId};
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;
    use crate::state::Enforced;

    #[test]
    fn a_crl_is_shown_as_stale_from_the_second_after_its_next_update() {
        let (metrics, live) = (Metrics::default(), Live::new());
        let (counts, now) = (Counts::new(&metrics), Time::from_unix(1_795_305_600));
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let template = CrlTemplate::new(name("CN=CA").unwrap(), 1_u64, now.plus(-60), now);
        let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
        let (signer, source) = (key.spki().to_vec(), Source::Inline);
        let enforced = Enforced { crl, conflicting: Vec::new(), signer, applied_at_ms: 0, source };
        live.swap((IssuerId([1; 16]), ScopeId([2; 16]), CrlKind::Complete), enforced);
        for (at, stale) in [(now, "0.0"), (now.plus(1), "1.0")] {
            look(&live, &counts, at);
            let text = metrics.text();
            let line = text.lines().find(|line| line.starts_with("x509_crl_stale{")).unwrap();
            assert!(line.contains("kind=\"complete\"") && line.ends_with(stale), "{line}");
        }
    }
}
