//! What differs between systems.
//!
//! * `watch_signals(on_signal: impl Fn(Signal))`: calls it, on a thread of its own, for each signal that asks this
//!   program to end. Those that were ignored when it was started stay ignored.
//! * `die_of(Signal)`: ends this process as that signal does, so that whoever started it sees it.
//! * `keep_exit_codes()`: a parent that ignores the ends of its children may have handed that on.
//! * `Group`: a program and the processes that it starts, which are not interrupted with this one. `spawn(Command)`;
//!   `pipes()`, its standard input and output, once; `has_ended()`, the program itself; `ask(Signal)` asks all to end,
//!   if the system can; `kill()` ends all; `wait()` for the program.
//! * `raise_limit_of_files()`: as many files may be open as the system lets this process have.
//! * `exit_code(ExitStatus) -> i32`: as a shell shows it.
//! * `input_waits() -> Option<bool>`: whether standard input has something to read, or its end; `None` if the
//!   system does not tell.
//! * `output_is_gone() -> bool`: nobody will read standard output any more, as far as the system tells before something is written.
//!   `await_gone_output() -> bool`: waits for that, and returns `true` then; `false` at once if the system does not tell.
//! * `CONSOLE_TAKES_TEXT_ONLY`: a console refuses bytes that are no text.
//! * `WINDOWS_NAMES`: files are named by the rules of Windows, and a backslash is part of no name.
//! * `files`: modes, holes, names, and whether a process has a file open.

pub(crate) mod files;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// The number of a signal; on Windows that of the one that is most like it.
pub(crate) type Signal = i32;

/// What ends a program on Unix that writes to a pipe which nobody reads.
pub(crate) const SIGPIPE: Signal = 13;
pub(crate) const SIGTERM: Signal = 15;
