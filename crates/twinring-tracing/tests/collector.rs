//! What a collector gets, that is made by hand here. Real ones, and their ends, are in the tests of `twinring-cli`.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing_subscriber::prelude::*;
use twinring::testing::unique_name;
use twinring::{Connection, Link};
use twinring_tracing::{Log, MAX_RECORD};

const LONG: Duration = Duration::from_secs(60);

fn with(log: &Log, f: impl FnOnce()) {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log.layer()), f);
}

fn host(name: &str) -> Link {
    Link::host(name).ring_capacity(64 << 10).open().unwrap()
}

fn meet(host: &Link) -> Connection {
    host.within(LONG).next().unwrap().within(LONG)
}

fn next(conn: &Connection) -> Value {
    serde_json::from_slice(&conn.recv().unwrap().unwrap()).unwrap()
}

#[test]
fn events_and_spans() {
    let name = unique_name();
    let log = Log::builder(&name).process("a test").open().unwrap();
    with(&log, || {
        let outer = tracing::info_span!("outer", a = 1, late = tracing::field::Empty);
        outer.record("late", "now");
        let _outer = outer.enter();
        let _inner = tracing::debug_span!("inner").entered();
        tracing::warn!(target: "here", i = -1i64, u = u64::MAX, f = 0.5, nan = f64::NAN, t = true, s = "\"\n", d = ?[1], "hello {}", 1);
    });
    let host = host(&name);
    let record = next(&meet(&host));
    assert_eq!(record["number"], 1);
    assert_eq!(record["level"], "WARN");
    assert_eq!(record["target"], "here");
    assert_eq!(record["process"], "a test");
    assert_eq!(record["pid"], std::process::id());
    assert_eq!(record["thread"], "events_and_spans");
    assert_eq!(record["message"], "hello 1");
    let fields = serde_json::json!({"i": -1, "u": u64::MAX, "f": 0.5, "nan": "NaN", "t": true, "s": "\"\n", "d": "[1]"});
    assert_eq!(record["fields"], fields);
    let spans = serde_json::json!([{"name": "outer", "a": 1, "late": "now"}, {"name": "inner"}]);
    assert_eq!(record["spans"], spans);
    assert!(humantime::parse_rfc3339(record["time"].as_str().unwrap()).is_ok());
}

#[test]
fn a_span_is_recorded_again_and_again() {
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    with(&log, || {
        let span = tracing::info_span!("copy", name = "a file", done = 0);
        for done in 0..5000 {
            span.record("done", done);
        }
        span.in_scope(|| tracing::info!("so far"));
    });
    let host = host(&name);
    let record = next(&meet(&host));
    let spans = serde_json::json!([{"name": "copy", "field.name": "a file", "done": 4999}]);
    assert_eq!(record["spans"], spans);
    assert_eq!(record["cut"], Value::Null);
}

/// What is too long is cut, and the rest is there.
#[test]
fn what_has_no_room_is_cut() {
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    let long = "x".repeat(100_000);
    with(&log, || {
        let span = tracing::info_span!("request", id = 7, body = "short", other = 8);
        let _span = span.enter();
        tracing::info!(user = "alice", "{long}");
        tracing::info!(first = 1, long, user = "alice", "a message");
        span.record("body", &*long);
        tracing::info!(user = "alice", "in a long span");
        let _inner: Vec<_> = (0..100)
            .map(|i| tracing::info_span!("inner", i, long).entered())
            .collect();
        tracing::info!(long, "{long}");
        span.record("body", "short again");
        drop(_inner);
        tracing::info!("after that");
    });
    let host = host(&name);
    let conn = meet(&host);
    let record = || {
        let bytes = conn.recv().unwrap().unwrap();
        assert!(bytes.len() <= MAX_RECORD, "{}", bytes.len());
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        (record.clone(), move |pointer: &str| {
            let text = record.pointer(pointer).and_then(Value::as_str);
            text.map_or(0, str::len)
        })
    };
    let short = serde_json::json!([{"name": "request", "id": 7, "body": "short", "other": 8}]);

    let (of_message, len) = record();
    assert_eq!(
        (&of_message["fields"]["user"], &of_message["spans"]),
        (&"alice".into(), &short)
    );
    assert!(of_message["cut"] == true && len("/message") > 11_000);

    let (of_field, len) = record();
    assert_eq!(
        (&of_field["message"], &of_field["spans"]),
        (&"a message".into(), &short)
    );
    assert_eq!(of_field["fields"]["first"], 1);
    assert!(of_field["cut"] == true && len("/fields/long") > 5_000);

    let (of_span, len) = record();
    assert_eq!(of_span["fields"]["user"], "alice");
    let span = &of_span["spans"][0];
    assert_eq!((&span["id"], &span["other"]), (&7.into(), &8.into()));
    assert!(of_span["cut"] == true && len("/spans/0/body") > 1_500);

    let (of_all, len) = record();
    assert!(of_all["cut"] == true && len("/message") > 3_000 && len("/fields/long") > 5_000);
    assert_eq!(of_all["spans"][0]["id"], 7);
    assert_eq!(of_all["spans"][1]["i"], 0);

    // What has been cut once is no mark for ever.
    let (after, _) = record();
    assert_eq!(after["spans"][0]["body"], "short again");
    assert_eq!(after["cut"], Value::Null);
}

/// By `LogTracer`, which makes events of records: they look as if they were `tracing`'s.
#[test]
fn the_crate_log_through_tracing() {
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    with(&log, || {
        let record = log::Record::builder()
            .level(log::Level::Error)
            .target("there")
            .module_path(Some("module"))
            .file(Some("file.rs"))
            .line(Some(7))
            .args(format_args!("from log"))
            .build();
        log::Log::log(&tracing_log::LogTracer::new(), &record);
        // Somebody's own.
        tracing::info!(log.file = "mine", log.line = 3u64, "not from log");
    });
    let host = host(&name);
    let conn = meet(&host);
    let got = next(&conn);
    assert_eq!(
        (
            &got["level"],
            &got["target"],
            &got["message"],
            &got["fields"]
        ),
        (
            &"ERROR".into(),
            &"there".into(),
            &"from log".into(),
            &Value::Null
        )
    );
    let own = next(&conn);
    assert_eq!(
        own["fields"],
        serde_json::json!({"log.file": "mine", "log.line": 3})
    );
}

#[test]
fn the_crate_log() {
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    let record = log::Record::builder()
        .level(log::Level::Error)
        .target("there")
        .args(format_args!("from log"))
        .build();
    log::Log::log(&log.logger(), &record);
    let host = host(&name);
    let got = next(&meet(&host));
    assert_eq!(
        (&got["level"], &got["target"], &got["message"]),
        (&"ERROR".into(), &"there".into(), &"from log".into())
    );
}

/// What one collector has not taken is the next one's, before what is newer.
#[test]
fn from_one_collector_to_the_next() {
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    let say =
        |numbers: std::ops::Range<u32>| with(&log, || numbers.for_each(|i| tracing::info!(i, "x")));
    say(0..10);
    let mut expected = 1;
    for round in 0..20 {
        let host = host(&name);
        let conn = meet(&host);
        say(0..10);
        // Some of it is taken, some is received only, and some is not.
        for _ in 0..7 {
            assert_eq!(next(&conn)["number"], expected);
            expected += 1;
        }
        let mut batch = conn.recv_batch().unwrap().unwrap();
        let first: Value = serde_json::from_slice(batch.next_message().unwrap()).unwrap();
        assert_eq!(first["number"], expected, "in round {round}");
        drop(batch);
    }
    let host = host(&name);
    let conn = meet(&host);
    for number in expected..=210 {
        assert_eq!(next(&conn)["number"], number);
    }
    assert!(log.flush(LONG));
}

/// No call waits for longer than is said, and nothing is too long.
#[test]
fn a_collector_that_does_not_read() {
    let name = unique_name();
    let host = host(&name);
    for wait in [Duration::ZERO, Duration::from_millis(5)] {
        let log = Log::builder(&name)
            .buffer(200_000)
            .wait(wait)
            .linger(Duration::ZERO)
            .open()
            .unwrap();
        let conn = meet(&host);
        let begin = Instant::now();
        with(&log, || {
            (0..100).for_each(|_| tracing::info!("{}", "x".repeat(100_000)))
        });
        let took = begin.elapsed();
        assert!(
            log.dropped() > 50 && took < Duration::from_secs(30),
            "{took:?}"
        );
        assert!(took >= wait * 50);
        assert!(!log.flush(Duration::from_millis(10)));
        let (mut records, mut dropped) = (0, 0);
        while records + dropped < 100 {
            let bytes = conn.recv().unwrap().unwrap();
            assert!(bytes.len() <= MAX_RECORD);
            let record: Value = serde_json::from_slice(&bytes).unwrap();
            match record["dropped"].as_u64() {
                Some(count) => dropped += count,
                None => records += 1,
            }
            assert_eq!(record["number"], records + dropped);
        }
        assert_eq!(dropped, log.dropped());
    }
}

/// A value that logs while it is shown, or fails to be.
#[test]
fn values_that_are_strange() {
    struct Logs;
    impl fmt::Display for Logs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inner");
            f.write_str("outer")
        }
    }
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    let name = unique_name();
    let log = Log::open(&name).unwrap();
    with(&log, || {
        tracing::info!("{}", Logs);
        tracing::info!(value = %Fails, "fails");
    });
    let host = host(&name);
    let conn = meet(&host);
    // `tracing` itself keeps "inner" from a subscriber that is being called.
    assert_eq!(next(&conn)["message"], "outer");
    let record = next(&conn);
    assert_eq!(
        (&record["message"], &record["cut"]),
        (&"fails".into(), &true.into())
    );
}

/// A log that is closed, and one whose program ends without a collector, hold nobody up.
#[test]
fn ends() {
    let log = Log::open(&unique_name()).unwrap();
    let layer = log.layer();
    with(&log, || tracing::info!("nobody hears it"));
    let begin = Instant::now();
    drop(log);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(Log::open(&unique_name()).unwrap().flush(Duration::MAX));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!("after the end");
    });
}
