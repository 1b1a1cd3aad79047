//! The GUI's side of the link. It knows what the service says, and nothing of how that is shown.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use twinring::{Connection, End, ErrorKind, Link, Timeout};

use crate::{Command, Meeting, Snapshot, decode, encode};

/// How soon a GUI shows that the service has not come, or why.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A link to the service, which connects by itself whenever there is one.
pub struct Client {
    link: Link,
    seen: Arc<Mutex<Seen>>,
}

/// What is known of the service now.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub presence: Presence,
    /// What it said last. Kept when it goes, for people to read on.
    pub snapshot: Option<Snapshot>,
    heard: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does not run; with the reason why the last one went, if there was one.
    Absent(Option<String>),
    /// It has another GUI now.
    Busy(String),
    /// It does not serve this user.
    Refused(String),
    /// Anything else that is in the way.
    Trouble(String),
    /// With what process.
    Connected(String),
}

impl Default for Presence {
    fn default() -> Presence {
        Presence::Absent(None)
    }
}

impl Seen {
    /// For how long a connected service has said nothing, if that is longer than it should be: it has something to say
    /// each second.
    pub fn silent_for(&self) -> Option<Duration> {
        let silent = self.heard?.elapsed();
        let connected = matches!(self.presence, Presence::Connected(_));
        (connected && silent > Duration::from_secs(3)).then_some(silent)
    }
}

impl Client {
    /// `changed` is called, by a thread of the client's, when there is something new to be [`seen`](Client::seen).
    pub fn open(
        meeting: &Meeting,
        changed: impl Fn() + Send + 'static,
    ) -> twinring::Result<Client> {
        let link = meeting.guest().open()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let follower = Follower {
            link: link.within(LOOK_AGAIN),
            seen: seen.clone(),
            changed,
        };
        thread::spawn(move || follower.run());
        Ok(Client { link, seen })
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Never waits: a GUI's thread must not, whatever the service does.
    pub fn send(&self, command: Command) -> twinring::Result<()> {
        self.link.within(Timeout::Now).send(&encode(&command))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ends the follower as well.
        self.link.close(0, "the GUI was closed");
    }
}

/// The thread that waits for the service and listens to it.
struct Follower<F> {
    link: Link,
    seen: Arc<Mutex<Seen>>,
    changed: F,
}

impl<F: Fn()> Follower<F> {
    fn run(&self) {
        let mut absent = Presence::Absent(None);
        loop {
            match self.link.next() {
                Ok(conn) => match self.listen(&conn) {
                    Ok(end) => {
                        absent = Presence::Absent(end);
                        self.show(absent.clone());
                    }
                    Err(e) => {
                        conn.close(1, "not understood");
                        self.show(Presence::Trouble(format!(
                            "the service is of another version than this GUI: {e}"
                        )));
                        // The next connection will be no better, and is there at once.
                        thread::sleep(LOOK_AGAIN);
                    }
                },
                Err(e) => self.show(match e.kind() {
                    ErrorKind::Closed => return,
                    // An attempt that broke off says nothing. The next one will.
                    ErrorKind::NotConnected => continue,
                    ErrorKind::TimedOut => absent.clone(),
                    ErrorKind::Busy => Presence::Busy(e.to_string()),
                    ErrorKind::AccessDenied => Presence::Refused(e.to_string()),
                    _ => Presence::Trouble(e.to_string()),
                }),
            }
        }
    }

    /// Until the end of the connection, which it returns as text, or something that it does not understand.
    fn listen(&self, conn: &Connection) -> serde_json::Result<Option<String>> {
        self.show(Presence::Connected(conn.peer().to_string()));
        loop {
            match conn.recv() {
                Ok(Some(message)) => self.update(decode(&message)?),
                Ok(None) => return Ok(None),
                Err(e) => {
                    return Ok(Some(match e.end() {
                        Some(End::Crashed) => "it crashed, or was killed".to_owned(),
                        Some(end) => end.to_string(),
                        None => e.to_string(),
                    }));
                }
            }
        }
    }

    fn show(&self, presence: Presence) {
        let mut seen = self.seen.lock().unwrap();
        if seen.presence != presence {
            if matches!(presence, Presence::Connected(_) | Presence::Refused(_)) {
                // That was another service, or is no longer for this user.
                seen.snapshot = None;
            }
            seen.presence = presence;
            seen.heard = Some(Instant::now());
            drop(seen);
            (self.changed)();
        }
    }

    fn update(&self, snapshot: Snapshot) {
        let mut seen = self.seen.lock().unwrap();
        seen.snapshot = Some(snapshot);
        seen.heard = Some(Instant::now());
        drop(seen);
        (self.changed)();
    }
}
