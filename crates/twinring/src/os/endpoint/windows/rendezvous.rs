//! The claim on a name, its listener, and how a guest reaches them.

use std::fmt::Display;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_INVALID_NAME, ERROR_PIPE_BUSY,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_CREATE_PIPE_INSTANCE, WRITE_DAC, WRITE_OWNER};
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
use crate::os::windows::{AccessList, GUEST_RIGHTS, READ_CONTROL, is_code, own, owner, wide};

/// To add instances (FILE_CREATE_PIPE_INSTANCE), which the general right to write includes, and to change who may
/// connect. Nobody gets it by a list of the program's.
const NOT_FOR_GUESTS: u32 = FILE_CREATE_PIPE_INSTANCE | WRITE_DAC | WRITE_OWNER;

#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    /// The user of this process, who owns the objects that we create.
    pub(super) user: String,
    /// The common part of the names of our own objects.
    pub(super) name: String,
    /// The users whose hosts a guest looks for, and the pipes of those: first where nobody else can have one.
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
        let logon = match &options.access {
            process::Access::LogonSession => Some(process::this_logon().map_err(whose)?),
            _ => None,
        };
        // What is for one logon session has its name of that session.
        let name_of = |user: &str| name_of(logon.as_deref().unwrap_or(user), key);
        let hosts = if options.is_guest {
            let hosts = options.access.hosts().map_err(whose)?;
            let pipes = |host: &User| {
                let host = host.to_string();
                let name = name_of(&host);
                let protected = protected_name(&host, &name);
                [(host.clone(), protected), (host, pipe_name(&name))]
            };
            hosts.iter().flat_map(pipes).collect()
        } else {
            Vec::new()
        };
        let entry = |who: &dyn Display| format!("(A;;{GUEST_RIGHTS:#x};;;{who})");
        let guests = match &options.access {
            process::Access::SameUser | process::Access::LogonSession => String::new(),
            process::Access::Users(users) => users.iter().map(|user| entry(user)).collect(),
            // The group INTERACTIVE.
            process::Access::Service => entry(&"IU"),
            process::Access::Group { guests, .. } => entry(guests),
            process::Access::Sddl { guests, .. } => {
                let guests = process::sddl_entries(guests)?;
                format!("(D;;{NOT_FOR_GUESTS:#x};;;WD){guests}")
            }
        };
        Ok(Rendezvous {
            name: name_of(&user),
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

    /// `label` is not used: neither a mutex nor a pipe holds text.
    pub(crate) fn claim(&self, _label: &str) -> Result<Option<NameClaim>, Error> {
        match self.claim_protected()? {
            pipe::Lock::Held(lock) => self.claim_beside(Some(lock)),
            pipe::Lock::Denied => self.claim_beside(None),
            pipe::Lock::Taken => Ok(None),
        }
    }

    /// The rest of a claim. `protected`: what only privileged hosts have.
    pub(super) fn claim_beside(
        &self,
        protected: Option<OwnedHandle>,
    ) -> Result<Option<NameClaim>, Error> {
        // Also the place that needs no rights, where a host of the same user may be that has fewer.
        let mutex = match self.open_mutex() {
            // Somebody else has taken it first; the other place is enough.
            Err(e)
                if protected.is_some()
                    && matches!(e.kind(), ErrorKind::AccessDenied | ErrorKind::WrongOwner) =>
            {
                None
            }
            opened => Some(opened?),
        };
        let held = match mutex {
            Some((name, mutex)) => {
                let taken = claim::hold(&name, mutex);
                match taken.map_err(|e| self.unusable(&cannot("take", &name), e))? {
                    Some(held) => Some(held),
                    None => return Ok(None),
                }
            }
            None => None,
        };
        Ok(Some(NameClaim {
            place: self.clone(),
            protected,
            _held: held,
        }))
    }

    /// The lock on the name among pipes that only the hosts of privileged users may create.
    fn claim_protected(&self) -> Result<pipe::Lock, Error> {
        let name = format!("{}-claim", protected_name(&self.user, &self.name));
        let lock = || pipe::Lock::take(&name, &self.private()?);
        lock().map_err(|e| self.unusable(&format!("cannot create {name}"), e))
    }

    fn open_mutex(&self) -> Result<(String, OwnedHandle), Error> {
        let name = format!(r"Global\{}", self.name);
        let open = || claim::open(&name, &self.private()?);
        let mutex = open().map_err(|e| self.unusable(&cannot("open", &name), e))?;
        self.check_owner(&mutex, "mutex", &name)?;
        Ok((name, mutex))
    }

    /// The system does not say who holds a mutex.
    pub(crate) fn claimant(&self) -> Option<String> {
        None
    }

    pub(crate) fn connect(&self) -> io::Result<Option<Channel>> {
        // If one host's pipe is wrong, or someone else has taken its name, we still try the next;
        // it is reported if there is none.
        let mut found = Ok(None);
        for (host, pipe) in &self.hosts {
            match pipe::open(pipe) {
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
        // The others: an object of another kind has the name, or a pipe that takes no further instances.
        const STRANGERS: [u32; 3] = [ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_PIPE_BUSY];
        if is_code(&e, &STRANGERS) {
            return Error::new(
                ErrorKind::AccessDenied,
                format!(
                    "{what}: {e}; another program has taken the name, maybe of another user: end it, or \
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
pub(super) fn name_of(user: &str, key: &str) -> String {
    format!("twinring-1-{user}-{key}")
}

pub(super) fn pipe_name(name: &str) -> String {
    format!(r"\\.\pipe\{name}")
}

/// Where only privileged hosts may create pipes, so that nobody else can take their names first: services of the two
/// accounts, and processes with the group of administrators, as SYSTEM's and elevated ones are.
pub(super) fn protected_name(user: &str, name: &str) -> String {
    let whose = match user {
        "S-1-5-19" => "LocalService",
        "S-1-5-20" => "NetworkService",
        _ => "Administrators",
    };
    pipe_name(&format!(r"ProtectedPrefix\{whose}\{name}"))
}

fn cannot(what: &str, mutex: &str) -> String {
    format!("cannot {what} the mutex {mutex}")
}

#[derive(Debug)]
pub(crate) struct NameClaim {
    place: Rendezvous,
    /// If this host may have it.
    protected: Option<OwnedHandle>,
    /// Unless somebody else has taken it first, and the other is enough.
    _held: Option<claim::Held>,
}

impl NameClaim {
    pub(crate) fn may_tidy() -> bool {
        false
    }

    pub(crate) fn tidy(&mut self) {}

    pub(crate) fn listen(&self) -> Result<HostListener, Error> {
        let place = &self.place;
        let name = self.pipe_name();
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let called = Arc::new(new_event(true).map_err(failed)?);
        let pipe = self.first_instance(&name)?;
        let call = pipe::Call::begin(pipe, &called).map_err(failed)?;
        place.give_notice();
        Ok(HostListener {
            place: place.clone(),
            name,
            call: Mutex::new(call),
            called,
        })
    }

    pub(super) fn pipe_name(&self) -> String {
        match self.protected {
            Some(_) => protected_name(&self.place.user, &self.place.name),
            None => pipe_name(&self.place.name),
        }
    }

    /// As [`HostListener::is_lost`].
    pub(crate) fn is_lost(&self) -> bool {
        false
    }

    /// The instance that creates the pipe, so that its access list is ours.
    pub(super) fn first_instance(&self, name: &str) -> Result<OwnedHandle, Error> {
        let place = &self.place;
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let access = place.for_guests().map_err(failed)?;
        match pipe::instance(name, &access, true) {
            // There is such a pipe. It may be of a host of this user that has ended: a guest that was stopped in
            // the middle of its handshake keeps it alive. Another instance shows it, because it has the owner of
            // the whole pipe. (Wine ignores "first", so only Windows itself gets here.)
            Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => self.instance_of_earlier(name),
            other => other.map_err(failed),
        }
    }

    /// A further instance of a pipe that is left over. It has the access list of the host that has ended, which gets
    /// ours: both are of this user, who may change it.
    pub(super) fn instance_of_earlier(&self, name: &str) -> Result<OwnedHandle, Error> {
        let place = &self.place;
        let failed = |e| place.unusable(&format!("cannot listen on {name}"), e);
        let access = place.for_guests().map_err(failed)?;
        let pipe = pipe::instance_to_own(name, &access).map_err(failed)?;
        place.check_owner(&pipe, "pipe", name)?;
        access.replace(pipe.as_handle()).map_err(failed)?;
        Ok(pipe)
    }
}

/// One instance of the pipe always waits for a guest, from `listen` on.
#[derive(Debug)]
pub(crate) struct HostListener {
    place: Rendezvous,
    /// Of the pipe.
    name: String,
    call: Mutex<pipe::Call>,
    /// Set when a call has come.
    called: Arc<OwnedHandle>,
}

impl HostListener {
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
        let next = pipe::instance(&self.name, &access, false)?;
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
