//! How system calls fail.
//!
//! Only in ways in which the kernel lets this use of them fail: a non-blocking `sendto` is not
//! interrupted, and an eventfd that "would block" is set, which would not be true.

use nix::errno::Errno;
use nix::errno::Errno::{
    EADDRINUSE, EAGAIN, ECONNABORTED, EINTR, EIO, EMFILE, ENOBUFS, ENOLCK, ENOMEM, ENOSPC,
    ENOTCONN, ETOOMANYREFS,
};
use nix::libc;
use nix::unistd::Pid;

pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// With its arguments.
    pub(crate) text: String,
    pub(crate) errors: &'static [Errno],
    /// It does what it should, whatever it says then.
    pub(crate) happens: bool,
}

impl Call {
    /// The call that a thread is about to make, if it is the library's to handle its failure.
    pub(crate) fn of(tid: Pid, regs: &libc::user_regs_struct) -> Option<Call> {
        let (name, errors): (_, &[Errno]) = match regs.orig_rax as i64 {
            libc::SYS_memfd_create => ("memfd_create", &[EMFILE, ENOMEM]),
            libc::SYS_ftruncate => ("ftruncate", &[EINTR, EIO, ENOMEM]),
            libc::SYS_fallocate => ("fallocate", &[EINTR, ENOMEM, ENOSPC]),
            // Not the standard library's look whether what it closes is open.
            libc::SYS_fcntl if regs.rsi as i32 != libc::F_GETFD => ("fcntl", &[EMFILE, ENOMEM]),
            libc::SYS_ioctl => ("ioctl", &[ENOMEM]),
            // Without a descriptor it is the allocator's, or a thread's stack.
            libc::SYS_mmap if regs.r8 as i32 != -1 => ("mmap", &[EAGAIN, ENOMEM]),
            libc::SYS_eventfd2 => ("eventfd2", &[EMFILE, ENOMEM]),
            libc::SYS_epoll_create1 => ("epoll_create1", &[EMFILE, ENOMEM]),
            libc::SYS_epoll_ctl => ("epoll_ctl", &[ENOMEM, ENOSPC]),
            libc::SYS_epoll_wait => ("epoll_wait", &[EINTR]),
            libc::SYS_epoll_pwait => ("epoll_pwait", &[EINTR]),
            libc::SYS_inotify_init1 => ("inotify_init1", &[EMFILE, ENOMEM]),
            libc::SYS_inotify_add_watch => ("inotify_add_watch", &[ENOMEM, ENOSPC]),
            libc::SYS_pidfd_open => ("pidfd_open", &[EMFILE, ENOMEM]),
            libc::SYS_socket => ("socket", &[EMFILE, ENOBUFS]),
            libc::SYS_socketpair => ("socketpair", &[EMFILE, ENOBUFS]),
            libc::SYS_bind => ("bind", &[EADDRINUSE, EIO, ENOMEM]),
            libc::SYS_listen => ("listen", &[EADDRINUSE]),
            libc::SYS_connect => ("connect", &[EAGAIN, EINTR, ENOMEM]),
            libc::SYS_accept => ("accept", &[ECONNABORTED, EINTR, EMFILE, ENOMEM]),
            libc::SYS_accept4 => ("accept4", &[ECONNABORTED, EINTR, EMFILE, ENOMEM]),
            libc::SYS_getsockopt => ("getsockopt", &[EMFILE, ENOMEM]),
            libc::SYS_sendmsg => ("sendmsg", &[EAGAIN, EINTR, ENOBUFS, ETOOMANYREFS]),
            libc::SYS_recvmsg => ("recvmsg", &[EAGAIN, EINTR, ENOMEM]),
            libc::SYS_sendto => ("sendto", &[ENOBUFS]),
            libc::SYS_recvfrom => ("recvfrom", &[EAGAIN, EINTR]),
            libc::SYS_shutdown => ("shutdown", &[ENOTCONN]),
            libc::SYS_futex_waitv => ("futex_waitv", &[EAGAIN, EINTR, ENOMEM]),
            libc::SYS_poll => ("poll", &[EINTR, ENOMEM]),
            libc::SYS_ppoll => ("ppoll", &[EINTR, ENOMEM]),
            libc::SYS_open => ("open", &[EIO, EMFILE, ENOMEM]),
            libc::SYS_openat => ("openat", &[EIO, EMFILE, ENOMEM]),
            libc::SYS_flock => ("flock", &[EINTR, ENOLCK]),
            libc::SYS_fstat => ("fstat", &[EIO, ENOMEM]),
            libc::SYS_newfstatat => ("newfstatat", &[EIO, ENOMEM]),
            libc::SYS_statx => ("statx", &[EIO, ENOMEM]),
            libc::SYS_readlink => ("readlink", &[EIO, ENOMEM]),
            libc::SYS_readlinkat => ("readlinkat", &[EIO, ENOMEM]),
            libc::SYS_fstatfs => ("fstatfs", &[EIO]),
            libc::SYS_mkdirat => ("mkdirat", &[EIO, ENOSPC]),
            libc::SYS_unlinkat => ("unlinkat", &[EIO]),
            libc::SYS_renameat => ("renameat", &[EIO, ENOSPC]),
            libc::SYS_renameat2 => ("renameat2", &[EIO, ENOSPC]),
            libc::SYS_fchmodat => ("fchmodat", &[EIO]),
            libc::SYS_read if is_eventfd(tid, regs.rdi) => ("read", &[EAGAIN]),
            // Not the lines that the test and its child say to each other.
            libc::SYS_read if regs.rdi > 2 => ("read", &[EINTR, EIO]),
            libc::SYS_write if regs.rdi > 2 && !is_eventfd(tid, regs.rdi) => {
                ("write", &[EINTR, ENOSPC])
            }
            libc::SYS_pread64 => ("pread64", &[EINTR, EIO]),
            libc::SYS_getdents64 => ("getdents64", &[EIO, ENOMEM]),
            libc::SYS_getrandom => ("getrandom", &[EINTR]),
            // Frees the descriptor, also if it fails.
            libc::SYS_close => ("close", &[EINTR, EIO]),
            // The starting of a thread.
            libc::SYS_clone => ("clone", &[EAGAIN]),
            libc::SYS_clone3 => ("clone3", &[EAGAIN]),
            call if LEFT_OUT.contains(&call) => return None,
            call => panic!(
                "a thread makes system call {call}, of which failing_calls/calls.rs does not know \
                 how it fails, or that it is to be left out"
            ),
        };
        let arguments = [regs.rdi, regs.rsi, regs.rdx, regs.r10];
        Some(Call {
            name,
            text: format!("{name}{arguments:#x?}").replace(['\n', ' '], ""),
            errors,
            happens: name == "close",
        })
    }
}

/// Calls that are not failed.
const LEFT_OUT: &[i64] = &[
    // Fails only for a watch that there is not.
    libc::SYS_inotify_rm_watch,
    // The allocator's and those of the stacks of threads: Rust ends the process when there is no
    // memory for an ordinary allocation, and makes an error of a thread that cannot be started,
    // which `clone` stands for.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    // For memory that is mapped as a whole it cannot fail; and undone it would be a leak that the
    // test has made.
    libc::SYS_munmap,
    // Sleep and wake of the standard library's locks, which take no error for an answer.
    libc::SYS_futex,
    // The beginning and the end of threads and processes, by the runtime; cannot fail.
    libc::SYS_arch_prctl,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_prctl,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Cannot fail, or nothing depends on it.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_nanosleep,
    libc::SYS_prlimit64,
    libc::SYS_sched_yield,
    // An eventfd: it fails only if it is set already.
    libc::SYS_write,
    // What the test and its child say to each other.
    libc::SYS_read,
    // Its look whether what it closes is open.
    libc::SYS_fcntl,
];

fn is_eventfd(tid: Pid, fd: u64) -> bool {
    std::fs::read_link(format!("/proc/{tid}/fd/{fd}"))
        .is_ok_and(|target| target.to_string_lossy().contains("[eventfd]"))
}
