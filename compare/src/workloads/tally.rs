//! What one end received in a timed part, and whether it is right.

use crate::cell::THREADS;
use crate::payload::{self, Header};

/// Counts, adds up, and notices what is missing.
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) bytes: u64,
    sum: u64,
    /// The next number of each sending thread.
    next: [u64; THREADS + 1],
    fault: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            count: 0,
            bytes: 0,
            sum: 0,
            next: [0; THREADS + 1],
            fault: None,
        }
    }

    #[inline]
    pub(super) fn take(&mut self, header: Header, bytes: &[u8]) {
        self.sum = self.sum.wrapping_add(payload::sum(bytes));
        self.count += 1;
        self.bytes += bytes.len() as u64;
        let next = &mut self.next[header.thread];
        if header.number != *next && self.fault.is_none() {
            self.fault = Some(format!(
                "message {} of thread {} came where {} was due",
                header.number, header.thread, *next
            ));
        }
        *next = header.number + 1;
    }

    /// Whether all has come that was sent, according to its sender.
    pub(super) fn verdict(&self, sent: u64, sum: u64) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.count != sent {
            return Err(format!("{sent} messages were sent, {} came", self.count));
        }
        if self.sum != sum {
            return Err(format!(
                "bytes were altered: the sum of {sent} messages is {:#x}, not {sum:#x}",
                self.sum
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Message, What};

    fn head(number: u64) -> Header {
        Header {
            what: What::Take,
            thread: 0,
            number,
            argument: 0,
        }
    }

    fn received(numbers: &[u64], spoil: bool) -> Result<(), String> {
        let mut message = Message::new(100);
        let (mut tally, mut total) = (Tally::new(), 0u64);
        for number in numbers {
            let (bytes, sum) = message.set(head(*number));
            total = total.wrapping_add(sum);
            bytes[99] ^= u8::from(spoil);
            tally.take(head(*number), bytes);
            bytes[99] ^= u8::from(spoil);
        }
        tally.verdict(3, total)
    }

    #[test]
    fn what_is_right_is_right() {
        assert_eq!(received(&[0, 1, 2], false), Ok(()));
    }

    #[test]
    fn lost_doubled_mixed_and_altered_messages_are_noticed() {
        assert!(received(&[0, 2], false).unwrap_err().contains("was due"));
        assert!(received(&[0, 0, 1], false).unwrap_err().contains("was due"));
        assert!(received(&[0, 2, 1], false).unwrap_err().contains("was due"));
        assert!(received(&[0, 1], false).unwrap_err().contains("2 came"));
        assert!(received(&[0, 1, 2], true).unwrap_err().contains("altered"));
    }
}
