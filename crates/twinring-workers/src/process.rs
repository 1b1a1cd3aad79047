//! A child process, and the link that only it can take.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use twinring::{Link, Peer};

use crate::options::Options;
use crate::os;
use crate::ticket::{Ticket, VARIABLE};

/// How long a child may have to be waited for that was killed: not longer than its last system call takes.
const REAP: Duration = Duration::from_secs(5);

/// A child process. Killed and waited for when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    expected: Arc<Expected>,
}

/// Who may take a link: the child, which is known only once it has been started.
#[derive(Debug, Default)]
struct Expected {
    /// `Some(0)`, whom nobody is, from its end on: its pid may be given to another process.
    pid: Mutex<Option<u32>>,
    known: Condvar,
}

impl Expected {
    fn is(&self, pid: u32) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        self.known.notify_all();
    }

    /// Waits until it is known whom to expect.
    fn admits(&self, peer: &Peer) -> bool {
        let unknown = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.wait_while(unknown, |pid| pid.is_none());
        let expected = *known.unwrap_or_else(PoisonError::into_inner);
        // 0 is who cannot be seen from here.
        peer.pid != 0 && expected == Some(peer.pid)
    }
}

/// Starts a child, and opens the link for it.
pub(crate) fn start(
    mut command: Command,
    options: &Options,
    run: u64,
    checkpoint: Option<&[u8]>,
) -> io::Result<(Process, Link)> {
    let name = random_name()?;
    let expected = Arc::new(Expected::default());
    let link = (options.link)(Link::host(&name))
        .one_connection()
        .admit({
            let expected = expected.clone();
            move |peer| expected.admits(peer)
        })
        .open()?;
    let ticket = Ticket {
        name,
        supervisor: std::process::id(),
        silence: options.silence,
        run,
        checkpoint: checkpoint.map(<[u8]>::to_vec),
    };
    let child = command.env(VARIABLE, ticket.to_text()).spawn()?;
    let mut process = Process { child, expected };
    if let Err(e) = os::adopt(&process.child) {
        // One that has ended already cannot be adopted, and need not be.
        if process.child.try_wait()?.is_none() {
            return Err(e);
        }
    }
    process.expected.is(process.pid());
    Ok((process, link))
}

/// One that nobody can guess.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("worker-{:032x}", u128::from_ne_bytes(bytes)))
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has. Of this child only: nobody else's is waited for.
    pub(crate) fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.expected.is(0);
        }
        Ok(status)
    }

    pub(crate) fn kill(&mut self) {
        // It fails only if the child has ended.
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let until = Instant::now() + REAP;
        // Where the system keeps it longer, it is dead all the same, and goes with this process.
        while matches!(self.status(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_micros(200));
        }
    }
}
