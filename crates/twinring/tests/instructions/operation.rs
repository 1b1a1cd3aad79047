//! What the victims are killed in.

use std::str::FromStr;

/// Bytes of a ring: the smallest there is, so that a large message is few instructions.
pub(crate) const CAPACITY: u64 = 4096;

/// A small message, and one of several chunks that fits into the ring; both beside their label.
pub(crate) const SMALL: usize = 84;
pub(crate) const LARGE: usize = 2900;

/// A message that comes with a handle; none of the others does.
pub(crate) const HANDED: usize = 92;

/// Messages of a batch.
pub(crate) const BATCH: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Of a small message.
    Send,
    /// The same, to a receiver that has to be woken.
    SendToSleeper,
    /// Of a message that does not fit between the tail and the end of the ring's memory.
    SendAround,
    SendChunks,
    /// Waits for room.
    SendFull,
    /// Of a small message that is filled in place.
    Reserve,
    /// Of [`BATCH`] small messages, all of which fit.
    SendBatch,
    /// Of a small message with a handle.
    SendHandle,
    /// Of a small message.
    Recv,
    /// The same, from a sender that waits for room and has to be woken.
    RecvForSleeper,
    RecvChunks,
    /// Waits for a message.
    RecvEmpty,
    /// Looks at a small message and gives it back.
    RecvInPlace,
    /// Of [`BATCH`] small messages, which are taken at its end.
    RecvBatch,
    /// Of a small message with a handle.
    RecvHandle,
    /// After another one.
    SetCheckpoint,
    /// After a small message.
    Finish,
    Close,
    /// Drops the connection.
    Drop,
}

impl Operation {
    const ALL: [Operation; 19] = [
        Operation::Send,
        Operation::SendToSleeper,
        Operation::SendAround,
        Operation::SendChunks,
        Operation::SendFull,
        Operation::Reserve,
        Operation::SendBatch,
        Operation::SendHandle,
        Operation::Recv,
        Operation::RecvForSleeper,
        Operation::RecvChunks,
        Operation::RecvEmpty,
        Operation::RecvInPlace,
        Operation::RecvBatch,
        Operation::RecvHandle,
        Operation::SetCheckpoint,
        Operation::Finish,
        Operation::Close,
        Operation::Drop,
    ];

    /// Whether it sends a message.
    pub(crate) fn sends(self) -> bool {
        matches!(
            self,
            Operation::Send
                | Operation::SendToSleeper
                | Operation::SendAround
                | Operation::SendChunks
                | Operation::SendFull
                | Operation::Reserve
                | Operation::SendBatch
                | Operation::SendHandle
        )
    }

    /// Whether it receives a message.
    pub(crate) fn receives(self) -> bool {
        matches!(
            self,
            Operation::Recv
                | Operation::RecvForSleeper
                | Operation::RecvChunks
                | Operation::RecvEmpty
                | Operation::RecvInPlace
                | Operation::RecvBatch
                | Operation::RecvHandle
        )
    }

    /// How it ends the direction in which it sends, and the connection, if it does.
    pub(crate) fn ends(self) -> Option<[&'static str; 2]> {
        match self {
            Operation::Finish => Some(["Finished", "Crashed"]),
            Operation::Close => Some(["Closed", "Closed"]),
            Operation::Drop => Some(["Abandoned", "Abandoned"]),
            _ => None,
        }
    }

    /// How many messages it sends or receives, all with one publication or release.
    pub(crate) fn messages(self) -> u64 {
        match self {
            Operation::SendBatch | Operation::RecvBatch => BATCH,
            _ => 1,
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Operation, String> {
        Operation::ALL
            .into_iter()
            .find(|operation| format!("{operation:?}") == text)
            .ok_or_else(|| format!("{text:?} is no operation"))
    }
}
