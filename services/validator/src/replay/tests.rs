//! Recordings made by hand, through the simulation.
//!
//! ```text
//!   root (anchor) --certificate notice--> CA --CRLs--> 1, 2 (twice: a conflict), 3 by difference or from the store
//! ```

use std::collections::BTreeMap;

use proptest::prelude::*;
use revocast_daemon::Metrics;
use revocast_messages::{
    Blob, CertificateNotice, CrlNotice, Message, NoticeDifference, Origin, Role, encode, subjects,
};
use revocast_pki::asn1::Time;
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};
use tempfile::TempDir;

use super::*;
use crate::config::PolicyConfig;
use crate::freshness::{Freshness, FreshnessConfig};
use crate::paths::{Paths, PathsConfig};
use crate::polling::Demand;
use crate::question::{Judge, history};
use crate::state::HistoryConfig;

pub(crate) const NOW: Time = Time::from_unix(1_795_305_600);

pub(crate) struct Ca {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

impl Ca {
    pub(crate) fn root(subject: &str) -> Ca {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], (NOW, NOW.plus(86_400)));
        Ca { certificate: Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap(), key }
    }

    pub(crate) fn below(issuer: &Ca, subject: &str) -> Ca {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (NOW, NOW.plus(86_400));
        let template = CertificateTemplate::ca(name(subject).unwrap(), key.spki(), &[2], validity);
        let der = template.sign(issuer.certificate.subject(), &issuer.key).unwrap();
        Ca { certificate: Certificate::decode(der).unwrap(), key }
    }

    fn crl(&self, number: u64, serials: &[u8]) -> Crl {
        let at = i64::try_from(number).unwrap();
        self.crl_at(number, at, serials.iter().map(|serial| (*serial, at)))
    }

    /// Issued so many seconds after the beginning, with serial numbers and dates in the same measure.
    pub(crate) fn crl_at(&self, number: u64, at: i64, revoked: impl IntoIterator<Item = (u8, i64)>) -> Crl {
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, number, NOW.plus(at), NOW.plus(at + 3_600));
        let revoked = revoked.into_iter();
        let entries = revoked.map(|(serial, date)| RevokedEntry::new(&[serial], NOW.plus(date)));
        Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
    }

    /// An end-entity certificate of this serial number.
    pub(crate) fn leaf(&self, serial: u8) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (NOW, NOW.plus(86_400));
        let template = CertificateTemplate::new(name("CN=leaf").unwrap(), key.spki(), &[serial], validity);
        Certificate::decode(template.sign(self.certificate.subject(), &self.key).unwrap()).unwrap()
    }

    /// A notice that carries the CRL.
    pub(crate) fn notice(&self, crl: &Crl) -> CrlNotice {
        CrlNotice::of(crl, self.certificate.as_issuer(), origin())
    }
}

fn origin() -> Origin {
    Origin { role: Role::Authority, instance: "ca-1".parse().unwrap(), seen_at_ms: 0 }
}

/// A message as it would have been recorded; its sequence is also how many seconds after the beginning it came.
fn recorded(sequence: u64, subject: String, payload: Vec<u8>) -> Recorded {
    Recorded {
        stream: subjects::NOTICES.into(),
        sequence,
        stored_at_ns: (NOW.unix() * 1_000 + sequence as i64 * 1_000) * 1_000_000,
        subject,
        headers: Vec::new(),
        payload: Blob::from(payload),
    }
}

pub(crate) fn told(sequence: u64, notice: &CrlNotice) -> Recorded {
    recorded(sequence, notice.subject().to_string(), encode(notice).unwrap())
}

pub(crate) fn certificate(sequence: u64, ca: &Ca, issuer: &Ca) -> Recorded {
    let notice = CertificateNotice {
        issuer: issuer.certificate.as_issuer(),
        certificate: ca.certificate.der().clone().into(),
        origin: origin(),
        locations: Vec::new(),
    };
    recorded(sequence, notice.subject().to_string(), encode(&notice).unwrap())
}

/// A simulation that believes `root`, in a folder of its own.
fn simulation(root: &Ca) -> (TempDir, Simulation) {
    let folder = tempfile::tempdir().unwrap();
    let simulation = Simulation::new(folder.path(), believing(root, folder.path()), []).unwrap();
    (folder, simulation)
}

fn believing(root: &Ca, folder: &Path) -> Policies {
    let anchor = folder.join("root.crt");
    std::fs::write(&anchor, root.certificate.der()).unwrap();
    let config = PolicyConfig { anchors: vec![anchor], ..PolicyConfig::default() };
    Policies::read(&BTreeMap::from([("default".to_owned(), config)]), "default").unwrap()
}

/// What keeps history since the beginning, or not, after these messages; its folder, and its clock.
pub(crate) fn remembering(
    root: &Ca,
    history: &HistoryConfig,
    messages: &[Recorded],
) -> (TempDir, Judge, Clock) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal")).unwrap();
    journal.keep_history(history, NOW.unix() * 1_000).unwrap();
    let policies = believing(root, folder.path());
    let mut simulation = Simulation::over(journal, folder.path(), policies.clone(), []).unwrap();
    runtime().block_on(async {
        for message in messages {
            simulation.take(message).await.unwrap();
        }
    });
    let (policies, walk) = (Arc::new(policies), &simulation.walk);
    let demand = Demand::new(
        &PollingConfig::default(),
        walk.board.clone(),
        walk.live.clone(),
        policies.clone(),
        walk.clock.clone(),
    );
    let judge = Judge {
        live: walk.live.clone(),
        journal: Some(walk.journal.clone()),
        policies,
        freshness: Freshness::new(&FreshnessConfig::default()),
        demand: Some(demand),
        clock: simulation.clock.clone(),
        counts: simulation.walk.counts.clone(),
        paths: Paths::new(&PathsConfig::default(), &Metrics::default()).0,
        adopted: Arc::default(),
        instance: "v-1".parse().unwrap(),
        deadline: std::time::Duration::from_secs(60),
        discover: None,
        gate: Arc::new(tokio::sync::Semaphore::new(1)),
        past_gate: Arc::new(tokio::sync::Semaphore::new(history::WORKED_ON_AT_ONCE)),
    };
    (folder, judge, simulation.clock)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// What came of each message, and the state at the end.
fn played(root: &Ca, objects: &[&Crl], messages: &[Recorded]) -> (Vec<Played>, Digest) {
    let (_folder, mut simulation) = simulation(root);
    runtime().block_on(async {
        for object in objects {
            simulation.hold(object.der()).unwrap();
        }
        let mut all = Vec::new();
        for message in messages {
            all.push(simulation.take(message).await.unwrap());
        }
        simulation.settle().await.unwrap();
        (all, simulation.digest())
    })
}

fn outcomes(played: &[Played]) -> Vec<&'static str> {
    played.iter().map(|one| one.outcome).collect()
}

/// A root, a CA below it, and what was told of them: every way for a CRL to come, a conflict, lies and garbage.
fn incident() -> (Ca, Vec<Crl>, Vec<Recorded>) {
    let root = Ca::root("CN=Root");
    let ca = Ca::below(&root, "CN=CA");
    let stranger = Ca::root("CN=CA");
    let (first, second, conflicting) = (ca.crl(1, &[1]), ca.crl(2, &[1, 2]), ca.crl(2, &[1, 3]));
    let third = ca.crl(3, &[1, 2, 3]);
    let of_root = root.crl(1, &[9]);
    let from_store = CrlNotice { crl: None, ..ca.notice(&third) };
    let bytes = Difference::construct(&first, &second).encoded().clone().into();
    let by_difference = CrlNotice {
        crl: None,
        difference: Some(NoticeDifference { base: first.id(), bytes }),
        ..ca.notice(&second)
    };
    // The stranger's CRL in the CA's name: the key is another.
    let lie = CrlNotice {
        issuer: ca.certificate.as_issuer(),
        scope: first.scope(ca.certificate.as_issuer()),
        ..stranger.notice(&stranger.crl(7, &[]))
    };
    let messages = vec![
        told(1, &ca.notice(&first)),
        certificate(2, &ca, &root),
        told(3, &root.notice(&of_root)),
        told(4, &by_difference),
        told(5, &ca.notice(&conflicting)),
        told(6, &lie),
        recorded(7, lie.subject().to_string(), b"garbage".to_vec()),
        recorded(8, "pki.nonsense".into(), vec![CrlNotice::VERSION]),
        told(9, &from_store),
        told(10, &ca.notice(&first)),
    ];
    (root, vec![second, third], messages)
}

#[test]
fn a_recording_tells_what_was_enforced_after_each_message() {
    let (root, objects, messages) = incident();
    let (played, _) = played(&root, &objects.iter().collect::<Vec<_>>(), &messages);
    let expected = [
        "owed", "learned", "applied", "applied", "applied", "aside", "aside", "aside", "applied", "obsolete",
    ];
    assert_eq!(outcomes(&played), expected, "{played:#?}");
    // What was owed is settled by the certificate that the second message brings.
    assert_eq!(played[1].enforced.len(), 1);
    let conflict = &played[4].enforced[0];
    assert_eq!((conflict.crl_ids.len(), conflict.applied_at_ms), (2, played[4].stored_at_ms));
    assert_eq!(played[8].enforced[0].crl_ids.len(), 1, "the third CRL supersedes both");
    assert_eq!(played[8].enforced[0].source, Source::Object);
    let states: Vec<Digest> = played.iter().map(|one| one.state).collect();
    assert_eq!(states[4], states[7], "lies and garbage change no state");
    assert_ne!(states[4], states[8]);
}

#[test]
fn the_same_recording_leads_to_the_same_states_bit_for_bit() {
    let (root, objects, messages) = incident();
    let objects: Vec<&Crl> = objects.iter().collect();
    assert_eq!(played(&root, &objects, &messages), played(&root, &objects, &messages));
}

#[test]
fn a_crl_that_comes_after_its_notice_settles_it() {
    let root = Ca::root("CN=Root");
    let crl = root.crl(1, &[1]);
    let announced = CrlNotice { crl: None, ..root.notice(&crl) };
    let (_folder, mut simulation) = simulation(&root);
    runtime().block_on(async {
        let before = simulation.take(&told(1, &announced)).await.unwrap();
        assert_eq!((before.outcome, simulation.debts().unwrap()), ("owed", 1));
        simulation.play(Record::Object(crl.der().clone())).await.unwrap();
        let heartbeat = recorded(2, "pki.heartbeat.authority.ca-1".into(), Vec::new());
        let after = simulation.take(&heartbeat).await.unwrap();
        assert_eq!((after.enforced.len(), simulation.debts().unwrap()), (1, 0));
        assert_eq!(simulation.scopes()[0].crl_ids, [crl.id()]);
    });
}

/// A lie can name any object of the store, as often as it likes.
#[test]
fn an_object_is_not_fetched_while_nobody_is_known_who_could_have_signed_it() {
    let root = Ca::root("CN=Root");
    let ca = Ca::below(&root, "CN=CA");
    let crl = ca.crl(1, &[1]);
    let announced = CrlNotice { crl: None, ..ca.notice(&crl) };
    let messages = [told(1, &announced), certificate(2, &ca, &root)];
    let (played, _) = played(&root, &[&crl], &messages);
    assert_eq!(outcomes(&played), ["owed", "learned"]);
    assert_eq!(played[0].why.as_deref(), Some("no certificate of the signer is known"));
    assert_eq!(played[1].enforced[0].source, Source::Object);
}

#[test]
fn when_more_is_settled_at_once_than_events_are_kept_every_scope_is_told_all_the_same() {
    let root = Ca::root("CN=Root");
    let (first, second) = (root.crl(1, &[]), root.crl(2, &[1]));
    let (_folder, mut simulation) = simulation(&root);
    let crowd_out = |simulation: &Simulation| {
        for _ in 0..5_000 {
            simulation.walk.events.tell(Event::Learned(root.certificate.clone()));
        }
    };
    let told = runtime().block_on(simulation.take(&told(1, &root.notice(&first)))).unwrap();
    assert_eq!(told.enforced.len(), 1);
    crowd_out(&simulation);
    assert_eq!(simulation.news(), [], "nothing has changed");
    let (scope, enforced) = simulation.walk.live.all().remove(0);
    simulation.walk.live.swap(scope, Enforced { crl: second.clone(), ..enforced });
    let (crl_id, number) = (second.id(), second.number());
    simulation.walk.events.tell(Event::Applied { scope, crl_id, number });
    crowd_out(&simulation);
    let told: Vec<_> = simulation.news().into_iter().map(|scope| scope.crl_ids).collect();
    assert_eq!(told, [[second.id()]]);
}

#[test]
fn time_is_that_of_the_recording() {
    // A day later the CA's certificate has ended: nobody is entitled to sign.
    let root = Ca::root("CN=Root");
    let ca = Ca::below(&root, "CN=CA");
    let crl = ca.notice(&ca.crl(1, &[1]));
    let late = Recorded { stored_at_ns: (NOW.unix() + 100_000) * 1_000_000_000, ..told(2, &crl) };
    let (then, _) = played(&root, &[], &[certificate(1, &ca, &root), told(2, &crl)]);
    let (too_late, _) = played(&root, &[], &[certificate(1, &ca, &root), late]);
    assert_eq!((then[1].outcome, too_late[1].outcome), ("applied", "owed"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// I4, through the whole walk.
    #[test]
    fn any_order_and_multiset_of_notices_gives_one_state(seed in any::<u64>()) {
        let (root, objects, messages) = incident();
        // Without the one that supersedes all, so that there is a conflict to be joined.
        for messages in [&messages[..], &messages[..8]] {
            let objects: Vec<&Crl> = objects.iter().collect();
            let (_, expected) = played(&root, &objects, messages);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut shuffled: Vec<Recorded> = messages.to_vec();
            shuffled.extend(messages.iter().filter(|_| random.bool()).cloned());
            random.shuffle(&mut shuffled);
            // Numbered as a broker would have.
            for (sequence, message) in (1..).zip(&mut shuffled) {
                message.sequence = sequence;
            }
            let (_, state) = played(&root, &objects, &shuffled);
            prop_assert_eq!(state, expected, "{:#?}", shuffled);
        }
    }
}
