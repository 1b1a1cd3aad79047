//! Windows: a mutex for the claim, and a named pipe for the handshake.
//!
//! For a host of user `U` and a name whose key is `K` these objects exist, each made by whoever
//! needs it first, freed by the kernel with its last handle, and owned by `U`:
//!
//! | name                               | object                                             |
//! |------------------------------------|----------------------------------------------------|
//! | `Global\twinring-1-U-K`            | mutex, held by the host for as long as it lives    |
//! | `\\.\pipe\twinring-1-U-K`          | pipe, for the handshake only                       |
//! | `Global\twinring-1-U-K-host`       | event, set when a host begins to listen: a hint    |
//!
//! Mutexes and events need no privilege to be made in `Global\`, so that sessions do not matter.
//! All that a connection uses after its handshake has no name.
//!
//! `U` is the host's user, so a guest has to know whose host it looks for: its own user's, or those
//! that its [`process::Access`] names, one after the other. The event is only for guests of the same
//! user; whoever could set another user's event could keep it from sleeping, and who waits for
//! another user's host looks for it now and then instead.

#[path = "windows/claim.rs"]
mod claim;
#[path = "windows/offer.rs"]
mod offer;
#[path = "windows/pipe.rs"]
mod pipe;
#[cfg(test)]
#[path = "windows/tests.rs"]
mod tests;

use std::fmt::Display;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_NAME};
use windows_sys::Win32::System::Threading::{
    CREATE_EVENT_MANUAL_RESET, CreateEventExW, EVENT_MODIFY_STATE, OpenEventW,
    SYNCHRONIZATION_SYNCHRONIZE,
};

use super::{HANDOVER, PACKET, Packet, PlaceOptions, Received, refused};
use crate::error::{Error, ErrorKind};
use crate::os::event::{Alarm, Deadline, Sleeper, Source, new_event, reset, set};
use crate::os::process::{self, Peer, Process, User};
use crate::os::windows::{Access, is_code, own, owner, wide};

pub(crate) use offer::{Blank, Handover, Offer, Taken};

/// The right to read whom an object belongs to.
const READ_CONTROL: u32 = 0x2_0000;

#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The user of this process, whose objects are those that we make.
    user: String,
    /// The common part of the names of our own objects.
    name: String,
    /// Whose hosts a guest looks for, and what the names of their objects have in common.
    hosts: Vec<(String, String)>,
    /// Who may come to a host besides its own user, as entries of an access list.
    guests: String,
}

impl Place {
    /// The thread may be acting as another user (impersonation), whom a host would take us for.
    pub(crate) const CONNECTS_ON_ANY_THREAD: bool = false;

    pub(crate) fn new(key: &str, options: &PlaceOptions) -> Result<Place, Error> {
        let whose = |e| Error::from_io("cannot find out which user this process runs as", e);
        let user = User::current().map_err(whose)?.to_string();
        let hosts = if options.is_guest {
            let hosts = options.access.hosts().map_err(whose)?;
            let with_name = |host: &User| (host.to_string(), name_of(host, key));
            hosts.iter().map(with_name).collect()
        } else {
            Vec::new()
        };
        let entry = |who: &dyn Display| format!("(A;;{:#x};;;{who})", pipe::GUEST_RIGHTS);
        let guests = match &options.access {
            process::Access::SameUser => String::new(),
            process::Access::Users(users) => users.iter().map(|user| entry(user)).collect(),
            // The group INTERACTIVE.
            process::Access::Service => entry(&"IU"),
        };
        Ok(Place {
            name: name_of(&user, key),
            user,
            hosts,
            guests,
        })
    }

    /// `label` has no place: a mutex holds no text.
    pub(crate) fn claim(&self, _label: &str) -> Result<Option<Claim>, Error> {
        let name = format!(r"Global\{}", self.name);
        let failed = |what, e| self.unusable(&format!("cannot {what} the mutex {name}"), e);
        let access = self.private().map_err(|e| failed("describe", e))?;
        let mutex = claim::open(&name, &access).map_err(|e| failed("open", e))?;
        self.check_owner(&mutex, "mutex", &name)?;
        let held = claim::hold(&name, mutex).map_err(|e| failed("take", e))?;
        Ok(held.map(|held| Claim {
            place: self.clone(),
            _held: held,
        }))
    }

    /// The system does not tell who holds a mutex.
    pub(crate) fn claimant(&self) -> Option<String> {
        None
    }

    pub(crate) fn connect(&self) -> io::Result<Option<Channel>> {
        // What one host's pipe is, or that somebody else has its name, does not keep us from the
        // next; it is told if there is none.
        let mut found = Ok(None);
        for (host, name) in &self.hosts {
            match pipe::open(&pipe_name(name)) {
                Ok(None) => {}
                Ok(Some(pipe)) if owner(pipe.as_handle()).is_ok_and(|owner| owner == *host) => {
                    return Ok(Some(Channel::of_guest(pipe)));
                }
                other if matches!(found, Ok(None)) => found = other,
                _ => {}
            }
        }
        Ok(found?.map(Channel::of_guest))
    }

    fn pipe_name(&self) -> String {
        pipe_name(&self.name)
    }

    fn notice_name(&self) -> String {
        format!(r"Global\{}-host", self.name)
    }

    /// The event that a guest waits for while there is no host.
    pub(super) fn notice(&self) -> io::Result<Notice> {
        if self.hosts.iter().any(|(host, _)| *host != self.user) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let access = self.private()?;
        // SAFETY: a string that ends with a zero, and attributes that live as long as the call.
        let event = unsafe {
            own("CreateEventExW", || {
                CreateEventExW(
                    &access.attributes(),
                    wide(&self.notice_name()).as_ptr(),
                    CREATE_EVENT_MANUAL_RESET,
                    EVENT_MODIFY_STATE | SYNCHRONIZATION_SYNCHRONIZE | READ_CONTROL,
                )
            })
        }?;
        // Another user's event could be kept set, and we would never sleep.
        if owner(event.as_handle())? != self.user {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Notice { event })
    }

    /// Wakes the guests that wait for a host. Without one there is no such event.
    fn give_notice(&self) {
        // SAFETY: a string that ends with a zero.
        let event = unsafe {
            own("OpenEventW", || {
                OpenEventW(EVENT_MODIFY_STATE, 0, wide(&self.notice_name()).as_ptr())
            })
        };
        if let Ok(event) = event {
            set(&event);
        }
    }

    /// For what nobody but this user may touch.
    fn private(&self) -> io::Result<Access> {
        Access::for_owner(&self.user, "")
    }

    /// For the pipe. Guests may read and write, but not add instances, which would be to act as the
    /// host. No sandboxed program (AppContainer) is among them: it would need an entry of its own.
    ///
    /// Whoever comes over the network is turned away by the pipe itself. To deny access to the
    /// group NETWORK as well would hit local programs: those started through SSH or WinRM are in it.
    fn for_guests(&self) -> io::Result<Access> {
        Access::for_owner(&self.user, &self.guests)
    }

    /// A name can be taken by anybody who comes first; ours are only good if we (or a process of
    /// the same user) made them.
    fn check_owner(&self, object: &OwnedHandle, kind: &str, name: &str) -> Result<(), Error> {
        let failed = |e| self.unusable(&format!("cannot ask whose the {kind} {name} is"), e);
        let other = owner(object.as_handle()).map_err(failed)?;
        if other == self.user {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongOwner,
            format!(
                "the {kind} {name} belongs to user {other}, not to user {}; a process of that user \
                 has taken the name: end it, or use another name for the link",
                self.user
            ),
        ))
    }

    fn unusable(&self, what: &str, e: io::Error) -> Error {
        if is_code(&e, &[ERROR_ACCESS_DENIED]) {
            return Error::new(
                ErrorKind::AccessDenied,
                format!(
                    "{what}: {e}; a process of another user may have taken the name: end it, or \
                     use another name for the link",
                ),
            )
            .with_source(e);
        }
        if is_code(&e, &[ERROR_INVALID_NAME]) {
            return Error::new(ErrorKind::InvalidName, format!("{what}: {e}")).with_source(e);
        }
        Error::from_io(what, e)
    }
}

/// The common part of the names of a host's objects.
fn name_of(user: &dyn Display, key: &str) -> String {
    format!("twinring-1-{user}-{key}")
}

fn pipe_name(name: &str) -> String {
    format!(r"\\.\pipe\{name}")
}

#[derive(Debug)]
pub(crate) struct Claim {
    place: Place,
    _held: claim::Held,
}

impl Claim {
    pub(crate) fn listen(&self) -> Result<Listener, Error> {
        let place = &self.place;
        let name = place.pipe_name();
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let called = Arc::new(new_event(true).map_err(failed)?);
        let pipe = self.first_instance(&name)?;
        let call = pipe::Call::begin(pipe, &called).map_err(failed)?;
        place.give_notice();
        Ok(Listener {
            place: place.clone(),
            call: Mutex::new(call),
            called,
        })
    }

    /// As [`Listener::is_lost`].
    pub(crate) fn is_lost(&self) -> bool {
        false
    }

    /// The instance that makes the pipe, so that its access list is ours.
    fn first_instance(&self, name: &str) -> Result<OwnedHandle, Error> {
        let place = &self.place;
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let access = place.for_guests().map_err(failed)?;
        match pipe::instance(name, &access, true) {
            // There is such a pipe. It may be one of ours, or of a host of this user that has
            // ended: a guest that was stopped in the middle of its handshake keeps it alive. A
            // further instance tells, for it has the owner of the whole pipe. (Wine takes no notice
            // of "first", so that only Windows itself comes here.)
            Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => {
                let pipe = pipe::instance(name, &access, false).map_err(failed)?;
                place.check_owner(&pipe, "pipe", name)?;
                Ok(pipe)
            }
            other => other.map_err(failed),
        }
    }
}

/// One instance of the pipe always waits for a guest, from `listen` on.
#[derive(Debug)]
pub(crate) struct Listener {
    place: Place,
    call: Mutex<pipe::Call>,
    /// Set when `call` is done.
    called: Arc<OwnedHandle>,
}

impl Listener {
    /// Names of the kernel stay for as long as their objects.
    pub(crate) fn is_lost(&self) -> bool {
        false
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Handle(self.called.as_handle())
    }

    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        match call.state() {
            pipe::State::Waiting => return Ok(None),
            pipe::State::Called => {}
            pipe::State::Failed => {
                call.restart()?;
                return Ok(None);
            }
        }
        // The next guest must find an instance at any time: without one the name would be free.
        let access = self.place.for_guests()?;
        let next = pipe::instance(&self.place.pipe_name(), &access, false)?;
        let next = pipe::Call::begin(next, &self.called)?;
        let answered = std::mem::replace(&mut *call, next);
        Ok(Some(Channel::of_host(answered.into_pipe())))
    }
}

/// Set when a host begins to listen.
#[derive(Debug)]
pub(super) struct Notice {
    event: OwnedHandle,
}

impl Notice {
    pub(super) fn source(&self) -> Source<'_> {
        Source::Handle(self.event.as_handle())
    }

    pub(super) fn clear(&self) {
        reset(&self.event);
    }
}

#[derive(Debug)]
pub(crate) struct Channel {
    pipe: OwnedHandle,
    side: Side,
}

/// Which end of the pipe is ours, and what has become clear about handing over memory.
#[derive(Debug)]
enum Side {
    /// The server end. Whether the guest takes out of our process what it is offered.
    Host { guest_takes: AtomicBool },
    /// The client end. The host's process, if we may take things out of it.
    Guest { host: OnceLock<OwnedHandle> },
}

impl Channel {
    fn of_host(pipe: OwnedHandle) -> Channel {
        let guest_takes = AtomicBool::new(false);
        let side = Side::Host { guest_takes };
        Channel { pipe, side }
    }

    fn of_guest(pipe: OwnedHandle) -> Channel {
        let host = OnceLock::new();
        let side = Side::Guest { host };
        Channel { pipe, side }
    }

    pub(crate) fn identify(&self) -> io::Result<(Process, Peer)> {
        match &self.side {
            Side::Host { .. } => Process::client_of(self.pipe.as_handle()),
            Side::Guest { host } => {
                let (process, peer) = Process::server_of(self.pipe.as_handle())?;
                // If we may not, the host is more privileged, and gives.
                if let Ok(for_handles) = process.open_for_handles() {
                    let _ = host.set(for_handles);
                }
                Ok((process, peer))
            }
        }
    }

    pub(crate) fn send(
        &self,
        packet: &Packet,
        offer: Option<&Offer>,
        deadline: Deadline,
        sleeper: &dyn Sleeper,
    ) -> io::Result<()> {
        let mut packet = *packet;
        let mut given = None;
        match (&self.side, offer) {
            (_, Some(offer)) => {
                let handles = offer.give()?;
                packet[HANDOVER].copy_from_slice(&handles.area());
                given = Some(handles);
            }
            (Side::Guest { host }, None) if host.get().is_some() => {
                packet[HANDOVER].copy_from_slice(&offer::will_take());
            }
            (_, None) => {}
        }
        let mut sent = 0;
        while sent < PACKET {
            sent += pipe::write(&self.pipe, &packet[sent..], deadline, sleeper)?;
        }
        if let Some(given) = given {
            given.sent();
        }
        Ok(())
    }

    pub(crate) fn receive(
        &self,
        deadline: Deadline,
        sleeper: &dyn Sleeper,
    ) -> io::Result<Received> {
        let mut packet = [0; PACKET];
        let mut got = 0;
        while got < PACKET {
            got += pipe::read(&self.pipe, &mut packet[got..], deadline, sleeper)?;
        }
        let area = &packet[HANDOVER];
        let handover = match &self.side {
            Side::Host { guest_takes } => {
                let (handover, takes) = Handover::of_guest(area);
                guest_takes.store(takes, Ordering::Relaxed);
                handover
            }
            // At once: what was given to us, nobody else can close.
            Side::Guest { host } => Handover::of_host(area, host.get()),
        };
        Ok(Received { packet, handover })
    }
}

impl Drop for Channel {
    /// A guest that breaks a handshake off may have been given handles in a packet that it has not
    /// read.
    fn drop(&mut self) {
        if let Side::Guest { host } = &self.side
            && host.get().is_none()
            && pipe::holds(&self.pipe, PACKET)
            && let Ok(stop) = Alarm::new()
        {
            let _ = self.receive(Deadline::Now, &stop);
        }
    }
}
