//! Who manages the service: the one place where the systems differ.
//!
//! `Action` has the subcommands that only this system has, and `manage` does them.

#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

pub(crate) use sys::{Action, manage};
