//! The claim on a name, its listener, and how a guest reaches them.

use std::fmt::Display;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_NAME};
use windows_sys::Win32::System::Threading::{
    CREATE_EVENT_MANUAL_RESET, CreateEventExW, EVENT_MODIFY_STATE, OpenEventW,
    SYNCHRONIZATION_SYNCHRONIZE,
};

use super::channel::Channel;
use super::{claim, pipe};
use crate::error::{Error, ErrorKind};
use crate::os::endpoint::common::RendezvousOptions;
use crate::os::event::{Source, new_event, reset, set};
use crate::os::process::{self, User};
use crate::os::system_error;
use crate::os::windows::{AccessList, READ_CONTROL, is_code, own, owner, wide};

#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    /// The user of this process, who owns the objects that we create.
    pub(super) user: String,
    /// The common part of the names of our own objects.
    pub(super) name: String,
    /// The users whose hosts a guest looks for, and the common part of the names of their objects.
    hosts: Vec<(String, String)>,
    /// Who may connect to a host besides its own user, as entries of an access list.
    guests: String,
}

impl Rendezvous {
    /// The thread may be acting as another user (impersonation), and a host would take us for that one.
    pub(crate) const CONNECTS_ON_ANY_THREAD: bool = false;

    pub(crate) fn new(key: &str, options: &RendezvousOptions) -> Result<Rendezvous, Error> {
        let whose = |e| system_error("cannot find out which user this process runs as", e);
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
        Ok(Rendezvous {
            name: name_of(&user, key),
            user,
            hosts,
            guests,
        })
    }

    /// Whether it was made for a guest.
    pub(in crate::os::endpoint) fn is_guest(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The kernel's names are not in a file system.
    pub(crate) fn may_be_slow(&self) -> bool {
        false
    }

    /// `label` is not used: a mutex holds no text.
    pub(crate) fn claim(&self, _label: &str) -> Result<Option<NameClaim>, Error> {
        let name = format!(r"Global\{}", self.name);
        let failed = |what, e| self.unusable(&format!("cannot {what} the mutex {name}"), e);
        let access = self.private().map_err(|e| failed("describe", e))?;
        let mutex = claim::open(&name, &access).map_err(|e| failed("open", e))?;
        self.check_owner(&mutex, "mutex", &name)?;
        let held = claim::hold(&name, mutex).map_err(|e| failed("take", e))?;
        Ok(held.map(|held| NameClaim {
            place: self.clone(),
            _held: held,
        }))
    }

    /// The system does not say who holds a mutex.
    pub(crate) fn claimant(&self) -> Option<String> {
        None
    }

    pub(crate) fn connect(&self) -> io::Result<Option<Channel>> {
        // If one host's pipe is wrong, or someone else has taken its name, we still try the next;
        // it is reported if there is none.
        let mut found = Ok(None);
        for (host, name) in &self.hosts {
            match pipe::open(&pipe_name(name)) {
                Ok(None) => {}
                Ok(Some(pipe)) if owner(pipe.as_handle()).is_ok_and(|owner| owner == *host) => {
                    return Channel::of_guest(pipe).map(Some);
                }
                other if matches!(found, Ok(None)) => found = other,
                _ => {}
            }
        }
        found?.map(Channel::of_guest).transpose()
    }

    pub(super) fn pipe_name(&self) -> String {
        pipe_name(&self.name)
    }

    pub(super) fn notice_name(&self) -> String {
        format!(r"Global\{}-host", self.name)
    }

    /// The event that a guest waits for while there is no host.
    pub(in crate::os::endpoint) fn notice(&self) -> io::Result<HostNotice> {
        if self.hosts.iter().any(|(host, _)| *host != self.user) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let access = self.private()?;
        // SAFETY: a zero-terminated string, and attributes that live as long as the call.
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
        Ok(HostNotice { event })
    }

    /// Wakes the guests that wait for a host. If none waits, there is no such event.
    pub(super) fn give_notice(&self) {
        // SAFETY: a zero-terminated string.
        let event = unsafe {
            own("OpenEventW", || {
                OpenEventW(EVENT_MODIFY_STATE, 0, wide(&self.notice_name()).as_ptr())
            })
        };
        if let Ok(event) = event {
            set(&event);
        }
    }

    /// For objects that only this user may touch.
    pub(super) fn private(&self) -> io::Result<AccessList> {
        AccessList::for_owner(&self.user, "")
    }

    /// For the pipe. Guests may read and write, but not add instances, which would be acting as the
    /// host. No sandboxed program (AppContainer) is among them: it would need an entry of its own.
    ///
    /// The pipe itself rejects connections from the network. Denying access to the group NETWORK as well
    /// would affect local programs: those started through SSH or WinRM are in it.
    pub(super) fn for_guests(&self) -> io::Result<AccessList> {
        AccessList::for_owner(&self.user, &self.guests)
    }

    /// Anybody can take a name first; our objects are only good if we (or a process of the same user)
    /// created them.
    pub(super) fn check_owner(
        &self,
        object: &OwnedHandle,
        kind: &str,
        name: &str,
    ) -> Result<(), Error> {
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
        system_error(what, e)
    }
}

/// The common part of the names of a host's objects.
pub(super) fn name_of(user: &dyn Display, key: &str) -> String {
    format!("twinring-1-{user}-{key}")
}

pub(super) fn pipe_name(name: &str) -> String {
    format!(r"\\.\pipe\{name}")
}

#[derive(Debug)]
pub(crate) struct NameClaim {
    place: Rendezvous,
    _held: claim::Held,
}

impl NameClaim {
    pub(crate) fn may_tidy() -> bool {
        false
    }

    pub(crate) fn tidy(&mut self) {}

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

    /// The instance that creates the pipe, so that its access list is ours.
    pub(super) fn first_instance(&self, name: &str) -> Result<OwnedHandle, Error> {
        let place = &self.place;
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let access = place.for_guests().map_err(failed)?;
        match pipe::instance(name, &access, true) {
            // There is such a pipe. It may be one of ours, or of a host of this user that has
            // ended: a guest that was stopped in the middle of its handshake keeps it alive. Another
            // instance shows it, because it has the owner of the whole pipe. (Wine ignores "first", so
            // only Windows itself gets here.)
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
    place: Rendezvous,
    call: Mutex<pipe::Call>,
    /// Set when a call has come.
    called: Arc<OwnedHandle>,
}

impl Listener {
    /// The kernel's names stay for as long as their objects.
    pub(crate) fn is_lost(&self) -> bool {
        false
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Handle(self.called.as_handle())
    }

    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        match call.state() {
            pipe::CallState::Waiting => return Ok(None),
            pipe::CallState::Called => {}
            pipe::CallState::Failed => {
                call.restart()?;
                return Ok(None);
            }
        }
        // The next guest must find an instance at any time: without one the name would be free.
        let access = self.place.for_guests()?;
        let next = pipe::instance(&self.place.pipe_name(), &access, false)?;
        let next = pipe::Call::begin(next, &self.called)?;
        let answered = std::mem::replace(&mut *call, next);
        Channel::of_host(answered.into_pipe()).map(Some)
    }

    pub(crate) fn accept_with(&self, _: &super::Spare) -> io::Result<Option<Channel>> {
        Ok(None)
    }
}

/// Set when a host begins to listen.
#[derive(Debug)]
pub(crate) struct HostNotice {
    pub(super) event: OwnedHandle,
}

impl HostNotice {
    pub(in crate::os::endpoint) fn source(&self) -> Source<'_> {
        Source::Handle(self.event.as_handle())
    }

    pub(in crate::os::endpoint) fn clear(&self) {
        reset(&self.event);
    }
}
