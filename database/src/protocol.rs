//! What provider and tool say to each other.
//!
//! A connection is one query. The tool sends one message, a [`Request`] as JSON. The provider answers with messages that each
//! begin with a [`Header`]: [`Start`], then the schema, then a message for each batch, [`Progress`] whenever it has said
//! nothing for a second, and at last [`Finished`] or a [`Failure`]. Then both finish. The tool says nothing more before that:
//! if it closes the connection or goes, the query is interrupted.
//!
//! The schema is a message of Arrow's IPC stream format, followed by an empty batch; each batch is one such message. The
//! others are JSON.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Of this protocol. A provider refuses other ones.
pub const VERSION: u32 = 1;

/// The longest request in bytes, JSON and all.
pub const MAX_REQUEST: usize = 64 * 1024;
/// The longest message of JSON from the provider, in bytes.
pub const MAX_JSON: usize = 16 * 1024;
/// The longest schema or batch, in bytes: [`MAX_BATCH`], one more row, and what Arrow puts around it.
pub const MAX_BODY: usize = 16 * 1024 * 1024;
/// The longest text or blob of a row, in bytes.
pub const MAX_VALUE: usize = 4 * 1024 * 1024;
/// All values of a row together, in bytes.
pub const MAX_ROW: usize = 8 * 1024 * 1024;
/// The most columns of a result.
pub const MAX_COLUMNS: usize = 1000;
/// The most rows of a batch.
pub const MAX_BATCH_ROWS: usize = 65_536;
/// Of a failure.
const MAX_TEXT: usize = 2048;
/// How long a batch may be asked to be, in bytes.
pub const MAX_BATCH: usize = 4 * 1024 * 1024;
/// The least that a batch may be asked to be, in bytes.
pub const MIN_BATCH: usize = 1024;
/// How long a batch is unless the tool asks for something else, in bytes.
pub const DEFAULT_BATCH: usize = 256 * 1024;

/// The provider says something at least this often, unless SQLite is within one long step.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Codes of `Connection::close`.
pub mod close {
    /// The tool's user wants no more.
    pub const CANCELLED: u32 = 1;
    /// The provider was stopped: another one may come.
    pub const STOPPED: u32 = 2;
    /// The other side did not read, or said nothing, for too long.
    pub const STALLED: u32 = 3;
    /// What the other side said makes no sense.
    pub const NONSENSE: u32 = 4;
    /// A fault of this side's own.
    pub const FAULT: u32 = 5;
}

/// What the tool wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub protocol: u32,
    /// One `SELECT`.
    pub sql: String,
    /// A batch ends once its values are this long, in bytes; or after [`MAX_BATCH_ROWS`].
    pub batch_bytes: usize,
    /// Not from the beginning: the rest of a result that another connection has given in part.
    pub resume: Option<Resume>,
}

/// What the tool has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// What [`Start`] said.
    pub version: String,
    /// How many batches it has.
    pub batches: u64,
    /// Of the schema and these batches.
    pub digest: String,
}

/// The query runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Of the database, as far as it can be told: see `provider::version`. `None`: the result cannot be resumed.
    pub version: Option<String>,
}

/// How far the provider is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Rows that SQLite has given, those included that the tool has already.
    pub rows: u64,
}

/// The end of the result, of which this is all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// In all batches.
    pub rows: u64,
    /// Those included that were not sent on this connection.
    pub batches: u64,
    /// Of the schema and all batches.
    pub digest: String,
}

/// Why there is no result, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people.
    pub text: String,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The request is not one.
    Request,
    /// The database is not there, or is none.
    Database,
    /// SQLite does not accept the SQL, or failed while it ran.
    Sql,
    /// The SQL is not one `SELECT` that only reads.
    NotSelect,
    /// A value has not the type of its column.
    Type,
    /// A value, a row or the result is larger than this protocol takes.
    TooLarge,
    /// The rest would not be of the result of which the tool has the beginning.
    Changed,
}

impl Failure {
    /// The text is cut to 2,048 bytes: some comes from a peer. As JSON it is six times as long at most.
    pub fn new(code: Code, text: impl fmt::Display) -> Failure {
        let mut text = text.to_string();
        let mut most = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(most) {
            most -= 1;
        }
        text.truncate(most);
        Failure { code, text }
    }
}

/// What a message of the provider's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Start`].
    Start = 1,
    /// Arrow's.
    Schema = 2,
    /// Arrow's.
    Batch = 3,
    /// [`Progress`].
    Progress = 4,
    /// [`Finished`].
    Finished = 5,
    /// [`Failure`].
    Failure = 6,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Start,
        Kind::Schema,
        Kind::Batch,
        Kind::Progress,
        Kind::Finished,
        Kind::Failure,
    ];

    fn max_len(self) -> usize {
        match self {
            Kind::Schema | Kind::Batch => MAX_BODY,
            _ => MAX_JSON,
        }
    }
}

/// The first 16 bytes of a message of the provider's: its kind, seven zeros, and the length of the rest as 64 bits, little
/// endian. It comes first so that the rest can be received into memory that is long enough, and aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Bytes that follow.
    pub len: usize,
}

/// A message that is none of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub String);

impl Header {
    /// Bytes of it.
    pub const LEN: usize = 16;

    /// As it is sent.
    pub fn to_bytes(self) -> [u8; Header::LEN] {
        let mut bytes = [0; Header::LEN];
        bytes[0] = self.kind as u8;
        bytes[8..].copy_from_slice(&(self.len as u64).to_le_bytes());
        bytes
    }

    /// Checked, the length too: nothing is allocated for one that is too long.
    ///
    /// # Errors
    /// It is none, or longer than its kind may be.
    pub fn from_bytes(bytes: [u8; Header::LEN]) -> Result<Header, Nonsense> {
        let (kind, len) = bytes.split_at(8);
        let found = Kind::ALL.into_iter().find(|k| *k as u8 == kind[0]);
        let (Some(kind), [0, 0, 0, 0, 0, 0, 0]) = (found, &kind[1..]) else {
            return Err(Nonsense(format!("no kind of message begins with {kind:?}")));
        };
        let len = u64::from_le_bytes(len.try_into().expect("8 of 16"));
        if len > kind.max_len() as u64 {
            let most = kind.max_len();
            return Err(Nonsense(format!(
                "a {kind:?} of {len} bytes, which may have {most}"
            )));
        }
        let len = len as usize;
        Ok(Header { kind, len })
    }
}

/// As JSON.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("these types have nothing that JSON has not")
}

/// From JSON.
///
/// # Errors
/// It is not that.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Nonsense> {
    serde_json::from_slice(bytes).map_err(|e| Nonsense(e.to_string()))
}

/// Of the schema and the batches that one side has sent or received, so that both know that they mean the same.
#[derive(Clone, Default)]
pub struct Digest(xxhash_rust::xxh3::Xxh3);

impl Digest {
    /// What comes next.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// 32 hexadecimal digits. It notices what happens by chance, and is no proof against somebody who means to deceive.
    pub fn text(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}
