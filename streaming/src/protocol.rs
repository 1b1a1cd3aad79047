//! What the server and its workers say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::response::Response;
use crate::stream::Outcome;

/// The most handles that come with an order: the file, and the socket.
pub(crate) const ORDER_HANDLES: u32 = 2;
/// How long a chunk is at most.
pub(crate) const CHUNK: usize = 128 << 10;
/// How far a worker that sends chunks may be ahead of what the server has written.
pub(crate) const WINDOW: u64 = 4 * CHUNK as u64;
/// What an encoded `Report` has at most, beside a chunk's bytes.
pub(crate) const REPORT_LEN: usize = 32;

/// The server to a worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Comes with the file and the client's socket: write to that.
    Write {
        job: u64,
        response: Response,
        position: u64,
        /// How long the client may take nothing.
        stall: Duration,
    },
    /// Comes with the file: send chunks, as long as they begin before `until`.
    Read {
        job: u64,
        response: Response,
        position: u64,
        until: u64,
    },
    /// Go on with that.
    More { job: u64, until: u64 },
}

/// A worker to the server.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    Ended {
        job: u64,
        outcome: Outcome,
    },
    /// The bytes from this position on follow in the same message.
    Chunk {
        job: u64,
        position: u64,
    },
}

/// What a worker says by its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) job: u64,
    pub(crate) position: u64,
}

/// As bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data always has a form")
}

/// The value, and what follows it; `None` if it is none.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longest_fits() {
        let (job, position) = (u64::MAX, u64::MAX);
        let progress = encode(&Progress { job, position });
        assert!(progress.len() <= twinring::MAX_CHECKPOINT_LEN);
        assert!(encode(&Report::Chunk { job, position }).len() <= REPORT_LEN);
    }

    #[test]
    fn what_follows_is_kept() {
        let report = Report::Chunk {
            job: 1,
            position: 300,
        };
        let mut message = encode(&report);
        message.extend(b"rest");
        assert_eq!(decode(&message), Some((report, &b"rest"[..])));
        assert_eq!(decode::<Order>(b"\xffnonsense"), None);
    }
}
