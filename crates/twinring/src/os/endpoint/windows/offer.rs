//! Handing over the memory and the doorbells: DuplicateHandle, by the side that may open the other; or by name, if
//! neither may.
//!
//! The part of a packet for it:
//!
//! ```text
//!  0       4       8                                    64             72       128
//!  ├ form ─┼─ flag ┼─ seven handles, 64 bits each ──────┼ one handle ──┼─ zero ──┤
//!                    memory │ guest's doorbells │ host's doorbells  host's process (GIVEN; or zero)
//!                  ├ names ─┼─ zero ─────────────────────────────────────────────┤  (NAMED)
//!                  8        32
//! ```
//!
//! All numbers are little-endian. A handle has 32 significant bits in processes of every kind, so a
//! 32-bit guest and a 64-bit host understand each other.
//!
//! A guest that may open the host says so (`WILL_TAKE`, no handles), is told which handles to take
//! (`TO_BE_TAKEN`, numbers of the host) and takes them: the guest never has a handle that it does not
//! know of, and a host can name only its own. Otherwise the host gives the handles to the guest
//! (`GIVEN`, numbers of the guest), as a service does for a user's program. Such a guest may not even
//! wait for the host's process to end, so it is given a handle for that, too, with no other right. If
//! neither may open the other, as two services or the programs of two users, the guest is told names
//! (`NAMED`, see `names`).
//!
//! A side that has no handle of the other's process learns of its end by the pipe, so both keep it: always with
//! `NAMED`, and where the flag says so (`KEEP_PIPE`), because the host may not even watch the guest that takes.

use std::io;
use std::ops::Range;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Wdk::Foundation::{NtQueryObject, ObjectBasicInformation};
use windows_sys::Win32::Foundation::{
    DUPLICATE_CLOSE_SOURCE, DuplicateHandle, ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, HANDLE,
};
use windows_sys::Win32::System::Memory::{SECTION_MAP_READ, SECTION_MAP_WRITE, SECTION_QUERY};
use windows_sys::Win32::System::Threading::{
    EVENT_MODIFY_STATE, GetCurrentProcess, PROCESS_SYNCHRONIZE, SYNCHRONIZATION_SYNCHRONIZE,
};
use windows_sys::Win32::System::WindowsProgramming::PUBLIC_OBJECT_BASIC_INFORMATION;

use super::names::{NameSet, Names};
use crate::os::endpoint::common::{Finished, HANDOVER, refused};
use crate::os::event::{DoorbellEvents, Doorbells};
use crate::os::handles::HandleChannel;
use crate::os::memory::{Memory, Pages};
use crate::os::process::Process;
use crate::os::windows::{is_code, is_handle, object_type, ok, status};

const AREA: usize = HANDOVER.end - HANDOVER.start;
const FORM: Range<usize> = 0..4;
const FLAG: Range<usize> = 4..8;
const VALUES: Range<usize> = 8..8 + COUNT * 8;
const NAMES: Range<usize> = 8..8 + NameSet::LEN;
const _: () = assert!(VALUES.end <= AREA && NAMES.end <= AREA);

const WILL_TAKE: u32 = 1;
const TO_BE_TAKEN: u32 = 2;
const GIVEN: u32 = 3;
const NAMED: u32 = 4;

const KEEP_PIPE: u32 = 1;

/// The memory, three doorbells of the guest, three of the host; if given, also the host's process.
const COUNT: usize = 8;
/// How many of them the guest takes itself.
const TAKEN: usize = 7;

/// What one of the handles must be.
struct ObjectKind {
    /// The kernel's name for the type of object.
    object: &'static str,
    /// Its rights when it is given.
    given: u32,
    /// Its rights once taken.
    taken: u32,
}

const MEMORY: ObjectKind = ObjectKind {
    object: "Section",
    given: SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY,
    taken: SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY,
};
const TO_AWAIT: ObjectKind = ObjectKind {
    object: "Event",
    given: SYNCHRONIZATION_SYNCHRONIZE | EVENT_MODIFY_STATE,
    taken: SYNCHRONIZATION_SYNCHRONIZE,
};
const TO_RING: ObjectKind = ObjectKind {
    taken: EVENT_MODIFY_STATE,
    ..TO_AWAIT
};
const TO_WATCH: ObjectKind = ObjectKind {
    object: "Process",
    given: PROCESS_SYNCHRONIZE,
    taken: PROCESS_SYNCHRONIZE,
};
const KINDS: [ObjectKind; COUNT] = [
    MEMORY, TO_AWAIT, TO_AWAIT, TO_AWAIT, TO_RING, TO_RING, TO_RING, TO_WATCH,
];

#[derive(Debug)]
pub(crate) struct Offer {
    memory: OwnedHandle,
    /// Doorbells, which hang up when dropped. So a guest that has got the last packet, although the host
    /// was told that it could not be written or it came too late, learns that nobody is there.
    doorbells: Doorbells,
    way: Way,
    handles: Option<HandleChannel>,
}

/// How the guest gets it.
#[derive(Debug)]
enum Way {
    /// It takes the handles itself.
    Taken {
        /// We cannot watch its process.
        keep_pipe: bool,
    },
    /// They are given to this process.
    Given(Arc<OwnedHandle>),
    Named(NameSet),
}

/// The doorbells.
#[derive(Debug)]
pub(crate) struct PreparedOffer {
    doorbells: Doorbells,
    names: Option<NameSet>,
}

impl PreparedOffer {
    pub(crate) fn new(names: Option<&Names>) -> io::Result<PreparedOffer> {
        let [ours, guests] = match names {
            Some(names) => names.create_events()?,
            None => [DoorbellEvents::new()?, DoorbellEvents::new()?],
        };
        Ok(PreparedOffer {
            doorbells: Doorbells::new(ours, guests),
            names: names.map(|names| *names.set()),
        })
    }
}

/// The names under which a guest is to find what it is offered, if neither side may open the other.
pub(super) fn names_for(guest: &Process, guest_takes: bool) -> io::Result<Option<Names>> {
    if guest_takes {
        return Ok(None);
    }
    match guest.open_for_handles() {
        Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => Names::new(guest).map(Some),
        // Any other error is met again when handles are given.
        _ => Ok(None),
    }
}

impl Offer {
    /// `guest_takes`: whether it takes the handles itself.
    pub(super) fn make(
        PreparedOffer { doorbells, names }: PreparedOffer,
        guest_takes: bool,
        guest: &Process,
        memory: OwnedHandle,
        handles: bool,
    ) -> io::Result<Offer> {
        let way = match names {
            Some(names) => Way::Named(names),
            None if guest_takes => Way::Taken {
                keep_pipe: !guest.is_watched(),
            },
            None => match guest.open_for_handles() {
                Ok(opened) => Way::Given(Arc::new(opened)),
                Err(e) if guest.has_ended() => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, e));
                }
                Err(e) => return Err(e),
            },
        };
        Ok(Offer {
            memory,
            doorbells,
            way,
            handles: handles.then(|| HandleChannel::new(guest)),
        })
    }

    /// Whether both sides keep the pipe.
    pub(super) fn keeps_pipe(&self) -> bool {
        matches!(self.way, Way::Named(_) | Way::Taken { keep_pipe: true })
    }

    pub(crate) fn handle_channel(&self) -> Option<&HandleChannel> {
        self.handles.as_ref()
    }

    pub(super) fn finish(self) -> Finished {
        (self.doorbells, self.handles)
    }

    /// Gives the guest its handles, for the packet that tells it which.
    pub(super) fn give(&self) -> io::Result<Given> {
        let handles = self.handles().map(|handle| handle.as_raw_handle());
        let guest = match &self.way {
            Way::Taken { keep_pipe } => {
                let flag = if *keep_pipe { KEEP_PIPE } else { 0 };
                return Ok(Given::nothing(with_values(
                    TO_BE_TAKEN,
                    flag,
                    &handles.map(value_of),
                )));
            }
            Way::Named(names) => {
                let mut area = area(NAMED);
                area[NAMES].copy_from_slice(&names.encode());
                return Ok(Given::nothing(area));
            }
            Way::Given(guest) => guest,
        };
        // From here on, `given` closes in the guest what it has been given so far.
        let mut given = Given {
            area: area(GIVEN),
            values: [0; COUNT],
            guest: Some(guest.clone()),
        };
        let handles = handles.into_iter().chain([this_process()]);
        for ((handle, kind), value) in handles.zip(&KINDS).zip(&mut given.values) {
            let copy = copy(this_process(), handle, guest.as_raw_handle(), kind.given, 0)?;
            *value = value_of(copy);
        }
        given.area = with_values(GIVEN, 0, &given.values);
        Ok(given)
    }

    /// In the order of [`KINDS`].
    fn handles(&self) -> [BorrowedHandle<'_>; TAKEN] {
        let [hosts, guests] = self.doorbells.doorbell_events();
        [
            &self.memory,
            &guests.data,
            &guests.space,
            &guests.hang_up,
            &hosts.data,
            &hosts.space,
            &hosts.hang_up,
        ]
        .map(AsHandle::as_handle)
    }
}

/// Handles on their way to the guest.
///
/// A guest takes them when it has read the whole packet, and must not find that we have closed them
/// (or, worse, that others are in their place). So we close them only if the packet was not written
/// completely, so that the guest cannot have read it. Once it was, they are the guest's to close.
#[derive(Debug)]
pub(super) struct Given {
    area: [u8; AREA],
    values: [u64; COUNT],
    /// Whose handles they are; `None` if none were given, or they are no longer our concern.
    guest: Option<Arc<OwnedHandle>>,
}

impl Given {
    /// The guest is only told something.
    fn nothing(area: [u8; AREA]) -> Given {
        Given {
            area,
            values: [0; COUNT],
            guest: None,
        }
    }

    pub(super) fn area(&self) -> &[u8; AREA] {
        &self.area
    }

    /// The packet has been written.
    pub(super) fn sent(mut self) {
        self.guest = None;
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let Some(guest) = &self.guest else { return };
        for value in self.values.iter().filter(|value| **value != 0) {
            // Fails only if the guest has ended, and its handles with it.
            // SAFETY: a live process handle; no copy is made, the source is closed in the guest.
            unsafe {
                DuplicateHandle(
                    guest.as_raw_handle(),
                    handle_of(*value),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    0,
                    0,
                    DUPLICATE_CLOSE_SOURCE,
                )
            };
        }
    }
}

/// An area without handles.
pub(super) fn area(form: u32) -> [u8; AREA] {
    let mut area = [0; AREA];
    area[FORM].copy_from_slice(&form.to_le_bytes());
    area
}

/// The area of a guest that may open the host.
pub(super) fn will_take() -> [u8; AREA] {
    area(WILL_TAKE)
}

fn with_values(form: u32, flag: u32, values: &[u64]) -> [u8; AREA] {
    let mut area = area(form);
    area[FLAG].copy_from_slice(&flag.to_le_bytes());
    for (bytes, value) in area[VALUES].chunks_exact_mut(8).zip(values) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    area
}

/// What came with a packet. On a guest, handles have been taken by then.
#[derive(Debug)]
pub(crate) struct Handover {
    found: io::Result<Contents>,
}

#[derive(Debug)]
enum Contents {
    Nothing,
    Handles { handles: Handles, keep_pipe: bool },
    Names(NameSet),
}

/// The guest's part of an offer.
#[derive(Debug)]
struct Handles {
    memory: OwnedHandle,
    /// Those that the guest waits for.
    guests: DoorbellEvents,
    /// Those that it rings.
    hosts: DoorbellEvents,
    /// The host's process, if it was given.
    process: Option<OwnedHandle>,
}

impl Handover {
    /// What the area of a packet says to a guest. `host` is the process to take handles from, if the
    /// guest has said that it will.
    pub(super) fn of_host(area: &[u8], host: Option<&OwnedHandle>) -> Handover {
        let found = parse(area).and_then(|said| match (said, host) {
            (Said::Nothing, _) => Ok(Contents::Nothing),
            (Said::ToBeTaken { values, keep_pipe }, Some(host)) => {
                let handles = take(&values, host)?;
                Ok(Contents::Handles { handles, keep_pipe })
            }
            (Said::Given(values), None) => {
                let handles = take_given(&values)?;
                let keep_pipe = false;
                Ok(Contents::Handles { handles, keep_pipe })
            }
            (Said::Named(names), None) => Ok(Contents::Names(names)),
            _ => Err(refused(
                "the host handed over in another way than was agreed on",
            )),
        });
        Handover { found }
    }

    /// What the area of a packet says to a host, and whether the guest will take what it is
    /// offered. A guest has no handles to send.
    pub(super) fn of_guest(bytes: &[u8]) -> (Handover, bool) {
        let takes = bytes == will_take();
        let found = if takes || bytes.iter().all(|byte| *byte == 0) {
            Ok(Contents::Nothing)
        } else {
            Err(refused("the guest sent handles"))
        };
        (Handover { found }, takes)
    }

    pub(crate) fn none_expected(&self) -> io::Result<()> {
        match &self.found {
            Ok(Contents::Nothing) => Ok(()),
            Ok(_) => Err(refused("the peer sent handles unasked")),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        }
    }

    pub(crate) fn open(
        self,
        host: &mut Process,
        len: usize,
        pages: Pages,
        handles: bool,
    ) -> io::Result<(Memory, Accepted)> {
        let (memory, [guests, hosts], keep_pipe) = match self.found? {
            Contents::Nothing => return Err(refused("the host sent no handles")),
            Contents::Names(names) => {
                let (memory, doorbells) = names.open(host.user())?;
                (memory, doorbells, true)
            }
            Contents::Handles { handles, keep_pipe } => {
                if let Some(process) = handles.process {
                    host.watch_by(process);
                }
                (handles.memory, [handles.guests, handles.hosts], keep_pipe)
            }
        };
        let memory = Memory::open(memory, len, pages)?;
        let doorbells = Doorbells::new(guests, hosts);
        Ok((
            memory,
            Accepted {
                doorbells,
                keep_pipe,
                handles: handles.then(|| HandleChannel::new(host)),
            },
        ))
    }
}

/// Doorbells, which hang up when dropped. So a host that is connected already, to a guest that broke
/// the handshake off at the last moment, learns that nobody is there.
#[derive(Debug)]
pub(crate) struct Accepted {
    doorbells: Doorbells,
    keep_pipe: bool,
    handles: Option<HandleChannel>,
}

impl Accepted {
    /// As [`Offer::keeps_pipe`].
    pub(super) fn keeps_pipe(&self) -> bool {
        self.keep_pipe
    }

    pub(crate) fn handle_channel(&self) -> Option<&HandleChannel> {
        self.handles.as_ref()
    }

    pub(super) fn finish(self) -> Finished {
        (self.doorbells, self.handles)
    }
}

/// What the host has written into the area.
enum Said {
    Nothing,
    ToBeTaken {
        values: [u64; COUNT],
        keep_pipe: bool,
    },
    Given([u64; COUNT]),
    Named(NameSet),
}

fn parse(area: &[u8]) -> io::Result<Said> {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if is_zero(area) {
        return Ok(Said::Nothing);
    }
    let number = |bytes: &[u8]| bytes.iter().rfold(0, |n, byte| n << 8 | u64::from(*byte));
    let form = number(&area[FORM]) as u32;
    let keep_pipe = match (form, number(&area[FLAG]) as u32) {
        (_, 0) => false,
        (TO_BE_TAKEN, KEEP_PIPE) => true,
        (_, flag) => return Err(refused(format!("the host sent the flag {flag:#x}"))),
    };
    let count = match form {
        GIVEN => COUNT,
        TO_BE_TAKEN => TAKEN,
        NAMED => {
            let mut names = [0; NameSet::LEN];
            names.copy_from_slice(&area[NAMES]);
            return match is_zero(&area[NAMES.end..]) {
                true => NameSet::decode(&names).map(Said::Named),
                false => Err(refused("the host sent something behind its names")),
            };
        }
        _ => return Err(refused(format!("the host sent handles in form {form}"))),
    };
    let mut values = [0; COUNT];
    for (value, bytes) in values.iter_mut().zip(area[VALUES].chunks_exact(8)) {
        *value = number(bytes);
    }
    // Numbers that no handle of an object has; -1 and the like stand for the process itself.
    let plausible = |value: u64| value != 0 && value % 4 == 0 && i32::try_from(value).is_ok();
    let repeated = |i: usize| values[..i].contains(&values[i]);
    if !is_zero(&area[VALUES.end..])
        || !(0..count).all(|i| plausible(values[i]) && !repeated(i))
        || values[count..].iter().any(|value| *value != 0)
    {
        return Err(refused("the host sent numbers that are no handles"));
    }
    Ok(match form {
        GIVEN => Said::Given(values),
        _ => Said::ToBeTaken { values, keep_pipe },
    })
}

/// Takes handles that the host says it has created in this process.
///
/// That may be false: a host that cannot create any could name handles of ours, and have us use and
/// close them. What a host creates has exactly the rights in [`KINDS`], which handles that a process
/// creates for itself do not have, nor these ones once they are taken. So nothing else is touched.
fn take_given(values: &[u64; COUNT]) -> io::Result<Handles> {
    for (value, kind) in values.iter().zip(&KINDS) {
        let rights = rights(handle_of(*value))?
            .ok_or_else(|| refused(format!("the host sent {value:#x}, which is no handle")))?;
        if rights != kind.given {
            return Err(refused(format!(
                "the host sent a handle with the rights {rights:#x} instead of {:#x}",
                kind.given
            )));
        }
        check_object(handle_of(*value), kind)?;
    }
    collect(values, |value, kind| {
        copy_from(this_process(), value, kind.taken, DUPLICATE_CLOSE_SOURCE)
    })
}

/// Takes handles out of the process `host`; the numbers are that process's.
fn take(values: &[u64; COUNT], host: &OwnedHandle) -> io::Result<Handles> {
    collect(values, |value, kind| {
        let copy = copy_from(host.as_raw_handle(), value, kind.taken, 0)?;
        check_object(copy.as_raw_handle(), kind)?;
        Ok(copy)
    })
}

fn collect(
    values: &[u64; COUNT],
    take: impl Fn(u64, &ObjectKind) -> io::Result<OwnedHandle>,
) -> io::Result<Handles> {
    // All are taken, so that all are closed, even if one of them turns out to be wrong.
    let taken = values
        .iter()
        .zip(&KINDS)
        .filter(|(value, _)| **value != 0)
        .map(|(value, kind)| take(*value, kind));
    let mut taken = taken.collect::<Vec<_>>().into_iter();
    let mut next = || {
        taken
            .next()
            .unwrap_or_else(|| Err(refused("a handle is missing")))
    };
    let memory = next()?;
    let mut doorbell_events = || {
        Ok::<_, io::Error>(DoorbellEvents {
            data: next()?,
            space: next()?,
            hang_up: next()?,
        })
    };
    Ok(Handles {
        memory,
        guests: doorbell_events()?,
        hosts: doorbell_events()?,
        process: taken.next().transpose()?,
    })
}

fn copy_from(process: HANDLE, value: u64, rights: u32, options: u32) -> io::Result<OwnedHandle> {
    let copy = copy(process, handle_of(value), this_process(), rights, options)?;
    // SAFETY: the call above has just made this handle for us.
    Ok(unsafe { OwnedHandle::from_raw_handle(copy) })
}

/// Creates a handle in the process `to` from one of the process `from`. `handle` may be any number.
fn copy(from: HANDLE, handle: HANDLE, to: HANDLE, rights: u32, options: u32) -> io::Result<HANDLE> {
    let mut copy = ptr::null_mut();
    // SAFETY: two handles of live processes, and room for the result; the new handle is not
    // inheritable. A number that is not a handle is refused.
    let copied = ok("DuplicateHandle", || unsafe {
        DuplicateHandle(from, handle, to, &mut copy, rights, 0, options)
    });
    match copied {
        Ok(()) => Ok(copy),
        Err(e) if is_code(&e, &[ERROR_INVALID_HANDLE]) => {
            Err(refused("the host sent a number that is no handle"))
        }
        // We have the right, which was tried when the process was opened: so it is about to end.
        Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED]) => {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, e))
        }
        Err(e) => Err(e),
    }
}

fn this_process() -> HANDLE {
    // SAFETY: the call returns a constant that stands for this process.
    unsafe { GetCurrentProcess() }
}

fn value_of(handle: HANDLE) -> u64 {
    handle as usize as u64
}

fn handle_of(value: u64) -> HANDLE {
    value as usize as HANDLE
}

/// OBJ_PROTECT_CLOSE and OBJ_INHERIT.
const PROTECTED: u32 = 1;
const INHERITABLE: u32 = 2;

/// The rights of a handle, which may be any number; `None` if it is not a handle, or one that is
/// inheritable or protected from being closed.
fn rights(handle: HANDLE) -> io::Result<Option<u32>> {
    let mut info = PUBLIC_OBJECT_BASIC_INFORMATION::default();
    // SAFETY: `info` is what this class of information fills in, and has the given length. A number
    // that is not a handle is refused.
    let asked = status("NtQueryObject", || unsafe {
        NtQueryObject(
            handle,
            ObjectBasicInformation,
            (&raw mut info).cast(),
            size_of::<PUBLIC_OBJECT_BASIC_INFORMATION>() as u32,
            ptr::null_mut(),
        )
    });
    let plain = info.Attributes & (INHERITABLE | PROTECTED) == 0;
    Ok((is_handle(asked)? && plain).then_some(info.GrantedAccess))
}

fn check_object(handle: HANDLE, kind: &ObjectKind) -> io::Result<()> {
    let object = object_type(handle)?;
    if object.as_deref() == Some(kind.object) {
        return Ok(());
    }
    Err(refused(format!(
        "the host sent a handle to {} instead of {}",
        object.as_deref().unwrap_or("nothing"),
        kind.object
    )))
}
