//! The part of HTTP/1.1 that a file server needs: GET, HEAD, and one range.

mod answer;
mod range;
mod request;

pub(crate) use answer::{Status, Validator, file_head, plain, without_body};
pub(crate) use range::{Part, part};
pub(crate) use request::{MAX_HEAD, Method, Request, parse};
