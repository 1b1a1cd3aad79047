//! Under the service manager of Windows. It installs a service on the machine, so it runs only if it is asked for:
//! `cargo test -p inventory -- --include-ignored`, as an administrator.
#![cfg(windows)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::Scene;
use twinring::User;

/// In a place where LocalService may look, with a log where it may write.
struct Installed {
    scene: Scene,
    service: PathBuf,
    log: PathBuf,
}

impl Installed {
    fn new() -> Installed {
        let home = tempfile::tempdir_in(std::env::var_os("ProgramData").unwrap()).unwrap();
        let scene = Scene::at(home, is_wine());
        let installed = Installed {
            service: scene.home().join("inventory-service.exe"),
            log: scene.home().join("service.log"),
            scene,
        };
        fs::copy(env!("CARGO_BIN_EXE_inventory-service"), &installed.service).unwrap();
        // An earlier test may have been killed.
        let _ = installed.command(["uninstall"]).output();
        let log = ["--log", installed.log.to_str().unwrap()];
        installed.manage(installed.scene.service_arguments("install", &log));
        installed
    }

    fn command<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.service);
        command.args(arguments.into_iter().map(Into::into));
        command
    }

    /// The service's own action, as a person would type it.
    fn manage<A: Into<OsString>>(&self, arguments: impl IntoIterator<Item = A>) {
        run(&mut self.command(arguments));
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = self.command(["uninstall"]).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
}

/// Wine has only this user, so a service is never another's there; and its service manager restarts nothing.
fn is_wine() -> bool {
    User::current().unwrap().to_string() == "S-1-5-21-0-0-0-1000"
}

#[test]
#[ignore = "installs a service"]
fn the_service_is_installed_and_restarted_and_uninstalled() {
    let installed = Installed::new();
    let mut gui = installed.scene.console();
    gui.line("service not running, waiting");
    installed.manage(["start"]);
    gui.line("idle");
    gui.say("start");
    gui.line("done: 80 of 80 files");

    // Restarted while the GUI lives.
    installed.manage(["stop"]);
    gui.line(
        "service not running, waiting (the peer closed the connection: the service was stopped)",
    );
    run(Command::new("sc.exe").args(["start", "TwinringInventory"]));
    let connected = gui.line("connected to process");
    gui.line("idle");

    // A GUI is killed, and the next is served.
    gui.kill();
    let gui = installed.scene.console();
    gui.line("idle");

    // The service is killed, and Windows starts it again.
    let pid = connected.split_whitespace().nth(3).unwrap();
    run(Command::new("taskkill.exe").args(["/F", "/PID", pid]));
    gui.line("service not running, waiting (it crashed, or was killed)");
    if is_wine() {
        installed.manage(["start"]);
    }
    gui.line("idle");

    installed.manage(["uninstall"]);
    gui.line("service not running, waiting (the peer closed");
    let log = fs::read_to_string(&installed.log).unwrap();
    assert!(log.contains(" serving "), "{log}");
    // The callback's "closed" may be written after it.
    let stopped = log
        .lines()
        .rev()
        .take(2)
        .any(|line| line.ends_with(" stopped"));
    assert!(stopped, "{log}");
}
