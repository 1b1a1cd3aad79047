//! A handshake that is to be done, by whatever thread there is for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::connection::Parts;
use super::core::{Core, hand_over};
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Sleeper;

/// Its outcome is told to the keeper whatever happens: even after a fault of ours `close` must not
/// wait for it in vain.
pub(super) struct Errand {
    telling: Telling,
    shake_hands: ShakeHands,
}

/// A handshake, or what is left of it.
pub(super) type ShakeHands = Box<dyn FnOnce(&Core, &dyn Sleeper) -> Shaken + Send>;

/// How far it has come.
pub(super) enum Shaken {
    Over(Result<Parts>),
    /// The sleeper would not wait any longer; somebody else may.
    Unfinished(ShakeHands),
}

struct Telling {
    core: Arc<Core>,
    tell: Sender<Result<Parts>>,
    outcome: Option<Result<Parts>>,
}

impl Telling {
    fn tell(mut self, outcome: Result<Parts>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let failed = || {
            let what = "a handshake has ended by a fault of this library";
            Err(Error::new(ErrorKind::Os, what))
        };
        let outcome = self.outcome.take().unwrap_or_else(failed);
        // Fails only if the keeper has ended; then nobody wants to know.
        let _ = self.tell.send(outcome);
        self.core.nudge();
    }
}

impl Errand {
    pub(super) fn new(
        core: &Arc<Core>,
        tell: &Sender<Result<Parts>>,
        shake_hands: ShakeHands,
    ) -> Errand {
        Errand {
            telling: Telling {
                core: core.clone(),
                tell: tell.clone(),
                outcome: None,
            },
            shake_hands,
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.telling.core
    }

    /// Does it on this thread, for as long as the sleeper waits. What is then left of it. A panic
    /// ends here.
    pub(super) fn begin(self, sleeper: &dyn Sleeper) -> Option<Errand> {
        // What a panic leaves half done, nobody looks at again.
        let left = catch_unwind(AssertUnwindSafe(move || {
            let Errand {
                telling,
                shake_hands,
            } = self;
            match shake_hands(&telling.core, sleeper) {
                Shaken::Over(outcome) => {
                    telling.tell(outcome);
                    None
                }
                Shaken::Unfinished(shake_hands) => Some(Errand {
                    telling,
                    shake_hands,
                }),
            }
        }));
        left.ok().flatten()
    }

    /// Does it on this thread, with a sleeper that waits for as long as it takes.
    pub(super) fn run(self, sleeper: &dyn Sleeper) {
        // Nothing is left. Else it would be a fault of ours, and told as one.
        drop(self.begin(sleeper));
    }

    /// Does it on a thread of its own.
    pub(super) fn send_out(self) {
        let sent = hand_over("twinring-hello", self, |errand| {
            let core = errand.core().clone();
            errand.run(&core.stop);
        });
        if let Err((errand, e)) = sent {
            errand.telling.tell(Err(e));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::link::Link;

    #[test]
    fn a_fault_of_ours_is_an_outcome_too() {
        let name = format!("errand-{}", std::process::id());
        let link = Link::host(&name).open().unwrap();
        for here in [true, false] {
            let (tell, told) = mpsc::channel();
            let fault = |_: &Core, _: &dyn Sleeper| panic!("a fault, as a test");
            let errand = Errand::new(&link.core, &tell, Box::new(fault));
            if here {
                errand.run(&link.core.stop);
            } else {
                errand.send_out();
            }
            let Err(e) = told.recv().unwrap() else {
                panic!("a handshake that did not happen succeeded");
            };
            assert!(e.message().contains("by a fault of this library"), "{e}");
        }
    }
}
