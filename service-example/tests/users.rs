//! A service of the system and the GUIs of several users. Only root can be all of them.
#![cfg(unix)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Program, Scene};
use tempfile::TempDir;
use twinring::User;

const FRIEND: u32 = 12345;
const NOBODY: u32 = 65534;

/// The programs where each user finds them; not everybody can look into the folder of the build.
struct Installed(TempDir);

impl Installed {
    fn new() -> Installed {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for program in [
            env!("CARGO_BIN_EXE_inventory-service"),
            env!("CARGO_BIN_EXE_inventory-console"),
        ] {
            let name = Path::new(program).file_name().unwrap();
            fs::copy(program, folder.path().join(name)).unwrap();
        }
        Installed(folder)
    }

    fn start(&self, user: u32, command: &Command) -> Program {
        let name = Path::new(command.get_program()).file_name().unwrap();
        let mut copy = Command::new(self.0.path().join(name));
        copy.args(command.get_args()).uid(user).gid(user);
        Program::start(&mut copy)
    }
}

// The only test of this program: a file that was just written can be started only if no other thread starts something
// meanwhile.
#[test]
fn a_service_is_for_whom_it_says() {
    if User::current().unwrap() != User::system() {
        eprintln!("skipped: only root can be several users");
        return;
    }
    let installed = Installed::new();
    let scene = Scene::public();

    let for_two = ["--for", "0", "--for", "12345"];
    let service = Program::start(&mut scene.service_command(&for_two));
    service.line("waiting");
    let nobody = installed.start(NOBODY, &scene.console_command());
    let refused = nobody.line("refused");
    assert!(refused.contains("user 65534 is not admitted"), "{refused}");
    let logged = service.line("link");
    assert!(logged.contains("user 65534 is not admitted"), "{logged}");
    let friend = installed.start(FRIEND, &scene.console_command());
    friend.line("idle");
    drop(friend);
    let root = scene.console();
    root.line("idle");
    drop(root);
    nobody.no_line("idle", Duration::from_millis(500));

    // Without being started again, it is served by a service for all.
    service.kill();
    nobody.line("service not running, waiting");
    let service = Program::start(&mut scene.service_command(&[]));
    nobody.line("idle");
    service.kill();

    // Nobody else can be the service.
    let mut impostor = installed.start(NOBODY, &scene.service_command(&[]));
    impostor.line("Error: ");
    assert!(!impostor.wait());
}
