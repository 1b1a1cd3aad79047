//! One thread of a child, stepped; the others run as they like.

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{MARK, asked};
use crate::common::Child;

pub(crate) struct Thread {
    tid: Pid,
    /// Where the system tells its state.
    stat: String,
    asleep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One more instruction has been executed.
    Done,
    /// The thread sleeps in the kernel. The next step waits until it has woken up.
    Asleep,
    /// The next instruction is a mark; nothing was executed.
    Mark,
}

impl Thread {
    /// Seizes and stops a thread; not a child's first one, whose end `Child` waits for.
    pub(crate) fn seize(child: &Child, tid: i32) -> Thread {
        assert_ne!(tid as u32, child.pid());
        let thread = Thread {
            tid: Pid::from_raw(tid),
            stat: format!("/proc/{}/task/{tid}/stat", child.pid()),
            asleep: false,
        };
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
        asked(ptrace::seize(thread.tid, options));
        asked(ptrace::interrupt(thread.tid));
        thread.wait();
        thread
    }

    /// Lets the thread run until it has made the first mark; `go` is what makes it begin.
    pub(crate) fn run_to_mark(&self, go: impl FnOnce()) {
        asked(ptrace::syscall(self.tid, None));
        go();
        let mut marks = 0;
        loop {
            match self.wait() {
                WaitStatus::PtraceSyscall(_) => {
                    if asked(ptrace::getregs(self.tid)).orig_rax as i64 == MARK {
                        marks += 1;
                    }
                    // At its beginning and at its end.
                    if marks == 2 {
                        return;
                    }
                    asked(ptrace::syscall(self.tid, None));
                }
                other => panic!("the thread should run to the mark: {other:?}"),
            }
        }
    }

    /// Executes one instruction.
    pub(crate) fn step(&mut self) -> Step {
        if self.asleep {
            self.stepped(self.wait());
            self.asleep = false;
            return Step::Done;
        }
        /// The instruction `syscall`, as it lies in memory.
        const SYSCALL: i64 = 0x050f;
        let regs = asked(ptrace::getregs(self.tid));
        let next = asked(ptrace::read(self.tid, regs.rip as ptrace::AddressType));
        let calls = next & 0xffff == SYSCALL;
        if calls && regs.rax as i64 == MARK {
            return Step::Mark;
        }
        asked(ptrace::step(self.tid, None));
        if calls && self.falls_asleep() {
            self.asleep = true;
            return Step::Asleep;
        }
        if !calls {
            self.stepped(self.wait());
        }
        Step::Done
    }

    /// Waits until the call that was just begun has ended or sleeps.
    fn falls_asleep(&self) -> bool {
        loop {
            match asked(waitpid(
                self.tid,
                Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG),
            )) {
                WaitStatus::StillAlive => {}
                status => {
                    self.stepped(status);
                    return false;
                }
            }
            let stat = std::fs::read_to_string(&self.stat).expect("the thread lives");
            let (_, state) = stat.rsplit_once(") ").expect("the form of stat");
            if state.starts_with('S') {
                return true;
            }
            std::thread::yield_now();
        }
    }

    /// The end of a thread whose process has been killed; nobody else may see it before that.
    pub(crate) fn reap(self) {
        loop {
            if let WaitStatus::Signaled(..) | WaitStatus::Exited(..) = self.wait() {
                return;
            }
        }
    }

    fn wait(&self) -> WaitStatus {
        asked(waitpid(self.tid, Some(WaitPidFlag::__WALL)))
    }

    #[track_caller]
    fn stepped(&self, status: WaitStatus) {
        use nix::sys::signal::Signal::SIGTRAP;
        assert_eq!(status, WaitStatus::Stopped(self.tid, SIGTRAP));
    }
}
