//! Peers that keep to no protocol: nothing but their own conversation ends.

use database::protocol::{self, Header, Kind, MAX_REQUEST, Start};
use serde_json::json;
use twinring::{Connection, ErrorKind, Link, Listener};

use crate::common::{LIMIT, Scene};

/// One that was answered, and has ended: the messages, and the end.
fn ask(scene: &Scene, say: impl Fn(&Connection)) -> (Vec<Vec<u8>>, String) {
    let link = Link::guest(&scene.name).one_connection().open().unwrap();
    let conn = link.within(LIMIT).next().unwrap().within(LIMIT);
    say(&conn);
    let mut messages = Vec::new();
    loop {
        match conn.recv() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => {
                let _ = conn.finish();
                return (messages, "finished".to_owned());
            }
            Err(e) => return (messages, e.to_string()),
        }
    }
}

#[test]
fn what_is_no_request_is_answered_and_harms_nobody() {
    let scene = Scene::new(1000);
    let provider = scene.provider(&[]);
    let good = json!({"protocol": 1, "sql": "SELECT * FROM measurements", "batch_bytes": 4096, "resume": null});
    let with = |name: &str, value| {
        let mut request = good.clone();
        request[name] = value;
        request.to_string().into_bytes()
    };
    let deep = "[".repeat(50_000);
    for (request, said) in [
        (Vec::new(), "not a request"),
        (b"\0\xff\0".to_vec(), "not a request"),
        (deep.clone().into_bytes(), "not a request"),
        (br#"{"protocol":1}"#.to_vec(), "not a request"),
        (with("protocol", json!(2)), "protocol 2, where 1 is spoken"),
        (with("sql", json!(7)), "not a request"),
        (with("more", json!(7)), "not a request"),
        (with("batch_bytes", json!(0)), "batches of 0 bytes"),
        (
            with("batch_bytes", json!(1u64 << 40)),
            "batches of 1099511627776 bytes",
        ),
        (with("batch_bytes", json!(-1)), "not a request"),
        (
            with("sql", json!(format!("SELECT {}1", "(".repeat(20_000)))),
            "Sql",
        ),
        (
            with("sql", json!("SELECT 1\0DROP TABLE measurements")),
            "a NUL in the SQL",
        ),
        (
            with(
                "resume",
                json!({"version": "x", "batches": 1, "digest": "y"}),
            ),
            "Changed",
        ),
        (
            with(
                "resume",
                json!({"version": "x", "batches": -1, "digest": "y"}),
            ),
            "not a request",
        ),
    ] {
        let (messages, end) = ask(&scene, |conn| conn.send(&request).unwrap());
        let last = String::from_utf8_lossy(messages.last().unwrap());
        assert!(
            last.contains(said) && end == "finished",
            "{said:?}: {last}, {end}"
        );
        assert_eq!(messages.last().unwrap()[0], Kind::Failure as u8);
    }
    let too_long = vec![b' '; MAX_REQUEST + 1];
    ask(&scene, |conn| {
        assert_eq!(
            conn.send(&too_long).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        conn.close(0, "");
    });
    // It may be streamed instead.
    let (_, end) = ask(&scene, |conn| {
        let mut stream = conn.send_stream().unwrap();
        let written = std::io::Write::write_all(&mut stream, &vec![b' '; 8 << 20]);
        assert!(written.is_err() || stream.finish().is_err());
        conn.close(0, "");
    });
    assert!(end.contains("closed"), "{end}");

    // It says more than it should, or too little.
    let endless = "SELECT a.* FROM measurements a, measurements b, measurements c";
    let endless = with("sql", json!(endless));
    let (_, end) = ask(&scene, |conn| {
        conn.send(&endless).unwrap();
        for _ in 0..10_000 {
            if conn.send(&endless).is_err() {
                break;
            }
        }
    });
    assert!(end.contains("code 4: more than one message"), "{end}");
    let (_, end) = ask(&scene, |conn| conn.finish().unwrap());
    assert!(end.contains("nothing was asked"), "{end}");
    let (_, end) = ask(&scene, |conn| {
        conn.send(&endless).unwrap();
        conn.stop(1, "enough");
    });
    assert!(end.contains("enough"), "{end}");
    provider.line("stopped after");
    let (_, end) = ask(&scene, |conn| {
        conn.send(&endless).unwrap();
        conn.finish().unwrap();
    });
    assert!(
        end.contains("code 4: finished, or stopped, before the end"),
        "{end}"
    );
    provider.line("stopped after");
    for _ in 0..50 {
        drop(Link::guest(&scene.name).open().unwrap());
    }
    let report = scene
        .tool("SELECT id FROM measurements", &[])
        .wait()
        .report();
    assert_eq!(report["rows"], 1000);
}

/// A provider that says this, and then nothing. How the tool ended.
fn provide(scene: &Scene, host: &Listener, messages: &[Vec<u8>], said: &str) {
    let tool = scene.tool("SELECT 1", &[]);
    let conn = host.within(LIMIT).accept().unwrap();
    conn.recv().unwrap().unwrap();
    for message in messages {
        if conn.send(message).is_err() {
            break;
        }
    }
    let _ = conn.finish();
    tool.wait().failed(7, said);
}

fn message(kind: u8, len: u64, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; Header::LEN];
    message[0] = kind;
    message[8..].copy_from_slice(&len.to_le_bytes());
    message.extend_from_slice(body);
    message
}

#[test]
fn a_provider_that_makes_no_sense_is_told_so() {
    let scene = Scene::empty();
    let host = Link::host(&scene.name).listen().unwrap();
    let start = protocol::encode(&Start { version: None });
    let start = message(Kind::Start as u8, start.len() as u64, &start);
    let whole = crate::messages::stream();
    for (messages, said) in [
        (vec![], "finished before the end"),
        (vec![vec![]], "shorter"),
        (vec![vec![1; 15]], "shorter"),
        (vec![message(0, 0, b"")], "no kind"),
        (vec![message(7, 0, b"")], "no kind"),
        (vec![message(1, 5, b"{")], "shorter"),
        (vec![message(1, 0, b"{")], "longer"),
        (vec![message(1, 1, b"{")], "EOF"),
        (vec![message(1, 1 << 20, b"")], "may have 16384"),
        (vec![message(3, u64::MAX, b"")], "may have 16777216"),
        (vec![whole[0].clone()], "not due"),
        (vec![start.clone(), whole[1].clone()], "not due"),
        (vec![start.clone(), start.clone()], "not due"),
        (
            vec![start.clone(), whole[0].clone(), whole[0].clone()],
            "not due",
        ),
        (vec![start.clone(), message(2, 0, b"")], "shorter"),
        (vec![start.clone(), message(2, 64, &[0xff; 64])], "shorter"),
        (vec![start.clone(), message(2, 64, &[0; 64])], "no message"),
        (
            vec![start.clone(), whole[0].clone(), message(3, 0, b"")],
            "shorter",
        ),
        (
            vec![start.clone(), whole[0].clone(), whole[1].clone()],
            "finished before the end",
        ),
        (
            vec![
                start.clone(),
                whole[0].clone(),
                whole[1].clone(),
                finished(1),
            ],
            "what it says that it sent",
        ),
    ] {
        provide(&scene, &host, &messages, said);
    }
}

fn finished(rows: u64) -> Vec<u8> {
    let body = json!({"rows": rows, "batches": 1, "digest": "0"}).to_string();
    message(Kind::Finished as u8, body.len() as u64, body.as_bytes())
}
