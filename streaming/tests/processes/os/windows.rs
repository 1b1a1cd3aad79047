//! Windows: a client that is made by hand, and taskkill.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const RELAYS_ALWAYS: bool = true;

/// It takes a process, and under Wine that takes long.
pub(crate) const KILL_COST: usize = 3;

pub(crate) fn fetch(url: &str, rate: Option<u64>) -> Vec<u8> {
    let (address, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (began, mut answer, mut piece) = (Instant::now(), Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = socket.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        answer.extend(&piece[..read]);
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(answer.len() as f64 / rate as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(body.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let len = format!("\r\ncontent-length: {}\r\n", body.len());
    assert!(head.contains(&len), "{} bytes of {head}", body.len());
    body
}

pub(crate) fn kill(pid: u32) {
    let mut command = Command::new("taskkill");
    command.args(["/F", "/PID", &pid.to_string()]);
    // It may have ended.
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().expect("taskkill is a part of Windows");
}

pub(crate) fn stop(_: u32) -> bool {
    false
}
