//! How long a small message takes while another thread sends a very long one the same way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::exchange::expect;
use super::shared_sender::SharedSender;
use crate::cell::{BULK, Figures, SMALL, Spec};
use crate::common::{Failure, Result};
use crate::link::{Receiver, Sender};
use crate::machine;
use crate::payload::{Header, Message, What};

/// Rest between two small messages: some thousand of them go beside the long one.
const PACE: Duration = Duration::from_micros(100);

pub(super) fn run<S: Sender>(tx: S, rx: &mut impl Receiver, spec: &Spec) -> Result<(S, Figures)> {
    let mut bulk = Message::new(BULK);
    let mut senders = SharedSender::of(tx, 2)?;
    // Checked byte by byte; and memory for such a message has been got at both ends.
    if spec.spoil.is_some() {
        bulk.spoil();
    }
    senders[0].send(bulk.plain(What::Check))?;
    senders[0].send(Message::new(SMALL).plain(What::Echo))?;
    expect(rx, What::Echo, SMALL)?;

    let [long, short] = &mut senders[..] else {
        return Err("two senders were asked for".into());
    };
    let sending = AtomicBool::new(true);
    let stamped = std::thread::scope(|scope| {
        let small = scope.spawn(|| -> Result<u64> {
            let mut message = Message::new(SMALL);
            let mut number = 0;
            while sending.load(Ordering::Relaxed) {
                std::thread::sleep(PACE);
                let (bytes, _) = message.set(Header {
                    what: What::Stamp,
                    thread: 1,
                    number,
                    argument: machine::now_ns(),
                });
                short.send(bytes)?;
                number += 1;
            }
            Ok(number)
        });
        let sent = long.send(bulk.plain(What::Bulk));
        sending.store(false, Ordering::Relaxed);
        let stamped = small.join().map_err(|_| "the small sender panicked")??;
        sent?;
        Ok::<u64, Failure>(stamped)
    })?;
    senders[0].send(Message::new(SMALL).plain(What::Echo))?;
    expect(rx, What::Echo, SMALL)?;
    let figures = Figures {
        checked: Some(stamped + 2),
        ..Figures::default()
    };
    Ok((SharedSender::back(senders)?, figures))
}
