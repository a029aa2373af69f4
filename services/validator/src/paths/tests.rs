//! What happens to kept paths, and what becomes of those that others offer, in one process.

use std::time::Duration;

use revocast_messages::{Outcome, PathElement, PathShare};
use revocast_pki::path::{Anchors, Requirements};

use super::offered::Offered;
use super::upkeep;
use crate::events::{Event, Events};
use crate::question::tests::{Holder, ISSUING, NOW, World, about, holder};
use crate::state::live::ToldBy;

/// Polls under a generous deadline.
async fn eventually(what: &str, probe: impl Fn() -> bool) {
    let polled = async {
        while !probe() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), polled).await.is_ok(), "waited in vain: {what}");
}

#[tokio::test]
async fn a_certificate_that_replaces_another_has_the_paths_through_it_built_anew() {
    let world = World::new().await;
    assert_eq!(world.judgement(about(&world.leaf)).await.path[1], world.issuing.certificate().id());
    let (judge, events) = (&world.local.judge, Events::default());
    let keeping = tokio::spawn(upkeep::keep(judge.clone(), events.changes()));
    let spki = world.issuing.key.spki().to_vec();
    let newer = holder("CN=Issuing", Some(&world.root), |template| {
        template.serial = vec![ISSUING + 1];
        template.spki = spki;
        template.not_before = NOW;
    });
    judge.live.learn_certificate(newer.certificate(), ToldBy::Notice);
    events.tell(Event::Learned(newer.certificate()));
    eventually("leaf and newer certificate have their paths", || judge.paths.counts.built(true).get() == 2)
        .await;
    assert_eq!(judge.paths.counts.evicted("replaced").get(), 1);
    assert_eq!(world.judgement(about(&world.leaf)).await.path[1], newer.certificate().id());
    assert_eq!(world.local.ways().searched, 1, "nobody had to search");
    keeping.abort();
}

/// The path `leaf <- issuers` as another validator would tell it under this validator's default policy.
fn told(world: &World, leaf: &Holder, issuers: &[&Holder]) -> PathShare {
    let policy = world.local.judge.policies.get(None).unwrap();
    let path = std::iter::once(leaf).chain(issuers.iter().copied());
    PathShare {
        validator: "other".parse().unwrap(),
        policy: policy.plain.id,
        target: leaf.certificate().id(),
        certificates: path.map(|one| PathElement::Der(one.der.clone().into())).collect(),
        valid_until: NOW,
    }
}

#[tokio::test]
async fn an_offered_path_is_kept_only_if_it_is_valid_as_it_was_offered() {
    let world = World::new().await;
    let judge = &world.local.judge;
    let judged = |share: &PathShare| Offered::new(share, judge).map(|offered| offered.judged(judge));
    // A lie about an issuer that is known better here is refused all the same.
    let stranger = holder("CN=Stranger", None, |_| {});
    let bent =
        holder("CN=Issuing", Some(&stranger), |template| template.spki = world.issuing.key.spki().to_vec());
    assert_eq!(judged(&told(&world, &world.leaf, &[&bent])), Ok("refused"));
    assert_eq!(judge.paths.cache.len(), 0);
    assert_eq!(judged(&told(&world, &world.leaf, &[&world.issuing])), Ok("kept"));
    // By its identity an issuer is known only where a notice told of it.
    let other = world.issuing.leaf("b.example");
    let by_id = PathElement::Id(world.issuing.certificate().id());
    let mut named = told(&world, &other, &[]);
    named.certificates.push(by_id);
    assert_eq!(judged(&named), Err("unknown"));
    judge.live.learn_certificate(world.issuing.certificate(), ToldBy::Notice);
    assert_eq!(judged(&named), Ok("kept"));
    for leaf in [&world.leaf, &other] {
        assert_eq!(world.judgement(about(leaf)).await.outcome, Outcome::Valid);
    }
    assert_eq!((world.local.ways().kept, world.local.ways().searched), (2, 0));
}

#[tokio::test]
async fn a_path_under_a_policy_that_is_not_ours_is_not_judged() {
    let world = World::new().await;
    let nobody = Requirements::default().policy_id(&Anchors::default().digest());
    let foreign = PathShare { policy: nobody, ..told(&world, &world.leaf, &[&world.issuing]) };
    assert_eq!(Offered::new(&foreign, &world.local.judge).err(), Some("other_policy"));
}
