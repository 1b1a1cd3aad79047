//! Processes that have taken a host's place. A guest finds out before it says a word.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::common::{
    ALICE, BOB, Parent, Place, Side, Watchdog, are_there_other_users, of_user, start_as,
};
use crate::users::{ROOT, check_error, directory, start};
use crate::wire::socket_path;

/// Listens where it is told, and says of each guest how many bytes it sent.
pub(crate) fn squatter(parent: &'static Parent) {
    let listener = UnixListener::bind(parent.next_line()).unwrap();
    parent.say("listening");
    for guest in listener.incoming() {
        let mut sent = Vec::new();
        // It may have hung up in any way.
        let _ = guest.unwrap().read_to_end(&mut sent);
        parent.say(format!("{} bytes", sent.len()));
    }
}

#[test]
fn a_squatter_gets_nothing() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    for (trusted, guest_access) in [(ROOT, "service"), (ROOT, "0"), (ALICE, "same")] {
        let place = Place::new();
        let path = directory(&place, trusted);
        let socket = path.join(socket_path(&place).file_name().unwrap());
        // How it could get in there is another question.
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let mut squatter = start_as(BOB, &place, "squatter", Side::Host);
        squatter.say(socket.display());
        squatter.expect("listening");
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();

        // By its socket it is known without being connected to.
        let mut guest = start(ALICE, &place, Side::Guest, guest_access, &path);
        let whose = format!("belongs to user {BOB}");
        let parts = [place.name(), socket.to_str().unwrap(), &whose];
        check_error(&mut guest, "WrongOwner ", &parts);
        drop(guest);
        assert_eq!(squatter.lines_so_far(), [""; 0], "nobody has called");

        // Even if the file is right, the kernel tells who listens.
        of_user(trusted, &socket);
        let mut guest = start(ALICE, &place, Side::Guest, guest_access, &path);
        let who = format!("process {} of user {BOB}", squatter.pid());
        let trusts = format!("user {trusted}");
        let parts = [place.name(), &who, &trusts, "Access::Users"];
        check_error(&mut guest, "WrongOwner ", &parts);
        squatter.expect("0 bytes");
        drop(guest);
        for line in squatter.lines_so_far() {
            assert_eq!(line, "0 bytes");
        }
    }
}
