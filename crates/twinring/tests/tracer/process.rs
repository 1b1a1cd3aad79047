//! All threads of a child, stopped at each of their system calls.

use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::{MARK, pid};
use crate::common::Child;

pub(crate) struct Process {
    leader: Pid,
    /// The thread to let go on before the next event.
    stopped: Option<Pid>,
}

/// A test that panics must not wait for a child whose threads nobody reaps.
impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill(self.leader, Signal::SIGKILL);
            while !matches!(self.next(), Event::End) {}
        }
    }
}

/// What a child has come to. The thread stands still until the next event is asked for.
#[derive(Debug)]
pub(crate) enum Event {
    /// A thread is about to make a system call.
    Call(Pid, user_regs_struct),
    /// It has made it.
    Return(Pid, user_regs_struct),
    /// It has made the call that is a mark.
    Mark,
    /// The process has ended; `Child` tells how.
    End,
}

impl Process {
    /// Seizes all threads that a child has, and with them those that it will start.
    pub(crate) fn seize(child: &Child) -> Process {
        for entry in std::fs::read_dir(format!("/proc/{}/task", child.pid())).unwrap() {
            let tid = entry.unwrap().file_name();
            let tid = Pid::from_raw(tid.to_str().unwrap().parse().unwrap());
            let options = Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_EXITKILL;
            match ptrace::seize(tid, options).and_then(|()| ptrace::interrupt(tid)) {
                // One that has ended meanwhile, or that another, seized already, has just started:
                // it came with that one.
                Err(Errno::ESRCH | Errno::EPERM) => continue,
                other => other.expect("a child's thread can be seized"),
            }
        }
        Process {
            leader: pid(child),
            stopped: None,
        }
    }

    /// Lets the child run to the next system call of any of its threads.
    pub(crate) fn next(&mut self) -> Event {
        loop {
            if let Some(tid) = self.stopped.take() {
                self.go_on(tid, None);
            }
            let (tid, status) = match self.wait() {
                Some(status) => (status.pid().expect("it is about a thread"), status),
                None => return Event::End,
            };
            match status {
                WaitStatus::PtraceSyscall(_) => {
                    self.stopped = Some(tid);
                    // It may have been killed while it stood still.
                    let (Ok(call), Ok(regs)) = (ptrace::syscall_info(tid), ptrace::getregs(tid))
                    else {
                        continue;
                    };
                    return match call.op {
                        libc::PTRACE_SYSCALL_INFO_ENTRY => Event::Call(tid, regs),
                        _ if regs.orig_rax as i64 == MARK => Event::Mark,
                        _ => Event::Return(tid, regs),
                    };
                }
                WaitStatus::Stopped(_, signal) => self.go_on(tid, Some(signal)),
                // A new thread, or one that the seizing has stopped.
                WaitStatus::PtraceEvent(..) => self.go_on(tid, None),
                // One of several threads has ended.
                _ => {}
            }
        }
    }

    /// Sets the registers of the thread that the last event was about.
    pub(crate) fn set(&self, tid: Pid, regs: user_regs_struct) {
        assert_eq!(self.stopped, Some(tid));
        ptrace::setregs(tid, regs).expect("a thread that stands still");
    }

    /// Sees a killed child, or one that ends by itself, to its end.
    pub(crate) fn reap(mut self) {
        while !matches!(self.next(), Event::End) {}
    }

    fn go_on(&self, tid: Pid, signal: Option<Signal>) {
        match ptrace::syscall(tid, signal) {
            // It has been killed meanwhile.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => panic!("cannot let thread {tid} go on: {e}"),
        }
    }

    /// What happens next to any of the threads; `None` once the last one has ended. That end is
    /// left for `Child` to wait for.
    fn wait(&self) -> Option<WaitStatus> {
        // Children of the other threads of this process are other tests' business.
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let look = ours | WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
        let status = loop {
            match waitid(Id::All, look) {
                Err(Errno::EINTR) => {}
                other => break other.expect("the child is there"),
            }
        };
        let tid = status.pid().expect("it is about a thread");
        let ended = matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
        if ended && tid == self.leader {
            return None;
        }
        Some(waitpid(tid, Some(ours)).expect("what was there a moment ago"))
    }
}
