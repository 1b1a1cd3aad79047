//! Clients that keep to no rule, beside a good one.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use twinring::{Link, Timeout};

use crate::application::start;
use crate::common::{Place, Running, until};
use crate::records::Records;
use crate::{collector, stop};

const EVIL: [&str; 7] = [
    "garbage", "huge", "escapes", "numbers", "floods", "stalls", "dies",
];

fn record(number: u64, message: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "client": "0000000000000001", "number": number, "time": "2026-11-28T12:00:00Z", "level": "ERROR",
        "target": "evil", "process": message, "pid": 1, "message": message,
    }))
    .unwrap()
}

const ESCAPES: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\r\u{202e}evil\nsecond line";

/// What the child does.
pub(crate) fn act(how: &str, name: &str) {
    let link = Link::guest(name).open().unwrap();
    let conn = link.within(Duration::from_secs(30)).next().unwrap();
    match how {
        "garbage" => {
            for i in 0..500u32 {
                let noise: Vec<u8> = (0..i).map(|at| (at * 31 + i) as u8).collect();
                let _ = conn.send(&noise);
            }
            let _ = conn.send("[".repeat(60_000).as_bytes());
            let _ = conn.send(b"");
        }
        "huge" => {
            assert!(conn.send(&vec![b'x'; 1 << 20]).is_err());
            let mut stream = conn.send_stream().unwrap();
            for _ in 0..1000 {
                if stream.write_all(&[b'x'; 10_000]).is_err() {
                    break;
                }
            }
            let _ = conn.send(&record(1, "after huge ones"));
        }
        "escapes" => {
            conn.send(&record(1, ESCAPES)).unwrap();
            conn.send(ESCAPES.as_bytes()).unwrap();
        }
        "numbers" => {
            for number in [5, u64::MAX, 0, 5, 1, u64::MAX - 1, u64::MAX] {
                conn.send(&record(number, &format!("number {number}")))
                    .unwrap();
            }
        }
        "floods" => {
            let begin = Instant::now();
            let conn = conn.within(Duration::from_millis(100));
            while begin.elapsed() < Duration::from_secs(2) {
                let _ = conn.send(b"a flood");
            }
        }
        "stalls" => {
            let mut stream = conn.send_stream().unwrap();
            let _ = stream.write_all(b"the beginning of a record");
            eprintln!("done");
            thread::sleep(Duration::from_secs(100));
        }
        "dies" => loop {
            let _ = conn.within(Timeout::Now).send(b"a short life");
        },
        other => panic!("{other}"),
    }
    let _ = conn.within(Duration::from_secs(30)).flush();
    eprintln!("done");
}

#[test]
fn one_client_s_misdeed_harms_no_other() {
    for args in [&["-o", "out"][..], &["--color", "always"]] {
        let place = Place::new();
        let collector = collector(&place, args);
        let count = if cfg!(windows) { 100 } else { 500 };
        let good = start(&place, &format!("good {count}"));
        let mut evil: Vec<Running> = EVIL
            .iter()
            .map(|how| start(&place, &format!("evil {how}")))
            .collect();
        good.wait().code(0).says("dropped 0");
        evil.pop().map(Running::killed);
        evil.iter().for_each(|one| one.says("done"));
        if args[0] == "-o" {
            until("it is written", || {
                Records::read(&place).with_message("number 5") == 1
            });
            let records = Records::read(&place);
            assert_eq!(records.with_message("a good record"), count);
            assert_eq!(records.with_message(ESCAPES), 2);
            // Numbers only grow.
            assert_eq!(records.with_message("number 5"), 1);
            assert_eq!(records.with_message(&format!("number {}", u64::MAX)), 1);
            assert_eq!(records.with_message("after huge ones"), 1);
            let text = records.text();
            assert!(
                !text.contains("\"client\":\"0000000000000001\""),
                "a lie is believed"
            );
            assert!(
                !text
                    .chars()
                    .any(|c| c != '\n' && c.is_control() || c == '\u{202e}')
            );
            stop(collector);
        } else {
            collector.shows("number 18446744073709551615");
            collector.shows(r"\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\u{202e}evil\nsecond line");
            let text = collector.killed().text();
            // The only sequences are our colours.
            for (at, _) in text.match_indices('\x1b') {
                let rest =
                    text[at + 1..].trim_start_matches(|c: char| c == '[' || c.is_ascii_digit());
                assert!(rest.starts_with('m'), "{:?}", &text[at..at + 10]);
            }
            assert!(
                !text
                    .chars()
                    .any(|c| c.is_control() && !"\x1b\n".contains(c))
            );
            assert_eq!(text.matches("a good record").count() as u64, count);
        }
    }
}
