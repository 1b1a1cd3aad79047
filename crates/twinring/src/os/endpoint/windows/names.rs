//! What is handed over by name, where neither side may open the other's process.
//!
//! The host creates the memory and the doorbells under random names, owned by its user and open to the guest's
//! accounts alone, each with the rights that the guest needs. The guest opens them and checks whose they are. The
//! names are free again when both have closed their handles.
//!
//! | name                                  | object         |
//! |---------------------------------------|----------------|
//! | `Global\twinring-1-ID-memory`         | section        |
//! | `Global\twinring-1-ID-guest-data`     | event, and so on for `-space` and `-hang-up` |
//! | `Global\twinring-1-ID-host-data`      | the same       |
//!
//! Sections may be created in `Global\` by services and administrators only. Anyone else's are in the namespace of the
//! host's session, which a guest of another session reaches by `Session\N\`. The system's documentation reserves that
//! prefix; if it should go away, such guests are told that they do not find the memory.

use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND};
use windows_sys::Win32::System::Memory::{SECTION_MAP_READ, SECTION_MAP_WRITE, SECTION_QUERY};
use windows_sys::Win32::System::Threading::{EVENT_MODIFY_STATE, SYNCHRONIZATION_SYNCHRONIZE};

use crate::os::endpoint::common::refused;
use crate::os::event::{DoorbellEvents, named_event, open_event};
use crate::os::memory::{Memory, open_section};
use crate::os::process::{Process, User, this_session};
use crate::os::windows::{AccessList, READ_CONTROL, is_code, may_be_denied, owner};

const MEMORY_RIGHTS: u32 = SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY | READ_CONTROL;
const AWAIT_RIGHTS: u32 = SYNCHRONIZATION_SYNCHRONIZE | READ_CONTROL;
const RING_RIGHTS: u32 = EVENT_MODIFY_STATE | READ_CONTROL;

/// Where the names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Global,
    /// In the namespace of this session.
    Session(u32),
}

/// The names of one connection's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameSet {
    id: [u8; 16],
    scope: Scope,
}

impl NameSet {
    /// Length in a packet, in bytes.
    pub(super) const LEN: usize = 24;

    pub(super) fn encode(&self) -> [u8; NameSet::LEN] {
        let mut bytes = [0; NameSet::LEN];
        bytes[..16].copy_from_slice(&self.id);
        if let Scope::Session(session) = self.scope {
            bytes[16] = 1;
            bytes[20..].copy_from_slice(&session.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; NameSet::LEN]) -> io::Result<NameSet> {
        let mut session = [0; 4];
        session.copy_from_slice(&bytes[20..]);
        let session = u32::from_le_bytes(session);
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[..16]);
        let scope = match (&bytes[16..20], session) {
            ([0, 0, 0, 0], 0) => Scope::Global,
            ([1, 0, 0, 0], session) => Scope::Session(session),
            _ => return Err(refused("the host sent names that are none")),
        };
        Ok(NameSet { id, scope })
    }

    fn name(&self, what: &str) -> io::Result<String> {
        let scope = match self.scope {
            Scope::Global => "Global".to_owned(),
            Scope::Session(session) if this_session()? == session => "Local".to_owned(),
            Scope::Session(session) => format!(r"Session\{session}"),
        };
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!(r"{scope}\twinring-1-{id}-{what}"))
    }

    /// Opens what the host of this user has created.
    pub(super) fn open(&self, host: &str) -> io::Result<(OwnedHandle, [DoorbellEvents; 2])> {
        let checked = |what: &str, opened: io::Result<OwnedHandle>| {
            let object = opened.map_err(|e| not_found(what, e))?;
            let theirs = owner(object.as_handle())?;
            match theirs == host {
                true => Ok(object),
                false => Err(refused(format!(
                    "the {what} that the host named belongs to user {theirs}"
                ))),
            }
        };
        let event = |what, rights| checked(what, open_event(&self.name(what)?, rights));
        let memory = checked("memory", open_section(&self.name("memory")?, MEMORY_RIGHTS))?;
        let guests = DoorbellEvents {
            data: event("guest-data", AWAIT_RIGHTS)?,
            space: event("guest-space", AWAIT_RIGHTS)?,
            hang_up: event("guest-hang-up", AWAIT_RIGHTS)?,
        };
        let hosts = DoorbellEvents {
            data: event("host-data", RING_RIGHTS)?,
            space: event("host-space", RING_RIGHTS)?,
            hang_up: event("host-hang-up", RING_RIGHTS)?,
        };
        Ok((memory, [guests, hosts]))
    }
}

fn not_found(what: &str, e: io::Error) -> io::Error {
    match is_code(&e, &[ERROR_FILE_NOT_FOUND, ERROR_ACCESS_DENIED]) {
        // It may also have ended meanwhile, which shows in the pipe.
        true => io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "cannot open the {what} that the host has created for this process ({e}): let the host's user \
                 create global objects (the right SeCreateGlobalPrivilege), or run both in one session"
            ),
        ),
        false => e,
    }
}

/// What a host needs to create the objects of one connection.
#[derive(Debug)]
pub(crate) struct Names {
    set: NameSet,
    host: String,
    /// The accounts of the guest.
    guest: Vec<String>,
}

impl Names {
    pub(super) fn new(guest: &Process) -> io::Result<Names> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        Ok(Names {
            set: NameSet {
                id,
                scope: Scope::Global,
            },
            host: User::current()?.to_string(),
            guest: guest.accounts().map(str::to_owned).collect(),
        })
    }

    /// The memory, of `len` bytes. To be called first: it finds out where names can be.
    pub(crate) fn create_memory(&mut self, len: usize) -> io::Result<(Memory, OwnedHandle)> {
        let access = self.access(MEMORY_RIGHTS)?;
        let create = |set: &NameSet| Memory::create_named(len, &set.name("memory")?, &access);
        let global = may_be_denied("global").and_then(|()| create(&self.set));
        match global {
            Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => {
                self.set.scope = Scope::Session(this_session()?);
                create(&self.set)
            }
            created => created,
        }
    }

    /// The doorbells: the host's, and the guest's.
    pub(super) fn create_events(&self) -> io::Result<[DoorbellEvents; 2]> {
        let event = |what, rights| named_event(&self.set.name(what)?, &self.access(rights)?);
        Ok([
            DoorbellEvents {
                data: event("host-data", RING_RIGHTS)?,
                space: event("host-space", RING_RIGHTS)?,
                hang_up: event("host-hang-up", RING_RIGHTS)?,
            },
            DoorbellEvents {
                data: event("guest-data", AWAIT_RIGHTS)?,
                space: event("guest-space", AWAIT_RIGHTS)?,
                hang_up: event("guest-hang-up", AWAIT_RIGHTS)?,
            },
        ])
    }

    pub(super) fn set(&self) -> &NameSet {
        &self.set
    }

    fn access(&self, rights: u32) -> io::Result<AccessList> {
        let entry = |account: &String| format!("(A;;{rights:#x};;;{account})");
        let guest: String = self.guest.iter().map(entry).collect();
        AccessList::for_owner(&self.host, &guest)
    }
}
