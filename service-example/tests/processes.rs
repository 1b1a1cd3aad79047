//! The service and a GUI without a window, as processes: who starts first, who is killed, who comes back.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Scene, files_done};

/// Of the file that is hashed last, 20,000 times "b".
const LAST_HASH: &str = "49a82a41772cfafe8b77be495a8d2fea49cd67100810a2911c12b524d6bf8b51";

#[test]
fn the_service_starts_first() {
    let scene = Scene::new();
    let service = scene.service();
    service.line("waiting");
    let mut gui = scene.console();
    gui.line("idle: 0 of 0 files");
    gui.say("start");
    let done = gui.line("done: 80 of 80 files, 1600000 of 1600000 bytes");
    assert!(done.ends_with(&format!("{LAST_HASH} file 79")), "{done}");
}

#[test]
fn the_gui_starts_first() {
    let scene = Scene::new();
    let gui = scene.console();
    gui.line("service not running, waiting");
    let _service = scene.service();
    gui.line("connected to process");
    gui.line("idle");
}

#[test]
fn the_service_is_killed_and_started_again() {
    let scene = Scene::new();
    let first = scene.slow_service();
    let (mut gui, _) = scene.console_at_work();
    first.kill();
    gui.line("service not running, waiting (it crashed, or was killed)");
    gui.say("start");
    gui.line("not sent");

    let _second = scene.service();
    gui.line("idle");
    gui.say("start");
    gui.line("done: 80");
}

#[test]
fn the_gui_is_killed_and_the_work_goes_on() {
    let scene = Scene::new();
    let service = scene.slow_service();
    let (first, working) = scene.console_at_work();
    let seen = files_done(&working);
    first.kill();
    service.line("disconnected: the peer has gone without a word");

    let second = scene.console();
    assert!(files_done(&second.line("hashing")) >= seen);
    second.line("done: 80");
}

#[test]
fn pause_start_and_cancel() {
    let scene = Scene::new();
    let _service = scene.slow_service();
    let (mut gui, _) = scene.console_at_work();
    gui.say("pause");
    let paused = files_done(&gui.line("paused"));
    gui.no_line("", Duration::from_millis(1500)); // nothing at all
    gui.say("start");
    assert!(files_done(&gui.line("hashing")) >= paused);
    gui.say("cancel");
    assert!(files_done(&gui.line("cancelled")) < 80);
    gui.say("start");
    assert!(files_done(&gui.line("hashing")) < 80);
}

#[test]
fn a_second_gui_waits_until_the_first_has_gone() {
    let scene = Scene::new();
    let service = scene.service();
    let mut first = scene.console();
    first.line("idle");
    let second = scene.console();
    second.line("busy");
    first.say("quit");
    service.line("disconnected: the peer closed the connection: the GUI was closed");
    second.line("idle");
}

#[test]
fn two_services_of_one_name_are_one_too_many() {
    let scene = Scene::new();
    let first = scene.service();
    first.line("waiting");
    let mut second = scene.service();
    second.line("Error: ");
    assert!(!second.wait());
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let user = twinring::User::current().unwrap().to_string();
    for (arguments, text) in [
        (
            &["--private", "no such folder"][..],
            "cannot read the folder",
        ),
        (&["--private", "--for", &user, "."], "cannot be used with"),
    ] {
        let mut service = Command::new(env!("CARGO_BIN_EXE_inventory-service"));
        let output = service.arg("run").args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(text), "{told}");
    }
}

#[test]
fn what_is_no_command_ends_the_connection_only() {
    let scene = Scene::new();
    let service = scene.service();
    service.line("waiting");
    let link = scene.guest();
    let conn = link.within(common::LIMIT).next().unwrap();
    conn.send(b"\"Reboot\"").unwrap();
    service.line("disconnected: this side closed the connection, code 1: not a command");
    drop(link);

    let gui = scene.console();
    gui.line("idle");
}

#[test]
fn a_service_of_another_version_is_told_as_such() {
    let scene = Scene::new();
    let host = scene.host();
    let gui = scene.console();
    let conn = host.within(common::LIMIT).next().unwrap();
    conn.send(b"{\"status\": 7}").unwrap();
    gui.line("trouble: the service is of another version than this GUI");
    drop(host);
    gui.line("service not running, waiting");
}
