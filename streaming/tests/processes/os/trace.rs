//! Linux on x86-64: by ptrace.

use std::time::{Duration, Instant};

use nix::sys::ptrace::{Options, detach, getregs, interrupt, seize, syscall};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Of sendfile.
const SENDFILE: u64 = 40;
/// A worker may have come to the end of its job before it was looked at; it makes calls all the same.
const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) const CAN_TRACE: bool = true;

pub(crate) fn kill_after_write(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let wait = || waitpid(pid, Some(WaitPidFlag::__WALL));
    if seize(pid, Options::PTRACE_O_TRACESYSGOOD).is_err() {
        // It has just been killed, or this process may not trace it. The caller sees to it that it is not asked for ever.
        std::thread::sleep(Duration::from_millis(1));
        return;
    }
    interrupt(pid).unwrap();
    let began = Instant::now();
    loop {
        match wait().unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                let registers = getregs(pid).unwrap();
                // At the entry it is an error.
                let written = registers.rax.cast_signed();
                if registers.orig_rax == SENDFILE && written > 0 {
                    break;
                }
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => panic!("it has ended by itself"),
            _ => {}
        }
        if began.elapsed() > PATIENCE {
            detach(pid, None).unwrap();
            return;
        }
        syscall(pid, None).unwrap();
    }
    kill(pid, Signal::SIGKILL).unwrap();
    // Only then its parent is told.
    while !matches!(wait(), Ok(WaitStatus::Signaled(..)) | Err(_)) {}
}
