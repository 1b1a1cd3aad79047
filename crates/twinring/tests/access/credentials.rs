//! What a guest says about itself, where the kernel says otherwise.

use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, UCred, sendmsg};
use rustix::process::{Gid, Pid, Uid};

use crate::common::{ALICE, BOB, Parent, Place, Side, Watchdog, are_there_other_users, start_as};
use crate::users::{ROOT, check_error, directory, start};
use crate::wire::{knock, u32_at};

/// Connects to the socket it is told, sends a good KNOCK with false credentials beside it, such as
/// root can send, and says what the answer is.
pub(crate) fn impostor(parent: &'static Parent) {
    let stream = std::os::unix::net::UnixStream::connect(parent.next_line()).unwrap();
    let said = UCred {
        pid: Pid::from_raw(parent.next_as::<i32>()).unwrap(),
        uid: Uid::from_raw(parent.next_as()),
        gid: Gid::ROOT,
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmCredentials(said)));
    let knock = knock(parent.place.name());
    let sent = sendmsg(
        &stream,
        &[IoSlice::new(&knock)],
        &mut control,
        SendFlags::NOSIGNAL,
    );
    // It may have been refused before.
    parent.say(format!("sent: {}", sent.is_ok()));
    let mut answer = Vec::new();
    let _ = (&stream).read_to_end(&mut answer);
    let kind = answer.get(..12).map(|begin| u32_at(begin, 8));
    parent.say(format!("answer: {kind:?}"));
}

#[test]
fn credentials_in_a_message_are_not_believed() {
    let _watchdog = Watchdog::new(120);
    if !are_there_other_users() {
        return;
    }
    let place = Place::new();
    let path = directory(&place, ALICE);
    let mut host = start(ALICE, &place, Side::Host, &BOB.to_string(), &path);
    host.expect("opened");
    let socket = path.join(crate::wire::socket_path(&place).file_name().unwrap());
    // Root says that it is Alice's host itself, or Bob's process.
    let bob = start_as(BOB, &place, "side", Side::Guest);
    for (pid, uid) in [(host.pid(), ALICE), (bob.pid(), BOB)] {
        let mut impostor = start_as(ROOT, &place, "impostor", Side::Guest);
        impostor.say(socket.display());
        impostor.say(pid);
        impostor.say(uid);
        let truth = format!("process {} of user 0 wants to connect", impostor.pid());
        impostor.wait_for_line(|line| line.starts_with("sent: "));
        // REFUSE, or nothing if it was still sending when the host hung up.
        impostor.wait_for_line(|line| matches!(line, "answer: Some(5)" | "answer: None"));
        // An error of the same kind is told once in a row.
        if uid == ALICE {
            check_error(&mut host, "WrongOwner ", &[&truth]);
        }
    }
    for line in host.lines_so_far() {
        assert!(!line.starts_with("connected"), "{line}");
    }
}
