//! One link, used by several sending threads.

use std::sync::{Arc, Mutex};

use crate::common::Result;
use crate::link::Sender;

/// A thread's way to send: its own, or a lock around the one there is, as its user would write it.
pub(super) enum SharedSender<S> {
    Own(S),
    Locked(Arc<Mutex<S>>),
}

impl<S: Sender> SharedSender<S> {
    /// Of one sender so many.
    pub(super) fn of(tx: S, count: usize) -> Result<Vec<SharedSender<S>>> {
        let mut all = Vec::new();
        while all.len() + 1 < count {
            match tx.another()? {
                Some(another) => all.push(SharedSender::Own(another)),
                None => {
                    let locked = Arc::new(Mutex::new(tx));
                    return Ok((0..count)
                        .map(|_| SharedSender::Locked(Arc::clone(&locked)))
                        .collect());
                }
            }
        }
        all.push(SharedSender::Own(tx));
        Ok(all)
    }

    #[inline]
    pub(super) fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            SharedSender::Own(tx) => tx.send(message),
            SharedSender::Locked(tx) => match tx.lock() {
                Ok(mut tx) => tx.send(message),
                Err(_) => Err("another sending thread panicked".into()),
            },
        }
    }

    /// The one sender again, once the threads are done.
    pub(super) fn back(mut all: Vec<SharedSender<S>>) -> Result<S> {
        let last = all.pop().ok_or("there was no sender")?;
        drop(all);
        match last {
            SharedSender::Own(tx) => Ok(tx),
            SharedSender::Locked(tx) => Ok(Arc::into_inner(tx)
                .ok_or("somebody still sends")?
                .into_inner()
                .map_err(|_| "a sending thread panicked")?),
        }
    }
}
