//! The head of an answer, and answers without a file.

use std::fmt::Write;
use std::ops::Range;
use std::time::SystemTime;

use super::range::Part;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TimedOut,
    RangeNotSatisfiable,
    HeadTooLarge,
    Overloaded,
    VersionNotSupported,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::TimedOut => "408 Request Timeout",
            Status::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Overloaded => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validator {
    pub(crate) len: u64,
    pub(crate) changed: Option<SystemTime>,
}

impl Validator {
    /// By length and time of change.
    pub(crate) fn tag(&self) -> String {
        let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok();
        let nanos = self.changed.and_then(since).map_or(0, |at| at.as_nanos());
        format!("\"{:x}-{nanos:x}\"", self.len)
    }
}

fn begin(status: &str) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    // One answer for each connection: the worker that writes it has no more to do with it.
    format!("HTTP/1.1 {status}\r\nDate: {date}\r\nConnection: close\r\n")
}

/// An answer that has its status as the body; `len` is that of the file of which there is no such part.
pub(crate) fn plain(status: Status, len: Option<u64>) -> Vec<u8> {
    let mut answer = begin(status.text());
    if status == Status::MethodNotAllowed {
        answer.push_str("Allow: GET, HEAD\r\n");
    }
    if let Some(len) = len {
        let _ = write!(answer, "Content-Range: bytes */{len}\r\n");
    }
    let body = format!("{}\n", status.text());
    let _ = write!(
        answer,
        "Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    answer.into_bytes()
}

/// The same for HEAD.
pub(crate) fn without_body(mut answer: Vec<u8>) -> Vec<u8> {
    const END: &[u8] = b"\r\n\r\n";
    if let Some(at) = answer.windows(END.len()).position(|four| four == END) {
        answer.truncate(at + END.len());
    }
    answer
}

/// The head of an answer with this part of a file, and the range of it.
pub(crate) fn file_head(file: &Validator, part: Part) -> Option<(Vec<u8>, Range<u64>)> {
    let (status, range, of) = match part {
        Part::None => return None,
        Part::All => ("200 OK", 0..file.len, String::new()),
        Part::Of(range) => {
            let (last, len) = (range.end - 1, file.len);
            let of = format!("Content-Range: bytes {}-{last}/{len}\r\n", range.start);
            ("206 Partial Content", range, of)
        }
    };
    let mut head = begin(status) + &of;
    if let Some(changed) = file.changed {
        let changed = httpdate::fmt_http_date(changed.max(SystemTime::UNIX_EPOCH));
        let _ = write!(head, "Last-Modified: {changed}\r\n");
    }
    let (tag, len) = (file.tag(), range.end - range.start);
    let _ = write!(
        head,
        "Accept-Ranges: bytes\r\nETag: {tag}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
    );
    Some((head.into_bytes(), range))
}
