//! The program's decision about a peer.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::os::process::{Peer, User};

/// Peers of one user that the program is asked about at once, each on a thread. A peer that goes meanwhile counts
/// until the program has answered: else those that come and go would take any number of threads.
const MOST_OF_USER: usize = 8;

/// Peers of all users, so that one who has many accounts does not take any number either.
const MOST: usize = 64;

type Decide = dyn Fn(&Peer) -> bool + Send + Sync;

/// A function of the program's. It is called and dropped on threads that may wait for the driver's: it may have a
/// link itself.
pub(crate) struct Admit {
    /// `None` once the link is closing.
    decide: Mutex<Option<Arc<Decide>>>,
    /// How many peers of each user it is asked about.
    asked: Mutex<HashMap<User, usize>>,
}

impl Admit {
    pub(crate) fn new(f: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Admit {
        Admit {
            decide: Mutex::new(Some(Arc::new(f))),
            asked: Mutex::default(),
        }
    }

    /// A question that may be asked now; `None` while there are as many as may be.
    pub(crate) fn question(self: &Arc<Self>, peer: &Peer) -> Option<Question> {
        let mut asked = lock(&self.asked);
        if asked.values().sum::<usize>() >= MOST {
            return None;
        }
        let of_user = asked.entry(peer.user.clone()).or_default();
        if *of_user >= MOST_OF_USER {
            return None;
        }
        *of_user += 1;
        Some(Question {
            admit: self.clone(),
            peer: peer.clone(),
        })
    }

    /// Drops the function, unless it is running: then whoever runs it does.
    pub(crate) fn end(&self) {
        let decide = lock(&self.decide).take();
        // Not within the lock: it is the program's.
        drop(decide);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing can panic while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit").finish_non_exhaustive()
    }
}

/// Counts until it is answered.
pub(crate) struct Question {
    admit: Arc<Admit>,
    peer: Peer,
}

impl Question {
    /// A panic is a no. Not on the driver's thread.
    pub(crate) fn ask(self) -> bool {
        let decide = lock(&self.admit.decide).clone();
        let admits = |decide: Arc<Decide>| {
            let answer = catch_unwind(AssertUnwindSafe(|| decide(&self.peer)));
            // Its drop may panic as well.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(decide)));
            dropped.is_ok() && answer.unwrap_or(false)
        };
        decide.is_some_and(admits)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut asked = lock(&self.admit.asked);
        if let Some(of_user) = asked.get_mut(&self.peer.user) {
            *of_user -= 1;
            if *of_user == 0 {
                asked.remove(&self.peer.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_keeps_another_out() {
        let admit = Arc::new(Admit::new(|_| true));
        let of = |user: &User| admit.question(&Peer::new(1, user.clone()));
        let user = |i: usize| {
            // As each system writes them.
            let texts = [i.to_string(), format!("S-1-5-21-1-1-1-{i}")];
            texts.iter().find_map(|text| text.parse().ok()).unwrap()
        };
        let all_of = |user: &User| std::iter::from_fn(|| of(user)).collect::<Vec<_>>();
        let one = user(0);
        let mut questions = all_of(&one);
        assert_eq!(questions.len(), MOST_OF_USER);
        assert!(questions.pop().unwrap().ask());
        assert!(of(&one).is_some(), "one has been answered");
        let others: Vec<_> = (1..20).flat_map(|i| all_of(&user(i))).collect();
        assert_eq!(others.len() + questions.len(), MOST);
        assert_eq!(
            others.iter().filter(|it| it.peer.user == user(1)).count(),
            MOST_OF_USER
        );
        drop((questions, others));
        assert!(lock(&admit.asked).is_empty());
        admit.end();
        assert!(!of(&one).unwrap().ask(), "the link is closing");
    }
}
