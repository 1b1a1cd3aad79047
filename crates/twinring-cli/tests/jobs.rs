//! `--exec` on Windows: a program ends with its guest, and all that it has started with it.
#![cfg(windows)]

mod common;

use common::{Place, until};

/// The program is a shell, whose child would wait for ever and has the output open.
#[test]
fn a_program_s_children_end_with_its_guest() {
    let place = Place::new();
    let inner = format!("child-of-{}", std::process::id());
    let child = format!("@\"{}\" listen {inner}\r\n", env!("CARGO_BIN_EXE_twinring"));
    let program = place.file("program.cmd", child.as_bytes());
    let program = program.to_str().unwrap();
    let listen = place.start("listen", &["--keep", "--exec", program]);
    let is_taken = || {
        let mut second = place.start_named("listen", &inner, &[]);
        until("it waits, or is refused", || {
            second.said("waiting") > 0 || !second.is_running()
        });
        !second.is_running()
    };
    let guest = place.start("connect", &[]);
    until("the child runs", is_taken);
    guest.killed();
    until("the child has ended", || !is_taken());
    // The next one is served.
    let next = place.start("connect", &[]);
    until("the next child runs", is_taken);
    drop((next, listen));
}
