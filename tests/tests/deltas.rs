//! Deltas and shards through a validator, with a real broker and a real process.

#![allow(missing_docs, clippy::unwrap_used)]

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::mint::{CrlTemplate, DistributionPoint, DistributionPointName, DistributionScope};
use revocast_tests::{TestCa, ValidatorProcess, World, eventually};

async fn outcome(validator: &ValidatorProcess, certificate: &Certificate) -> String {
    eventually("it answers", async || validator.says(certificate).await).await.outcome
}

async fn comes_to_say(validator: &ValidatorProcess, certificate: &Certificate, outcome: &str) {
    eventually(&format!("it says {outcome}"), async || {
        (validator.says(certificate).await?.outcome == outcome).then_some(())
    })
    .await;
}

/// A delta of this number to the CRL `base`.
fn delta(ca: &TestCa, number: u64, base: u64, listed: &[(u32, Reason)]) -> Crl {
    ca.crl_as(number, listed, |template| template.base = Some(base.into()))
}

/// I2, I5: also where the delta's octets are gone and nobody is there to bring them again.
#[tokio::test]
async fn a_delta_is_enforced_on_its_base_after_a_restart_too_and_a_lost_one_lets_nothing_pass_for_good() {
    let mut world = World::start().await;
    let ca = &world.issuing;
    let (held, other) = (ca.leaf(0), ca.leaf(1));
    let mut validator = world.validator("v1", "");
    validator.start();
    world.publish(ca, &ca.crl(5, 0)).await;
    comes_to_say(&validator, &held, "valid").await;
    world.publish(ca, &delta(ca, 6, 5, &[(0, Reason::CertificateHold)])).await;
    comes_to_say(&validator, &held, "revoked").await;
    let said = validator.says(&other).await.unwrap();
    assert_eq!((said.outcome.as_str(), said.number), ("valid", Some(6)));
    world.publish(ca, &delta(ca, 7, 5, &[(0, Reason::RemoveFromCrl)])).await;
    comes_to_say(&validator, &held, "valid").await;
    let last = delta(ca, 8, 5, &[(0, Reason::KeyCompromise)]);
    world.publish(ca, &last).await;
    comes_to_say(&validator, &held, "revoked").await;

    validator.stop();
    world.nats.kill();
    validator.start();
    assert_eq!(outcome(&validator, &held).await, "revoked");
    assert_eq!(outcome(&validator, &other).await, "valid");

    validator.stop();
    let journal = rusqlite::Connection::open(validator.state().join("journal.db")).unwrap();
    let gone = journal.execute("DELETE FROM small_crl WHERE digest = ?1", [last.digest().0]).unwrap();
    assert_eq!(gone, 1);
    drop(journal);
    validator.start();
    assert_eq!(outcome(&validator, &held).await, "indeterminate");
    assert_eq!(outcome(&validator, &other).await, "indeterminate");

    world.nats.start_again().await;
    comes_to_say(&validator, &held, "revoked").await;
    assert_eq!(outcome(&validator, &other).await, "valid");
}

/// I5: what the superseded delta revoked, and what the new one does.
#[tokio::test]
async fn a_delta_that_comes_before_its_base_convicts_and_lets_nothing_pass_for_good_until_the_base_comes() {
    let world = World::start().await;
    let ca = &world.issuing;
    let leaves = [0, 1, 2].map(|n| ca.leaf(n));
    let mut validator = world.validator("v1", "");
    validator.start();
    world.publish(ca, &ca.crl(5, 0)).await;
    world.publish(ca, &delta(ca, 6, 5, &[(0, Reason::KeyCompromise)])).await;
    comes_to_say(&validator, &leaves[0], "revoked").await;
    world.publish(ca, &delta(ca, 8, 7, &[(1, Reason::KeyCompromise)])).await;
    comes_to_say(&validator, &leaves[1], "revoked").await;
    for unknown in [&leaves[0], &leaves[2]] {
        assert_eq!(outcome(&validator, unknown).await, "indeterminate");
    }
    world.publish(ca, &ca.crl(7, 1)).await;
    comes_to_say(&validator, &leaves[2], "valid").await;
    for revoked in &leaves[..2] {
        assert_eq!(outcome(&validator, revoked).await, "revoked");
    }
}

/// I1, I5: a CA goes over to shards and back to one CRL.
#[tokio::test]
async fn while_the_layout_of_shards_changes_whatever_any_of_them_revokes_is_revoked() {
    let world = World::start().await;
    let ca = &world.issuing;
    let url = |n: u32| format!("http://shards.invalid/{n}");
    let leaf = |n: u32| {
        ca.leaf_as(n, |template| template.crl_distribution_points = vec![DistributionPoint::uri(&url(n))])
    };
    let shard = |number: u64, of: u32, listed: &[(u32, Reason)]| {
        ca.crl_as(number, listed, |template: &mut CrlTemplate| {
            let name = Some(DistributionPointName::uri(&url(of)));
            template.distribution_point = Some(DistributionScope { name, ..DistributionScope::default() });
        })
    };
    let leaves = [0, 1].map(leaf);
    let mut validator = world.validator("v1", "");
    validator.start();
    world.publish(ca, &ca.crl(1, 0)).await;
    comes_to_say(&validator, &leaves[0], "valid").await;
    // The one CRL still lives, and says nothing of it.
    world.publish(ca, &shard(2, 0, &[(0, Reason::KeyCompromise)])).await;
    comes_to_say(&validator, &leaves[0], "revoked").await;
    assert_eq!(outcome(&validator, &leaves[1]).await, "valid");
    world.publish(ca, &shard(2, 1, &[])).await;
    // Back: the shards still live, and that of the second one says nothing of it.
    world.publish(ca, &ca.crl(3, 2)).await;
    comes_to_say(&validator, &leaves[1], "revoked").await;
    validator.stop();
    validator.start();
    for leaf in &leaves {
        assert_eq!(outcome(&validator, leaf).await, "revoked");
    }
}
