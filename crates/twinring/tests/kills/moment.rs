//! When a victim is killed.

use std::fmt;
use std::str::FromStr;

use crate::common::Random;

/// How a talker receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By `recv`: a message is taken when the call returns, at most once.
    Recv,
    /// By `recv_batch`: messages are taken when the program says so, at least once.
    Batch,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for How {
    type Err = String;

    fn from_str(text: &str) -> Result<How, String> {
        match text {
            "Recv" => Ok(How::Recv),
            "Batch" => Ok(How::Batch),
            other => Err(format!("{other:?} is no way to receive")),
        }
    }
}

/// A moment in a victim's life. It says `at` when it comes to it, and is killed a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// At any time from its start on, which only the killer knows.
    Any,
    /// It is about to open the link; then come the look for the peer and the handshake.
    Opening,
    /// It has just been connected.
    Connected,
    /// It is about to send a message.
    Sending,
    /// It is about to send a message of four times the ring.
    SendingLarge,
    /// It waits for room in the ring; the other side has stopped reading.
    AsleepFull,
    /// It waits for messages; the other side has stopped sending.
    AsleepEmpty,
    /// Messages flow both ways.
    Talking,
    /// It has a batch of messages, and is about to take them.
    Taking,
    /// It has finished; messages still come.
    Finished,
    /// It is about to close the link.
    Closing,
    /// It has closed the link, with what it sent hardly read by the other side.
    Closed,
}

impl Moment {
    const ALL: [Moment; 12] = [
        Moment::Any,
        Moment::Opening,
        Moment::Connected,
        Moment::Sending,
        Moment::SendingLarge,
        Moment::AsleepFull,
        Moment::AsleepEmpty,
        Moment::Talking,
        Moment::Taking,
        Moment::Finished,
        Moment::Closing,
        Moment::Closed,
    ];

    pub(crate) fn random(random: &mut Random) -> Moment {
        Moment::ALL[random.below(Moment::ALL.len())]
    }

    /// Whether one that is killed now may have said goodbye before.
    pub(crate) fn may_say_goodbye(self) -> bool {
        matches!(self, Moment::Closing | Moment::Closed)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        Moment::ALL
            .into_iter()
            .find(|moment| moment.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no moment"))
    }
}
