//! Requests and answers.

use crate::common::{Scene, Server};

/// The head and the body of the answer.
fn ask(server: &Server, method: &str, path: &str, fields: &str) -> (String, Vec<u8>) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut answer = server.ask(request.as_bytes());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    (String::from_utf8(answer).unwrap(), body)
}

fn get(server: &Server, fields: &str) -> (String, Vec<u8>) {
    ask(server, "GET", "/data", fields)
}

#[test]
fn files_and_parts_of_them() {
    let scene = Scene::new(1 << 20);
    let mut server = scene.serve(&[]);
    let len = scene.data.len();
    let (head, body) = get(&server, "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Accept-Ranges: bytes\r\n"), "{head}");
    scene.check(&body);
    for (range, part) in [
        ("0-0", 0..1),
        ("1000-1999", 1000..2000),
        ("1048575-", len - 1..len),
        ("5-99999999", 5..len),
        ("-100", len - 100..len),
    ] {
        let (head, body) = get(&server, &format!("Range: bytes={range}\r\n"));
        assert!(
            head.starts_with("HTTP/1.1 206 Partial Content\r\n"),
            "{head}"
        );
        let says = format!(
            "Content-Range: bytes {}-{}/{len}\r\n",
            part.start,
            part.end - 1
        );
        assert!(head.contains(&says), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", part.len())));
        assert!(body == scene.data[part], "{range}");
    }
    let (head, _) = get(&server, "Range: bytes=1048576-\r\n");
    assert!(head.starts_with("HTTP/1.1 416 "), "{head}");
    assert!(
        head.contains("Content-Range: bytes */1048576\r\n"),
        "{head}"
    );
    let (head, body) = get(&server, "Range: bytes=0-1,5-6\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.len() == len);
    server.is_well();
}

#[test]
fn a_part_of_another_file_is_not_sent() {
    let scene = Scene::new(1000);
    let server = scene.serve(&[]);
    let tag_of = |head: &str| {
        let (_, rest) = head.split_once("ETag: ").unwrap();
        rest.split("\r\n").next().unwrap().to_owned()
    };
    let tag = tag_of(&get(&server, "").0);
    let fields = format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n");
    assert_eq!(get(&server, &fields).1, scene.data[1..3]);
    std::fs::write(scene.home.path().join("data"), vec![0; 2000]).unwrap();
    assert_eq!(get(&server, &fields).1, vec![0; 2000]);
}

#[test]
fn heads_and_what_is_not_there() {
    let scene = Scene::new(1000);
    let mut server = scene.serve(&[]);
    std::fs::create_dir(scene.home.path().join("directory")).unwrap();
    std::fs::write(scene.home.path().join("empty"), "").unwrap();
    let (head, body) = ask(&server, "HEAD", "/data", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 1000\r\n"));
    assert!(body.is_empty());
    let (head, body) = ask(&server, "HEAD", "/nothing", "");
    assert!(head.starts_with("HTTP/1.1 404 ") && body.is_empty());
    let (head, body) = ask(&server, "GET", "/empty", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    for path in [
        "/",
        "/directory",
        "/nothing",
        "/../data/../data",
        "/%2e%2e/etc/passwd",
        "/data/",
        "//",
    ] {
        let (head, body) = ask(&server, "GET", path, "");
        assert!(
            head.starts_with("HTTP/1.1 404 ") && !body.is_empty(),
            "{path}: {head}"
        );
    }
    let (head, _) = ask(&server, "POST", "/data", "Content-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("Allow: GET, HEAD\r\n"));
    server.is_well();
}
