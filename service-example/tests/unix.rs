//! What only Unix has: signals.
#![cfg(unix)]

mod common;

use common::{Program, Scene};
use rustix::process::{Pid, Signal, kill_process};

fn signal(program: &Program, signal: Signal) {
    let pid = Pid::from_raw(program.pid() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn systemd_stops_and_starts_the_service() {
    let scene = Scene::new();
    let mut first = scene.slow_service();
    let (gui, _) = scene.console_at_work();
    signal(&first, Signal::TERM);
    gui.line(
        "service not running, waiting (the peer closed the connection: the service was stopped)",
    );
    first.line("stopped");
    assert!(first.wait());

    let _second = scene.service();
    gui.line("idle");
}

/// The window of a GUI in a debugger does not move, but the next GUI is served.
#[test]
fn a_gui_that_is_stopped_gives_way() {
    let scene = Scene::new();
    let service = scene.slow_service();
    let (first, _) = scene.console_at_work();
    signal(&first, Signal::STOP);
    let second = scene.console();
    second.line("busy");
    service.line("disconnected: this side closed the connection, code 1: the GUI does not read");
    second.line("hashing");
    // It finds out when it goes on, and waits for its turn.
    signal(&first, Signal::CONT);
    first.line("busy");
    drop(second);
    first.line("hashing");
}
