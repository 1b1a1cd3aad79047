//! Between whom a link is: who is let in, whose host is trusted, and what those are told who are
//! not. Each user is a process of its own.

#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod credentials;
#[cfg(unix)]
mod crowds;
#[cfg(unix)]
mod groups;
#[cfg(windows)]
mod pipes;
#[cfg(unix)]
mod places;
#[cfg(unix)]
mod squatters;
#[cfg(unix)]
mod users;
#[path = "../hostile/wire.rs"]
mod wire;

use std::path::PathBuf;

use twinring::{Access, Link, User};

use common::{LIMIT, Parent, Side};

#[cfg(target_os = "linux")]
common::peers!(side, squatter, locker, crowd, impostor);
#[cfg(all(unix, not(target_os = "linux")))]
common::peers!(side, squatter, locker, crowd);
#[cfg(windows)]
common::peers!(side, squatter);

#[cfg(target_os = "linux")]
use credentials::impostor;
#[cfg(unix)]
use crowds::crowd;
#[cfg(windows)]
use pipes::squatter;
#[cfg(unix)]
use places::locker;
#[cfg(unix)]
use squatters::squatter;

/// "same", "service", the host's user and its guests' group, as "1:2", or users by their numbers.
fn access(text: &str) -> Access {
    match text {
        "same" => Access::SameUser,
        "service" => Access::Service,
        users => match users.split_once(':') {
            Some((host, guests)) => Access::Group {
                host: host.parse().unwrap(),
                guests: guests.parse().unwrap(),
            },
            None => {
                let user = |text: &str| text.parse::<User>().unwrap();
                Access::Users(users.split(',').map(user).collect())
            }
        },
    }
}

/// One side of a link, as its parent says: the access, then the directory, "-" for the default one.
/// Says all errors and statuses; sends a message when it is connected, and says what it gets.
fn side(parent: &'static Parent) {
    let access = access(&parent.next_line());
    let directory = parent.next_line();
    let mut builder = match parent.side {
        Side::Host => Link::host(parent.place.name()),
        Side::Guest => Link::guest(parent.place.name()),
    }
    .access(access);
    if directory != "-" {
        builder = builder.directory(PathBuf::from(directory));
    }
    let told = |e: &twinring::Error| format!("{:?} {e}", e.kind());
    let link = match builder.on_error(move |e| parent.say(told(e))).open() {
        Ok(link) => link,
        Err(e) => return parent.say(format!("not opened: {}", told(&e))),
    };
    parent.say("opened");
    loop {
        let Ok(conn) = link.within(LIMIT).next() else {
            // Why not has been said, or is about to be.
            continue;
        };
        parent.say(format!("connected to {}", conn.peer()));
        let greeting = format!("greetings from {}", User::current().unwrap());
        if conn.send(greeting.as_bytes()).is_err() {
            continue;
        }
        while let Ok(Some(bytes)) = conn.recv() {
            parent.say(String::from_utf8(bytes).unwrap());
        }
    }
}
