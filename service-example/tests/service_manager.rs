//! Under the service manager of Windows. It installs a service on the machine, so it runs only if it is asked for:
//! `cargo test -- --ignored`, as an administrator.
#![cfg(windows)]

mod common;

use std::process::Command;

use common::{Program, Scene};

/// The service's own action, as a person would type it.
fn manage(action: &str) -> String {
    let service = env!("CARGO_BIN_EXE_inventory-service");
    output(Command::new(service).arg(action))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

fn sc(action: &str) -> String {
    output(Command::new("sc.exe").args([action, "TwinringInventory"]))
}

/// Uninstalls it whatever happens, and what an earlier test has left that was killed.
struct Installed;

impl Installed {
    fn new(install: &mut Command) -> Installed {
        uninstall();
        let installed = Installed;
        assert!(output(install).starts_with("installed"));
        installed
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        uninstall();
    }
}

fn uninstall() {
    let service = env!("CARGO_BIN_EXE_inventory-service");
    // It fails if there is none.
    let _ = Command::new(service).arg("uninstall").output();
}

#[test]
#[ignore = "installs a service"]
fn install_start_talk_stop_uninstall() {
    let scene = Scene::new();
    let log = scene.log();
    let mut install = scene.service_command("install", &["--log", log.to_str().unwrap()]);
    let mut gui = scene.console();
    gui.line("service not running, waiting");

    let _installed = Installed::new(&mut install);
    assert!(manage("start").starts_with("started"));
    gui.line("idle");
    gui.say("start");
    gui.line("done: 80");

    // Restarted while the GUI lives.
    assert!(manage("stop").starts_with("stopped"));
    gui.line(
        "service not running, waiting (the peer closed the connection: the service was stopped)",
    );
    sc("start");
    gui.line("idle");

    // A GUI is killed, and the next is served.
    gui.kill();
    let gui: Program = scene.console();
    gui.line("idle");

    assert!(manage("uninstall").starts_with("uninstalled"));
    gui.line("service not running");
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("serving "), "{told}");
    assert!(told.ends_with("stopped\n"), "{told}");
}
