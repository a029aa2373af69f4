//! Of whom a validator tells that it enforces their CRLs: of those to whom it subscribes.

#![allow(missing_docs, clippy::unwrap_used)]

use revocast_tests::{TestCa, ValidatorProcess, World, eventually};

async fn told(world: &World, validator: &ValidatorProcess, ca: &TestCa, number: u64) {
    eventually(&format!("CRL {number} is told"), async || {
        (world.told(validator, ca).await == number).then_some(())
    })
    .await;
}

async fn enforced(validator: &ValidatorProcess, ca: &TestCa, number: u64) {
    eventually(&format!("CRL {number} is enforced"), async || {
        (validator.enforces(ca).await? == Some(number)).then_some(())
    })
    .await;
}

/// A validator named `v1`, subscribing so.
fn subscribing(world: &World, to: &str) -> ValidatorProcess {
    let mut validator = world.validator("v1", &format!("subscribe = {to}"));
    validator.start();
    validator
}

fn only(ca: &TestCa) -> String {
    format!("{{ issuers = ['{}'] }}", ca.issuer())
}

#[tokio::test]
async fn receipts_are_of_the_issuers_that_are_subscribed_to_and_what_is_enforced_is_not_less() {
    let world = World::start().await;
    world.publish(&world.issuing, &world.issuing.crl(1, 1)).await;

    // One issuer.
    let mut validator = subscribing(&world, &only(&world.issuing));
    told(&world, &validator, &world.issuing, 1).await;
    enforced(&validator, &world.root, 1).await;
    assert_eq!(world.told(&validator, &world.root).await, 0);
    validator.stop();

    // Whomever the anchors lead to, as far as they are known: what is held already is told.
    let mut validator = subscribing(&world, "'anchors'");
    told(&world, &validator, &world.root, 1).await;
    world.publish(&world.issuing, &world.issuing.crl(2, 2)).await;
    told(&world, &validator, &world.issuing, 2).await;
    validator.stop();

    // No more of the one that is not subscribed to any longer: neither of what is new nor of what is held.
    let mut validator = subscribing(&world, &only(&world.root));
    world.publish(&world.issuing, &world.issuing.crl(3, 3)).await;
    enforced(&validator, &world.issuing, 3).await;
    world.publish(&world.root, &world.root.crl(2, 0)).await;
    told(&world, &validator, &world.root, 2).await;
    assert_eq!(world.told(&validator, &world.issuing).await, 2);
    validator.stop();

    // Everybody.
    let validator = subscribing(&world, "'all'");
    told(&world, &validator, &world.issuing, 3).await;
}
