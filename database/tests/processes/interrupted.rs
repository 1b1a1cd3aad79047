//! Either side is killed, stopped, cancelled, and comes back.

use std::thread;
use std::time::Duration;

use database::client::{Error, Event};
use database::summary::Summary;

use crate::common::{LIMIT, Program, Scene, amount};

/// Rows of the sample, and how often each comes: some megabytes more than a ring has room for.
const ROWS: u64 = 20_000;
const TIMES: u64 = 10;
const LONG: &str = "SELECT m.* FROM measurements m, (SELECT id FROM measurements LIMIT 10)";
/// Longer than anybody waits, and without a row before its end.
const ENDLESS: &str = "SELECT count(*) FROM measurements a, measurements b, measurements c";

fn seed() -> u64 {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    seed
}

/// In this process, so that the provider is killed within the result for sure: it is ahead by a ring at most.
#[test]
fn a_provider_that_is_killed_often_gives_the_same_result() {
    let scene = Scene::new(ROWS);
    let mut random = fastrand::Rng::with_seed(seed());
    let run = |mut kills: Vec<u64>| {
        let mut provider = Some(scene.provider(&[]));
        let (mut summary, mut batches, mut killed, mut lost) = (None, 0, 0, 0);
        let query = scene.query(16 * 1024);
        let finished = query.run(LONG, |event| match event {
            Event::Batch(batch, schema) => {
                assert!(batch.is_in_place());
                summary
                    .get_or_insert_with(|| Summary::new(schema))
                    .add(&batch.batch);
                batches += 1;
                if kills.last() == Some(&batches) {
                    kills.pop();
                    // What was sent before a kill arrives, and the next kill may be due among that.
                    if let Some(provider) = provider.take() {
                        provider.kill();
                        killed += 1;
                    }
                }
            }
            Event::Lost(_) => {
                lost += 1;
                provider = Some(scene.provider(&[]));
            }
            Event::Connected(_) | Event::Progress(_) => {}
        });
        assert_eq!(lost, killed);
        (finished.unwrap(), summary.unwrap(), killed)
    };
    let (whole, expected, _) = run(Vec::new());
    assert_eq!(whole.rows, ROWS * TIMES);
    let sum = scene
        .open()
        .query_row("SELECT sum(value) * 10 FROM measurements", [], |row| {
            row.get::<_, f64>(0)
        });
    let database::summary::Values::Real { sum: found, .. } = expected.columns[3].values else {
        panic!("{expected:?}")
    };
    assert_eq!(Ok(found), sum);

    // Up to here the provider cannot be done.
    let most = whole.batches - 200;
    let mut kills: Vec<_> = (0..amount(4, 40)).map(|_| random.u64(1..most)).collect();
    kills.sort_unstable_by(|a, b| b.cmp(a));
    kills.dedup();
    let (finished, summary, killed) = run(kills);
    assert_eq!((finished, summary), (whole, expected));
    assert!(killed > 0);
}

#[test]
fn the_tool_waits_for_a_provider_that_is_killed_at_any_moment() {
    let scene = Scene::new(ROWS);
    let mut random = fastrand::Rng::with_seed(seed());
    let first = scene.provider(&[]);
    let expected = scene.tool(LONG, &[]).wait().report();
    let mut provider = first;
    for _ in 0..amount(3, 50) {
        let tool = scene.tool(LONG, &["--batch", "262144"]);
        provider.line("asked");
        thread::sleep(Duration::from_millis(random.u64(0..100)));
        provider.kill();
        provider = scene.provider(&[]);
        let report = tool.wait().report();
        for of in ["rows", "batches", "digest", "columns"] {
            assert_eq!(report[of], expected[of], "{report}");
        }
    }
}

#[test]
fn a_tool_that_is_killed_leaves_nothing_behind() {
    let scene = Scene::new(ROWS);
    let provider = scene.provider(&[]);
    let mut random = fastrand::Rng::with_seed(seed());
    let held = |provider: &Program| {
        let count = |what| {
            std::fs::read_dir(format!("/proc/{}/{what}", provider.id()))
                .ok()
                .map(Iterator::count)
        };
        (count("fd"), count("task"))
    };
    let mut before = None;
    for i in 0..amount(6, 100) {
        let tool = scene.tool([LONG, ENDLESS][i as usize % 2], &[]);
        provider.line("asked");
        thread::sleep(Duration::from_millis(random.u64(0..30)));
        // It may have its result by now.
        tool.kill();
        let report = scene
            .tool("SELECT sum(id) AS s FROM measurements", &[])
            .wait()
            .report();
        assert_eq!(
            report["columns"][0]["values"]["sum"],
            (ROWS * (ROWS + 1) / 2).to_string()
        );
        provider.line("finished");
        before = before.or(Some(held(&provider)));
    }
    // Its threads and files are there for a moment longer than its connection.
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let (before, now) = (before.unwrap(), held(&provider));
        if now <= before {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{before:?}, {now:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cancelled_query_stops_at_once() {
    let scene = Scene::new(ROWS);
    let provider = scene.provider(&[]);
    let mut tool = scene.tool(ENDLESS, &["--until-end-of-input"]);
    provider.line("asked");
    drop(tool.input.take());
    tool.wait().failed(130, "cancelled");
    provider.line("stopped after 0 rows: the peer closed the connection, code 1: cancelled");

    // While it waits for a provider.
    drop(provider);
    let mut tool = scene.tool(ENDLESS, &["--until-end-of-input"]);
    drop(tool.input.take());
    tool.wait().failed(130, "cancelled");
}

#[cfg(unix)]
#[test]
fn signals_cancel_a_query_and_stop_a_provider() {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = |to: &Program, signal| {
        kill_process(Pid::from_raw(to.id() as i32).unwrap(), signal).unwrap()
    };

    let scene = Scene::new(ROWS);
    let provider = scene.provider(&[]);
    let tool = scene.tool(ENDLESS, &[]);
    provider.line("asked");
    signal(&tool, Signal::INT);
    tool.wait().failed(130, "cancelled");
    provider.line("stopped after 0 rows: the peer closed the connection, code 1: cancelled");

    // A tool waits for the next provider, as after a kill.
    let tool = scene.tool(ENDLESS, &[]);
    provider.line("asked");
    signal(&provider, Signal::TERM);
    tool.line("waiting for the provider");
    let ended = provider.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let provider = scene.provider(&[]);
    provider.line("asked");
    drop(tool);
    provider.line("stopped after 0 rows");
}

#[test]
fn a_provider_that_always_goes_is_given_up() {
    let scene = Scene::empty();
    let host = twinring::Link::host(&scene.name).listen().unwrap();
    let tool = scene.tool("SELECT 1", &["--attempts", "2"]);
    // Without a word, as if by a panic.
    for _ in 0..3 {
        drop(host.within(LIMIT).accept().unwrap());
    }
    tool.wait().failed(5, "the provider was lost too often");
}

#[test]
fn a_provider_that_says_nothing_is_given_up() {
    let scene = Scene::empty();
    let host = twinring::Link::host(&scene.name).listen().unwrap();
    let tool = scene.tool("SELECT 1", &["--silence", "0.3"]);
    let conn = host.within(LIMIT).accept().unwrap();
    tool.wait()
        .failed(5, "the provider has said nothing for too long");
    conn.recv().unwrap().unwrap();
    let end = conn.recv().unwrap_err();
    assert!(
        end.to_string().contains("nothing came for too long"),
        "{end}"
    );
}

#[test]
fn a_long_step_is_not_silence() {
    let scene = Scene::new(ROWS);
    let provider = scene.provider(&[]);
    let query = scene.query(1024);
    let canceller = query.canceller();
    let mut heard = 0;
    let result = query.run(ENDLESS, |event| {
        if let Event::Progress(rows) = event {
            assert_eq!(rows, 0);
            heard += 1;
            if heard == 2 {
                canceller.cancel();
            }
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    provider.line("stopped after 0 rows: the peer closed the connection, code 1: cancelled");
}
