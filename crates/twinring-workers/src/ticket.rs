//! What a supervisor hands to a child by its environment.

use std::time::Duration;

use twinring::MAX_CHECKPOINT_LEN;

/// The variable that makes a process a worker; [`parent`](crate::parent) reads it.
///
/// A worker that starts programs before it has called that, or beside other threads on Unix, takes it from their commands by
/// [`env_remove`](std::process::Command::env_remove).
pub const VARIABLE: &str = "TWINRING_WORKER";

/// The version of the text, its first word.
const VERSION: &str = "1";

/// All words of the variable's text but the version, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The link's name.
    pub(crate) name: String,
    /// The supervisor's process id.
    pub(crate) supervisor: u32,
    /// How long a worker may be silent.
    pub(crate) silence: Option<Duration>,
    /// How many were started in this place before.
    pub(crate) run: u64,
    /// What the predecessor has set last.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Ticket {
    pub(crate) fn to_text(&self) -> String {
        let silence = self.silence.map_or(0, |limit| limit.as_millis().max(1));
        let checkpoint: String = match &self.checkpoint {
            Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => "-".to_owned(),
        };
        let Ticket {
            name,
            supervisor,
            run,
            ..
        } = self;
        format!("{VERSION} {name} {supervisor} {silence} {run} {checkpoint}")
    }

    /// `None` if it is of another version, or nonsense.
    pub(crate) fn parse(text: &str) -> Option<Ticket> {
        let words: Vec<&str> = text.split(' ').collect();
        let [VERSION, name, supervisor, silence, run, checkpoint] = words[..] else {
            return None;
        };
        let silence: u64 = silence.parse().ok()?;
        Some(Ticket {
            name: name.to_owned(),
            supervisor: supervisor.parse().ok()?,
            silence: (silence > 0).then(|| Duration::from_millis(silence)),
            run: run.parse().ok()?,
            checkpoint: match checkpoint {
                "-" => None,
                hex => Some(bytes(hex)?),
            },
        })
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex.len() % 2 != 0 || hex.len() > 2 * MAX_CHECKPOINT_LEN {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (silence, checkpoint) in [
            (None, None),
            (Some(Duration::from_secs(3)), Some(vec![])),
            (Some(Duration::from_millis(1)), Some((0..64).collect())),
        ] {
            let ticket = Ticket {
                name: "worker-0f".to_owned(),
                supervisor: 7,
                silence,
                run: 12,
                checkpoint,
            };
            assert_eq!(Ticket::parse(&ticket.to_text()), Some(ticket));
        }
    }

    #[test]
    fn nonsense_is_none() {
        let long = format!("1 n 1 0 0 {}", "00".repeat(65));
        for text in [
            "",
            "1",
            "2 n 1 0 0 -",
            "1 n x 0 0 -",
            "1 n 1 0 0 0",
            "1 n 1 0 0 é0",
            "1 n 1 0 0 - -",
            &long,
        ] {
            assert_eq!(Ticket::parse(text), None, "{text}");
        }
    }
}
