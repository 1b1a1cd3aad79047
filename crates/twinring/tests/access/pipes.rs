//! Windows: a pipe in a service's name, made by somebody else.

use std::io::Read;
use std::os::windows::io::FromRawHandle;
use std::ptr;

use windows_sys::Win32::Storage::FileSystem::PIPE_ACCESS_DUPLEX;
use windows_sys::Win32::System::Pipes::{ConnectNamedPipe, CreateNamedPipeW, PIPE_TYPE_BYTE};

use crate::common::{Parent, Place, Side, Watchdog};
use crate::wire::key;

const SYSTEM: &str = "S-1-5-18";

/// Makes a pipe in the name of SYSTEM, as anybody could, and says of each guest how many bytes it
/// sent.
pub(crate) fn squatter(parent: &'static Parent) {
    let name = format!(r"\\.\pipe\twinring-1-{SYSTEM}-{}", key(&parent.place));
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    loop {
        // SAFETY: a string that ends with a zero; the handle is this file's alone.
        let mut pipe = unsafe {
            let pipe = CreateNamedPipeW(
                name.as_ptr(),
                PIPE_ACCESS_DUPLEX,
                PIPE_TYPE_BYTE,
                255,
                4096,
                4096,
                0,
                ptr::null(),
            );
            parent.say("listening");
            ConnectNamedPipe(pipe, ptr::null_mut());
            std::fs::File::from_raw_handle(pipe)
        };
        let mut sent = Vec::new();
        // It may have hung up in any way.
        let _ = pipe.read_to_end(&mut sent);
        parent.say(format!("{} bytes", sent.len()));
    }
}

#[test]
fn a_squatter_gets_nothing() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut squatter = place.start("squatter", Side::Host);
    squatter.expect("listening");
    let user = twinring::User::current().unwrap();
    let mut guest = place.start("side", Side::Guest);
    guest.say("service");
    guest.say("-");
    let told = guest.wait_for_line(|line| line.starts_with("WrongOwner "));
    // What an administrator makes may belong to a group, which is told in other words.
    let (who, user) = (
        format!("process {} ", squatter.pid()),
        format!("user {user}"),
    );
    for part in [place.name(), &who, &user] {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
    squatter.expect("0 bytes");
    drop(guest);
    for line in squatter.lines_so_far() {
        assert!(matches!(&*line, "0 bytes" | "listening"), "{line}");
    }
}

/// A service lets its own user in too, whichever user is logged on.
#[test]
fn a_service_lets_its_own_user_in() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut host = place.start("side", Side::Host);
    host.say("service");
    host.say("-");
    host.expect("opened");
    let mut guest = place.start("side", Side::Guest);
    guest.say("same");
    guest.say("-");
    let user = twinring::User::current().unwrap();
    for child in [&mut host, &mut guest] {
        child.wait_for_line(|line| line.starts_with("connected to "));
        child.wait_for_line(|line| line == format!("greetings from {user}"));
    }
}
