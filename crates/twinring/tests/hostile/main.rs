//! Whatever the other side of the socket or pipe sends, however the machine is set up: a clear
//! error at worst, no panic, no hang, and the next honest peer is served.
//!
//! The victim is a child process with an ordinary link; the test attacks it by hand.

#[path = "../common/mod.rs"]
mod common;
mod crowds;
#[cfg(target_os = "linux")]
mod doorbells;
#[cfg(target_os = "linux")]
mod fds;
#[cfg(target_os = "linux")]
mod intruder;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(unix)]
mod places;
mod scribble;
mod strangers;
mod victim;
mod wire;
#[cfg(target_os = "linux")]
mod wrong_handles;
#[cfg(target_os = "linux")]
mod wrong_hosts;
#[cfg(target_os = "linux")]
mod wrong_memory;

#[cfg(target_os = "linux")]
use limits::{few_descriptors, little_memory, no_descriptors, small_files};
#[cfg(unix)]
use places::opener;
use scribble::{scribbler, two_links};
#[cfg(target_os = "linux")]
use victim::batcher;
use victim::victim;
#[cfg(target_os = "linux")]
use wrong_handles::taker;

#[cfg(target_os = "linux")]
common::peers!(
    victim,
    batcher,
    opener,
    few_descriptors,
    little_memory,
    no_descriptors,
    small_files,
    scribbler,
    two_links,
    taker,
);
#[cfg(all(unix, not(target_os = "linux")))]
common::peers!(victim, opener, scribbler, two_links);
#[cfg(windows)]
common::peers!(victim, scribbler, two_links);
