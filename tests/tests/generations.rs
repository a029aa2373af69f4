//! Two generations side by side: a CA's old key and its new one under one name, an old release and a new one in one fleet.

#![allow(missing_docs, clippy::unwrap_used)]

use revocast_messages::{CertificateNotice, CrlNotice, Heartbeat, Message, Question, encode, subjects};
use revocast_tests::{TestCa, ValidatorProcess, World, eventually};

async fn enforced(validator: &ValidatorProcess, ca: &TestCa, number: u64) {
    eventually(&format!("CRL {number} is enforced"), async || {
        (validator.enforces(ca).await? == Some(number)).then_some(())
    })
    .await;
}

/// What it says of the certificate number `n` of `ca`.
async fn outcome(validator: &ValidatorProcess, ca: &TestCa, n: u32) -> String {
    let certificate = ca.leaf(n);
    eventually("it answers", async || validator.says(&certificate).await).await.outcome
}

/// ```text
///   root > Rolling (old key) > leaves, CRLs 5, 6
///        > Rolling (new key) > leaves, CRLs 1, 2
/// ```
/// I1, I5: the same name with two keys is two issuers, whose CRLs are counted apart; both speak of the certificates of that
/// name, and revoked under either is revoked.
#[tokio::test]
async fn while_a_ca_rolls_its_key_over_the_crls_of_both_keys_are_enforced_in_their_own_numbers() {
    let mut world = World::start().await;
    let name = "CN=Rolling,O=Test";
    let (old, new) = (world.root.subordinate(name), world.root.subordinate(name));
    let mut validator = world.validator("v1", "");
    validator.start();
    // Without it nothing below the root is valid.
    enforced(&validator, &world.root, 1).await;
    world.introduce_one(&old).await;
    world.publish(&old, &old.crl(5, 2)).await;
    enforced(&validator, &old, 5).await;
    assert_eq!(outcome(&validator, &old, 1).await, "revoked");
    assert_eq!(outcome(&validator, &old, 2).await, "valid");

    // The new key begins to count anew: its first CRL is no older one of the old key's.
    world.introduce_one(&new).await;
    world.publish(&new, &new.crl(1, 3)).await;
    enforced(&validator, &new, 1).await;
    let both_are_enforced = async |validator: &ValidatorProcess| {
        for ca in [&old, &new] {
            assert_eq!(outcome(validator, ca, 1).await, "revoked", "by both");
            assert_eq!(outcome(validator, ca, 2).await, "revoked", "by the new key's, a lower number");
            assert_eq!(outcome(validator, ca, 3).await, "valid");
        }
        assert_eq!(validator.enforces(&old).await, Some(Some(5)));
        assert_eq!(validator.enforces(&new).await, Some(Some(1)));
    };
    both_are_enforced(&validator).await;

    // A CRL of either key passes for one of the other with nobody.
    for (one, other) in [(&old, &new), (&new, &old)] {
        world.tell(&one.notice(&other.crl(9, 0))).await;
    }
    eventually("they are put aside", async || {
        (world.bus.stream_state(subjects::ASIDE).await.ok()?.last_sequence == 2).then_some(())
    })
    .await;
    both_are_enforced(&validator).await;

    // From its own store, with nobody there.
    validator.stop();
    world.nats.kill();
    validator.start();
    eventually("it answers", async || validator.says(&old.leaf(0)).await).await;
    both_are_enforced(&validator).await;
    world.nats.start_again().await;

    // Both go on, and the old key's last word counts for what the new key has signed.
    world.publish(&old, &old.crl(6, 4)).await;
    enforced(&validator, &old, 6).await;
    assert_eq!(outcome(&validator, &new, 3).await, "revoked");
    world.publish(&new, &new.crl(2, 5)).await;
    enforced(&validator, &new, 2).await;
    assert_eq!(outcome(&validator, &old, 4).await, "revoked");
    assert_eq!(outcome(&validator, &old, 5).await, "valid");
}

/// I13: a validator without the CRLs that its configuration requires says so, and takes no questions of the fleet.
#[tokio::test]
async fn without_a_required_issuers_crl_a_validator_is_not_ready_and_is_not_asked() {
    let world = World::start().await;
    let mut validator = world.validator("v1", &format!("required = ['{}']", world.issuing.issuer()));
    validator.start();
    enforced(&validator, &world.root, 1).await;
    eventually("it follows the streams", async || {
        (validator.readiness().await?.1 == ["required"]).then_some(())
    })
    .await;
    assert_eq!(validator.readiness().await.map(|(ready, _)| ready), Some(false));
    let question =
        Question { certificates: vec![world.issuing.leaf(0).der().clone().into()], ..Question::default() };
    let ask = async || {
        let body = encode(&question).unwrap().into();
        world.bus.ask("pki.validate", &Vec::new(), body, std::time::Duration::from_secs(5)).await
    };
    assert!(ask().await.is_err(), "nobody takes it");
    world.publish(&world.issuing, &world.issuing.crl(1, 0)).await;
    eventually("it is ready", async || validator.readiness().await?.0.then_some(())).await;
    eventually("it takes questions", async || ask().await.ok()).await;
}

/// The same, as the next release would write it: its first octet is the version of the layout.
fn of_the_next_version<M: Message>(message: &M) -> Vec<u8> {
    let mut body = encode(message).unwrap();
    body[0] = M::VERSION + 1;
    body
}

/// How many messages a validator put aside for a reason.
async fn aside(validator: &ValidatorProcess, reason: &str) -> Option<u64> {
    let metrics = String::from_utf8(validator.get("/metrics").await?.body).ok()?;
    let series = format!("revocast_put_aside_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series))?.trim().parse().ok()
}

/// I12, I14: what only the next release can read is put aside and counted; what both can read counts, whoever wrote it.
#[tokio::test]
async fn of_a_release_to_come_what_cannot_be_read_is_put_aside_and_what_can_be_is_enforced() {
    let world = World::start().await;
    let mut validator = world.validator("v1", "");
    validator.start();
    eventually("it follows", async || validator.readiness().await?.0.then_some(())).await;
    let say = async |subject: String, body: Vec<u8>| {
        world.bus.publish(subjects::NOTICES, &subject, &Vec::new(), body.into()).await.unwrap();
    };
    let later = world.root.subordinate("CN=Later,O=Test");
    let certificate: CertificateNotice = later.certificate_notice();
    for number in 1..=4 {
        let crl = world.issuing.crl(number, 2);
        let notice: CrlNotice = world.issuing.notice(&crl);
        let beat = Heartbeat { origin: notice.origin.clone(), interval_s: 30 };
        // Another layout altogether.
        say(notice.subject().to_string(), of_the_next_version(&notice)).await;
        say(certificate.subject().to_string(), of_the_next_version(&certificate)).await;
        say(beat.subject().to_string(), of_the_next_version(&beat)).await;
        // A field more at the end, without a new version: a fault of that release.
        say(notice.subject().to_string(), [encode(&notice).unwrap(), vec![1]].concat()).await;
        // Header lines that are not known yet say nothing against what both know.
        let mut lines = notice.headers();
        lines.push(("Revocast-Of-Tomorrow", "more".into()));
        let (subject, body) = (notice.subject().to_string(), encode(&notice).unwrap());
        world.bus.publish(subjects::NOTICES, &subject, &lines, body.into()).await.unwrap();
        enforced(&validator, &world.issuing, number).await;
    }
    eventually("each is counted", async || {
        let counted = (aside(&validator, "version").await?, aside(&validator, "undecodable").await?);
        (counted == (12, 4)).then_some(())
    })
    .await;
    eventually("each is kept with its reason", async || {
        (world.bus.stream_state(subjects::ASIDE).await.ok()?.last_sequence == 16).then_some(())
    })
    .await;
    // The next release's CA is known as soon as somebody tells of it in words that are understood.
    world.introduce_one(&later).await;
    world.publish(&later, &later.crl(1, 1)).await;
    enforced(&validator, &later, 1).await;
    assert_eq!(outcome(&validator, &later, 0).await, "revoked");
}
