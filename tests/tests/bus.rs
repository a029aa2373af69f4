//! The bus against a real nats-server, and against what can happen to one.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{
    Bus, BusError, Call, Contact, Followed, Follower, Headers, Published, Resync, ServiceSpec, Standing,
    Stored, serve, serve_with,
};
use revocast_tests::{DEADLINE, NatsServer, eventually};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const STREAM: &str = "NOTICES";
const ALL: &str = "pki.>";

fn subject(n: u64) -> String {
    format!("pki.notice.crl.authority.issuer{n}.scope.complete")
}

async fn publish(bus: &Bus, n: u64, body: &str) -> u64 {
    bus.publish(STREAM, &subject(n), &Vec::new(), Bytes::copy_from_slice(body.as_bytes())).await.unwrap()
}

fn text(message: &Stored) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

async fn next(follower: &mut Follower) -> Followed {
    tokio::time::timeout(DEADLINE, follower.next()).await.expect("the follower tells something")
}

/// The next message in order, whatever else is told before it.
async fn next_message(follower: &mut Follower) -> Stored {
    loop {
        if let Followed::Next(message) = next(follower).await {
            return message;
        }
    }
}

/// Heads until the next attachment, and that attachment's resync.
async fn attachment(follower: &mut Follower) -> (Vec<String>, Option<Resync>) {
    let mut heads = Vec::new();
    loop {
        match next(follower).await {
            Followed::Head(head) => heads.push(text(&head)),
            Followed::Attached { resync, .. } => {
                heads.sort();
                return (heads, resync);
            }
            Followed::Detached { .. } => heads.clear(),
            Followed::Next(_) => {}
        }
    }
}

/// Publishes numbers under the rule that the greater one stands.
async fn publish_number(bus: &Bus, number: u64) -> Result<Published, BusError> {
    let body = number.to_string();
    let headers: Headers = vec![("Nats-Msg-Id", format!("id-{number}"))];
    bus.publish_head(STREAM, &subject(1), &headers, body.into(), |head: Stored| async move {
        match text(&head).parse::<u64>().unwrap().cmp(&number) {
            std::cmp::Ordering::Equal => Standing::Same,
            std::cmp::Ordering::Greater => Standing::Better,
            std::cmp::Ordering::Less => Standing::Worse,
        }
    })
    .await
}

#[tokio::test]
async fn a_follower_reads_the_heads_first_and_then_every_message_in_order() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    publish(&bus, 1, "old").await;
    publish(&bus, 1, "new").await;
    publish(&bus, 2, "other").await;
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    assert_eq!(attachment(&mut follower).await, (vec!["new".into(), "other".into()], None));
    for n in 0..300 {
        publish(&bus, 3, &n.to_string()).await;
    }
    for n in 0..300 {
        assert_eq!(text(&next_message(&mut follower).await), n.to_string());
    }
}

#[tokio::test]
async fn a_follower_with_a_checkpoint_goes_on_right_after_it() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    for body in ["a", "b", "c"] {
        publish(&bus, 1, body).await;
    }
    let checkpoint = {
        let mut follower = Follower::new(&bus, STREAM, ALL, None);
        attachment(&mut follower).await;
        publish(&bus, 1, "d").await;
        next_message(&mut follower).await.checkpoint()
    };
    for body in ["e", "f"] {
        publish(&bus, 1, body).await;
    }
    let mut follower = Follower::new(&bus, STREAM, ALL, Some(checkpoint));
    assert_eq!(attachment(&mut follower).await, (vec!["f".into()], None));
    assert_eq!(text(&next_message(&mut follower).await), "e");
    assert_eq!(text(&next_message(&mut follower).await), "f");
}

#[tokio::test]
async fn a_server_killed_and_restarted_under_a_follower_loses_and_repeats_nothing() {
    let mut server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    attachment(&mut follower).await;
    publish(&bus, 1, "before").await;
    assert_eq!(text(&next_message(&mut follower).await), "before");
    server.kill();
    eventually("the follower says that it lost contact", async || {
        matches!(*follower.contact().borrow(), Contact::Detached(_)).then_some(())
    })
    .await;
    server.start_again().await;
    let other = server.bus("other").await;
    eventually("the stream takes messages", async || {
        other.publish(STREAM, &subject(1), &Vec::new(), "after".into()).await.ok()
    })
    .await;
    assert_eq!(text(&next_message(&mut follower).await), "after");
    assert_eq!(*follower.contact().borrow(), Contact::Attached);
}

#[tokio::test]
async fn a_consumer_deleted_under_a_follower_is_made_anew_without_loss() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    attachment(&mut follower).await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = jetstream.get_stream(STREAM).await.unwrap();
    let names: Vec<String> = {
        use futures::TryStreamExt;
        stream.consumer_names().try_collect().await.unwrap()
    };
    for name in names {
        // The consumer of the heads may be gone by now.
        let _ = stream.delete_consumer(&name).await;
    }
    publish(&bus, 1, "one").await;
    publish(&bus, 1, "two").await;
    assert_eq!(text(&next_message(&mut follower).await), "one");
    assert_eq!(text(&next_message(&mut follower).await), "two");
}

#[tokio::test]
async fn a_stream_deleted_and_recreated_is_noticed_and_read_anew() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    for body in ["a", "b", "c"] {
        publish(&bus, 1, body).await;
    }
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    attachment(&mut follower).await;
    publish(&bus, 1, "d").await;
    next_message(&mut follower).await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    jetstream.delete_stream(STREAM).await.unwrap();
    for declaration in revocast_bus::declare::built_in() {
        bus.apply(&declaration).await.unwrap();
    }
    publish(&bus, 7, "anew").await;
    // It may be attached before the message is there, or after.
    let (heads, resync) = attachment(&mut follower).await;
    assert_eq!(resync, Some(Resync::Recreated));
    match &heads[..] {
        [] => assert_eq!(text(&next_message(&mut follower).await), "anew"),
        told => assert_eq!(told, ["anew"]),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Follows up to sequence 4, then gives the broker back a store that ends at sequence 2.
async fn with_a_lost_tail(
    refill: &[&str],
) -> (NatsServer, Result<(Vec<String>, Option<Resync>), tokio::time::error::Elapsed>) {
    let mut server = NatsServer::start().await;
    let bus = server.bus("test").await;
    publish(&bus, 1, "one").await;
    publish(&bus, 2, "two").await;
    server.stop();
    let backup = tempfile::tempdir().unwrap();
    copy(&server.store(), backup.path());
    server.start_again().await;
    let bus = server.bus("test").await;
    publish(&bus, 3, "three").await;
    publish(&bus, 4, "four").await;
    let checkpoint = bus.head(STREAM, &subject(4)).await.unwrap().unwrap();
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    attachment(&mut follower).await;
    publish(&bus, 4, "last").await;
    let position = next_message(&mut follower).await.checkpoint();
    assert_eq!(position.sequence, checkpoint.sequence + 1);
    drop(follower);
    server.stop();
    std::fs::remove_dir_all(server.store()).unwrap();
    copy(backup.path(), &server.store());
    server.start_again().await;
    let bus = server.bus("test").await;
    for body in refill {
        publish(&bus, 9, body).await;
    }
    let mut follower = Follower::new(&bus, STREAM, ALL, Some(position));
    let told = tokio::time::timeout(DEADLINE, attachment(&mut follower)).await;
    (server, told)
}

#[tokio::test]
async fn a_stream_whose_tail_was_lost_leads_to_a_resync() {
    let (_server, told) = with_a_lost_tail(&[]).await;
    assert_eq!(told.unwrap(), (vec!["one".into(), "two".into()], Some(Resync::TailLost)));
}

#[tokio::test]
async fn a_stream_whose_tail_was_lost_and_refilled_leads_to_a_resync() {
    let (_server, told) = with_a_lost_tail(&["x", "y", "z"]).await;
    assert_eq!(told.unwrap(), (vec!["one".into(), "two".into(), "z".into()], Some(Resync::TailRefilled)));
}

#[tokio::test]
async fn a_duplicate_published_after_the_deduplication_window_is_not_stored_twice() {
    let server = NatsServer::bare().await;
    let bus = server.bus("test").await;
    let declaration = revocast_bus::declare::Declaration::parse(
        STREAM,
        r#"{"name": "NOTICES", "subjects": ["pki.>"], "duplicate_window": 100000000}"#,
    )
    .unwrap();
    bus.apply(&declaration).await.unwrap();
    assert_eq!(publish_number(&bus, 5).await, Ok(Published::Stored(1)));
    // The window is over once the broker stores the same key a second time on another subject.
    let headers: Headers = vec![("Nats-Msg-Id", "id-5".into())];
    eventually("the window is over", async || {
        let sequence = bus.publish(STREAM, "pki.probe", &headers, "probe".into()).await.unwrap();
        (sequence == 2).then_some(())
    })
    .await;
    assert_eq!(publish_number(&bus, 5).await, Ok(Published::AlreadyThere(1)));
    assert_eq!(bus.stream_state(STREAM).await.unwrap().last_sequence, 2);
}

#[tokio::test]
async fn a_message_whose_key_is_remembered_but_which_is_gone_is_published_again() {
    let server = NatsServer::bare().await;
    let bus = server.bus("test").await;
    let declaration = revocast_bus::declare::Declaration::parse(
        STREAM,
        r#"{"name": "NOTICES", "subjects": ["pki.>"], "duplicate_window": 120000000000}"#,
    )
    .unwrap();
    bus.apply(&declaration).await.unwrap();
    assert_eq!(publish_number(&bus, 5).await, Ok(Published::Stored(1)));
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    jetstream.get_stream(STREAM).await.unwrap().delete_message(1).await.unwrap();
    assert!(matches!(publish_number(&bus, 5).await, Ok(Published::Stored(2))));
}

#[tokio::test]
async fn of_two_publishers_racing_for_one_head_the_greater_stands_at_the_end() {
    let server = NatsServer::start().await;
    let (one, two) = (server.bus("one").await, server.bus("two").await);
    let racer = |bus: Bus, first: u64| async move {
        for number in (first..200).step_by(2) {
            publish_number(&bus, number).await.unwrap();
        }
    };
    tokio::join!(racer(one.clone(), 0), racer(two, 1));
    let head = one.head(STREAM, &subject(1)).await.unwrap().unwrap();
    assert_eq!(text(&head), "199");
    assert_eq!(publish_number(&one, 3).await, Ok(Published::Superseded(head.sequence)));
    assert_eq!(publish_number(&one, 199).await, Ok(Published::AlreadyThere(head.sequence)));
}

/// The broker looks at the key before the expected sequence: of two who publish the same, the slower one hears
/// "duplicate" whatever stands there by then.
#[tokio::test]
async fn a_publisher_that_was_slower_with_the_same_never_replaces_the_better_head_that_followed() {
    let server = NatsServer::start().await;
    let (slow, fast) = (server.bus("slow").await, server.bus("fast").await);
    assert_eq!(publish_number(&fast, 4).await, Ok(Published::Stored(1)));
    let headers: Headers = vec![("Nats-Msg-Id", "id-5".into())];
    let overtaken = std::sync::Once::new();
    let judge = |head: Stored| {
        let (number, fast) = (text(&head).parse::<u64>().unwrap(), fast.clone());
        let mut first = false;
        overtaken.call_once(|| first = true);
        async move {
            // While the slow one judges the head, the fast one publishes the same, and then a better one.
            if first {
                assert_eq!(publish_number(&fast, 5).await, Ok(Published::Stored(2)));
                assert_eq!(publish_number(&fast, 6).await, Ok(Published::Stored(3)));
            }
            match number.cmp(&5) {
                std::cmp::Ordering::Equal => Standing::Same,
                std::cmp::Ordering::Greater => Standing::Better,
                std::cmp::Ordering::Less => Standing::Worse,
            }
        }
    };
    let published = slow.publish_head(STREAM, &subject(1), &headers, "5".into(), judge).await;
    assert_eq!(published, Ok(Published::Superseded(3)));
    assert_eq!(text(&slow.head(STREAM, &subject(1)).await.unwrap().unwrap()), "6");
}

#[tokio::test]
async fn a_lying_head_with_number_2_to_the_150_that_does_not_verify_is_replaced() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let enormous = "1427247692705959881058285969449495136382746624"; // 2^150
    publish(&bus, 1, enormous).await;
    let stored = bus
        .publish_head(STREAM, &subject(1), &Vec::new(), "7".into(), |head: Stored| async move {
            // What it names cannot be had or does not verify.
            if text(&head) == enormous { Standing::Worse } else { Standing::Better }
        })
        .await;
    assert_eq!(stored, Ok(Published::Stored(2)));
    assert_eq!(text(&bus.head(STREAM, &subject(1)).await.unwrap().unwrap()), "7");
}

#[tokio::test]
async fn a_denied_publish_is_reported_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("denied.conf");
    let permissions = r#"
        jetstream { sync_interval: always, max_file_store: 64GB }
        authorization { users: [
            { user: operator, password: o }
            { user: watcher, password: w, permissions: {
                publish: ["$JS.API.STREAM.MSG.GET.NOTICES", "pki.notice.crl.watcher.>"], subscribe: "_INBOX_watcher.>" } }
        ] }"#;
    std::fs::write(&config, permissions).unwrap();
    let server = NatsServer::with_config(&config).await;
    let operator = server.bus_as("operator", "o").await;
    for declaration in revocast_bus::declare::built_in() {
        operator.apply(&declaration).await.unwrap();
    }
    let watcher = server.bus_as("watcher", "w").await;
    let denied = tokio::time::timeout(DEADLINE, publish_number(&watcher, 1)).await.unwrap();
    let Err(BusError::Denied { what }) = denied else { panic!("{denied:?}") };
    assert!(what.contains(&subject(1)), "{what}");
}

#[tokio::test]
async fn publishing_goes_on_when_the_server_comes_back() {
    let mut server = NatsServer::start().await;
    let bus = server.bus("test").await;
    server.kill();
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { publish_number(&bus, 1).await }
    });
    server.start_again().await;
    let published = tokio::time::timeout(DEADLINE, publishing).await.unwrap().unwrap();
    assert!(matches!(published, Ok(Published::Stored(_) | Published::AlreadyThere(_))), "{published:?}");
}

#[tokio::test]
async fn objects_are_kept_by_their_hash_and_written_once() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let objects = bus.objects("crls", "leases", "test").await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let writers = (0..4).map(|_| objects.put(&bytes));
    futures::future::try_join_all(writers).await.unwrap();
    let name = revocast_tests::sha256_hex(&bytes);
    assert_eq!(objects.get(&name, bytes.len()).await.unwrap(), bytes);
    assert!(matches!(objects.get(&name, 10).await, Err(BusError::Damaged { .. })));
    assert!(matches!(objects.get(&"0".repeat(64), 10).await, Err(BusError::Absent { .. })));
    let chunks = bus.stream_state("OBJ_crls").await.unwrap().bytes;
    assert!(chunks < 2_000_000, "four writers of the same bytes stored {chunks} bytes");
}

#[tokio::test]
async fn a_question_is_answered_and_a_question_to_nobody_fails_at_once() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let service = serve(&bus, echo(), &[("pki.echo".into(), Some("echoes"))], |call| async move {
        if call.payload.is_empty() { Err("nothing was said".into()) } else { Ok((Vec::new(), call.payload)) }
    })
    .await
    .unwrap();
    let ask = |body: &'static str| bus.ask("pki.echo", const { &Vec::new() }, body.into(), DEADLINE);
    assert_eq!(ask("hello").await.unwrap(), "hello");
    assert!(matches!(ask("").await, Err(BusError::Refused { .. })));
    service.stop().await;
    let nobody = bus.ask("pki.nobody", &Vec::new(), "x".into(), DEADLINE).await;
    assert!(matches!(nobody, Err(BusError::Absent { .. })), "{nobody:?}");
}

fn echo() -> ServiceSpec {
    ServiceSpec {
        name: "echo".into(),
        description: "says it again".into(),
        version: "1.0.0".into(),
        metadata: Default::default(),
        concurrency: 1,
    }
}

#[tokio::test]
async fn a_service_tells_all_its_name_and_it_alone_what_it_is_and_what_it_has_answered() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let spec = || ServiceSpec { metadata: [("instance".into(), "one".into())].into(), ..echo() };
    let at_hand = |call: &Call| (call.payload == "known").then(|| Ok((Vec::new(), "at hand".into())));
    let handler = |call: Call| async move {
        if call.payload.is_empty() { Err("nothing was said".into()) } else { Ok((Vec::new(), call.payload)) }
    };
    let endpoints = [("pki.echo.all".to_owned(), Some("echoes")), ("pki.echo.one".to_owned(), None)];
    let own = || serde_json::json!({ "lag": 7 });
    let service = serve_with(&bus, spec(), &endpoints, own, at_hand, handler).await.unwrap();
    let other =
        serve(&bus, ServiceSpec { name: "other".into(), ..echo() }, &[], |_| async { Err(String::new()) });
    let other = other.await.unwrap();
    for body in ["known", "hello", ""] {
        let answer = bus.ask("pki.echo.all", &Vec::new(), body.into(), DEADLINE).await;
        assert_eq!(answer.is_ok(), !body.is_empty(), "{answer:?}");
    }
    let told = async |subject: &str| -> Vec<Value> {
        let told = bus.ask_all(subject, Bytes::new(), Duration::from_millis(300)).await.unwrap();
        told.iter().map(|one| serde_json::from_slice(one).unwrap()).collect()
    };
    assert_eq!(told("$SRV.PING").await.len(), 2);
    let [ping] = &told("$SRV.PING.echo").await[..] else { panic!("one echo") };
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    assert_eq!((&ping["version"], &ping["metadata"]["instance"]), (&json!("1.0.0"), &json!("one")));
    let id = ping["id"].as_str().unwrap();

    let [info] = &told(&format!("$SRV.INFO.echo.{id}")).await[..] else { panic!("one echo") };
    assert_eq!(info["description"], "says it again");
    let groups = (&info["endpoints"][0]["queue_group"], &info["endpoints"][1]["queue_group"]);
    assert_eq!(groups, (&json!("echoes"), &json!(format!("only-{id}"))));

    let [statistics] = &told("$SRV.STATS.echo").await[..] else { panic!("one echo") };
    let (asked, unasked) = (&statistics["endpoints"][0], &statistics["endpoints"][1]);
    assert_eq!((&asked["name"], &asked["subject"]), (&json!("pki-echo-all"), &json!("pki.echo.all")));
    assert_eq!((&asked["num_requests"], &asked["num_errors"]), (&json!(3), &json!(1)), "{statistics}");
    assert_eq!(asked["last_error"], "400:nothing was said");
    let (all, each) = (&asked["processing_time"], &asked["average_processing_time"]);
    assert_eq!(all.as_u64().unwrap() / 3, each.as_u64().unwrap());
    assert_eq!((&unasked["num_requests"], &unasked["last_error"]), (&json!(0), &json!("")));
    assert_eq!((&asked["data"]["lag"], &unasked["data"]["lag"]), (&json!(7), &json!(7)));

    service.stop().await;
    assert_eq!(told("$SRV.PING.echo").await, [] as [Value; 0]);
    other.stop().await;
}

#[tokio::test]
async fn a_service_that_stops_answers_what_it_has_taken_up_and_takes_no_more() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let (taken, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (tell, wait) = (taken.clone(), go.clone());
    let handler = move |call: Call| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok((Vec::new(), call.payload))
        }
    };
    let service = serve(&bus, echo(), &[("pki.echo".into(), Some("echoes"))], handler).await.unwrap();
    let ask = |body: &'static str| bus.ask("pki.echo", const { &Vec::new() }, body.into(), DEADLINE);
    let stopping = async {
        taken.notified().await;
        let stopping = tokio::spawn(service.stop());
        go.notify_one();
        stopping.await.unwrap();
    };
    let (answer, ()) = tokio::join!(ask("early"), stopping);
    assert_eq!(answer.unwrap(), "early");
    let late = ask("late").await;
    assert!(matches!(late, Err(BusError::Absent { .. })), "{late:?}");
}

#[tokio::test]
async fn what_is_at_hand_is_answered_while_no_place_is_free_and_a_panic_there_goes_the_long_way() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let at_hand = |call: &Call| match &call.payload[..] {
        b"known" => Some(Ok((Vec::new(), "at hand".into()))),
        b"panic" => panic!("as the test wants it"),
        _ => None,
    };
    let go = Arc::new(Semaphore::new(0));
    let waiting = go.clone();
    let slowly = move |call: Call| {
        let go = waiting.clone();
        async move {
            go.acquire().await.unwrap().forget();
            Ok((Vec::new(), call.payload))
        }
    };
    let endpoints = [("pki.echo".to_owned(), Some("echoes"))];
    let statistics = || Value::Null;
    let service = serve_with(&bus, echo(), &endpoints, statistics, at_hand, slowly).await.unwrap();
    let ask = |body: &'static str| bus.ask("pki.echo", const { &Vec::new() }, body.into(), DEADLINE);
    // More than there are places for.
    let slow = futures::future::join_all(["panic", "slow", "slower"].map(ask));
    let known = async {
        for _ in 0..3 {
            assert_eq!(ask("known").await.unwrap(), "at hand");
        }
        go.add_permits(3);
    };
    let (slow, ()) = tokio::join!(slow, known);
    assert_eq!(slow.into_iter().map(Result::unwrap).collect::<Vec<_>>(), ["panic", "slow", "slower"]);
    service.stop().await;
}

#[tokio::test]
async fn of_many_questions_at_once_each_is_answered_though_they_are_taken_up_some_at_a_time() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = answered.clone();
    let at_hand = move |call: &Call| {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(Ok((Vec::new(), call.payload.clone())))
    };
    let never = |_: Call| async { Err("not at hand".into()) };
    let endpoints = [("pki.echo".to_owned(), Some("echoes"))];
    let service = serve_with(&bus, echo(), &endpoints, || Value::Null, at_hand, never).await.unwrap();
    for _ in 0..3 {
        let bodies = (0..1_000).map(|n: u32| n.to_be_bytes().to_vec().into());
        let all = bodies.map(|body: Bytes| {
            let bus = &bus;
            async move {
                bus.ask("pki.echo", const { &Vec::new() }, body.clone(), DEADLINE).await.unwrap() == body
            }
        });
        assert!(futures::future::join_all(all).await.into_iter().all(|is_same| is_same));
    }
    assert_eq!(answered.load(Ordering::Relaxed), 3_000);
    service.stop().await;
}

#[tokio::test]
async fn more_questions_than_may_wait_are_refused_as_busy_at_once() {
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    let go = Arc::new(Semaphore::new(0));
    let waiting = go.clone();
    let slowly = move |_| {
        let go = waiting.clone();
        async move {
            go.acquire().await.unwrap().forget();
            Ok((Vec::new(), "done".into()))
        }
    };
    let service = serve(&bus, echo(), &[("pki.echo".into(), Some("echoes"))], slowly).await.unwrap();
    // 72 of 900 KiB make 64 MiB nearly full.
    let (large, refused) = (Bytes::from(vec![0; 900 << 10]), std::cell::Cell::new(0));
    let all = (0..80).map(async |_| match bus.ask("pki.echo", &Vec::new(), large.clone(), DEADLINE).await {
        Ok(answer) => assert_eq!(answer, "done"),
        Err(error) => {
            assert!(
                error.to_string().contains("busy: 4096 questions, or 64 MiB of them, wait already"),
                "{error}"
            );
            refused.set(refused.get() + 1);
            if refused.get() == 8 {
                go.add_permits(72);
            }
        }
    });
    futures::future::join_all(all).await;
    assert_eq!(refused.get(), 8);
    service.stop().await;
}

#[tokio::test]
async fn a_lease_is_held_by_one_and_entries_lapse() {
    let server = NatsServer::bare().await;
    let bus = server.bus("test").await;
    let short = r#"{"name": "KV_short", "subjects": ["$KV.short.>"], "max_msgs_per_subject": 1, "max_age": 5000000000,
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "discard": "new", "duplicate_window": 5000000000}"#;
    bus.apply(&revocast_bus::declare::Declaration::parse("short", short).unwrap()).await.unwrap();
    let bucket = bus.bucket("short").await.unwrap();
    let mut lease = bucket.lease("fetch.x", "one").await.unwrap().unwrap();
    assert!(bucket.lease("fetch.x", "two").await.unwrap().is_none());
    lease.renew("one").await.unwrap();
    lease.release().await;
    let held = bucket.lease("fetch.x", "two").await.unwrap();
    assert!(held.is_some());
    // Never given back: it lapses.
    eventually("the lease lapses", async || bucket.lease("fetch.x", "three").await.unwrap()).await;
    assert!(bucket.entries(">").await.unwrap().len() <= 1);
}

#[tokio::test]
async fn applying_declarations_twice_changes_nothing_and_a_difference_is_told() {
    use revocast_bus::declare::{Applied, Declaration, built_in};
    let server = NatsServer::start().await;
    let bus = server.bus("test").await;
    assert_eq!(bus.check(&built_in()).await.unwrap(), []);
    for declaration in built_in() {
        assert_eq!(bus.apply(&declaration).await.unwrap().0, Applied::Unchanged);
    }
    let smaller =
        Declaration::parse("ASIDE", r#"{"name": "ASIDE", "max_bytes": 1000, "storage": "memory"}"#).unwrap();
    let (applied, differences) = bus.apply(&smaller).await.unwrap();
    assert_eq!((applied, differences.len()), (Applied::Differs, 2));
    let larger =
        Declaration::parse("ASIDE", r#"{"name": "ASIDE", "max_consumers": 2000, "max_bytes": 300000000}"#)
            .unwrap();
    assert_eq!(bus.apply(&larger).await.unwrap().0, Applied::Changed);
    assert_eq!(bus.check(&built_in()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_connection_made_before_the_server_is_up_comes_to_stand_later() {
    let mut server = NatsServer::start().await;
    server.kill();
    let bus = Bus::connect_eventually(&server.bus_config(), "early").await.unwrap();
    assert!(!bus.is_connected());
    let mut follower = Follower::new(&bus, STREAM, ALL, None);
    tokio::time::timeout(Duration::from_millis(200), follower.next()).await.ok();
    server.start_again().await;
    attachment(&mut follower).await;
    assert!(bus.is_connected());
}
