//! Questions without pause while CRLs are issued and validators come and go.
//!
//! ```text
//!   issuing --notice (location)--> nats-server --> v1 ... v8, one queue group <--questions-- askers
//!      \--CRL--> plain HTTP server <--one download---/       \--receipts--> known to the askers
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use revocast_tests::{Askers, LoadedFleet};

/// I5, I11: an answer is never older than what its validator has told, by receipt or by an answer before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_verdict_is_wrong_no_question_is_lost_and_each_crl_is_downloaded_once() {
    let mut fleet = LoadedFleet::start(8, 8).await;
    fleet.issue().await;
    fleet.all_enforce().await;
    let askers = Askers::start(&fleet.world.nats, fleet.asked(), 4).await;
    for event in [
        LoadedFleet::add,
        LoadedFleet::stop_one,
        LoadedFleet::kill_one,
        LoadedFleet::start_stopped,
        LoadedFleet::nothing,
    ] {
        fleet.issue().await;
        event(&mut fleet);
        fleet.all_enforce().await;
    }
    fleet.start_stopped();
    fleet.all_enforce().await;
    let tally = askers.finish().await;
    assert_eq!((&tally.wrong[..], tally.lost), (&[][..], 0), "{tally:?}");
    // Whoever was killed may have been downloading.
    assert!((fleet.issued()..=fleet.issued() + fleet.killed()).contains(&fleet.downloads()));
}
