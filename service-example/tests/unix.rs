//! What only Unix has: signals, and users that root may become.
#![cfg(unix)]

mod common;

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use common::{Program, Scene};
use rustix::process::{Pid, Signal, kill_process};
use twinring::User;

const NOBODY: u32 = 65534;

fn signal(program: &Program, signal: Signal) {
    let pid = Pid::from_raw(program.pid() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn systemd_stops_and_starts_the_service() {
    let scene = Scene::new();
    let mut first = scene.slow_service();
    let mut gui = scene.console();
    gui.line("idle");
    gui.say("start");
    gui.line("hashing");
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
    let mut first = scene.console();
    first.line("idle");
    first.say("start");
    first.line("hashing");
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

#[test]
fn another_user_is_refused() {
    if User::current().unwrap() != User::system() {
        eprintln!("skipped: only root can be two users");
        return;
    }
    let scene = Scene::public();
    let mut command = scene.service_command("run", &["--for", "0", "--for", "12345"]);
    let service = Program::start(&mut command);
    service.line("waiting");
    let nobody = Program::start(scene.console_command().uid(NOBODY).gid(NOBODY));
    let refused = nobody.line("refused");
    assert!(refused.contains("65534"), "{refused}");
    service.line("");

    let friend = Program::start(scene.console_command().uid(12345).gid(NOBODY));
    friend.line("idle");
    drop(friend);
    let root = scene.console();
    root.line("idle");
    nobody.no_line("idle", Duration::from_millis(500));

    // It may be served by the next, without being started again.
    service.kill();
    nobody.line("service not running, waiting");
    let _service = Program::start(&mut scene.service_command("run", &[]));
    drop(root);
    nobody.line("idle");
}

#[test]
fn a_gui_believes_only_a_service_of_the_system() {
    if User::current().unwrap() != User::system() {
        eprintln!("skipped: only root can be two users");
        return;
    }
    let scene = Scene::public();
    let mut command = scene.service_command("run", &[]);
    let mut impostor = Program::start(command.uid(NOBODY).gid(NOBODY));
    let error = impostor.line("Error: ");
    eprintln!("{error}");
    assert!(!impostor.wait());
}
