//! Windows: an unnamed section backed by the paging file.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_COMMITMENT_LIMIT, ERROR_INVALID_HANDLE, ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_ENOUGH_QUOTA, ERROR_PAGEFILE_QUOTA, HANDLE, INVALID_HANDLE_VALUE, NTSTATUS,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEM_COMMIT, MEM_MAPPED,
    MEMORY_BASIC_INFORMATION, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, OpenFileMappingW,
    PAGE_READWRITE, SEC_COMMIT, SEC_FILE, SEC_IMAGE, SEC_NOCACHE, SEC_RESERVE, SEC_WRITECOMBINE,
    UnmapViewOfFile, VirtualQuery,
};

use super::pages::{Pages, refused};
use crate::os::windows::{AccessList, call, is_code, may_fail, own, own_new, status, wide};

/// Kinds of section that a host never creates: touching the pages of a file or of uncommitted memory
/// may raise an exception, and accesses that bypass the caches are not in the order that the rings
/// rely on.
const FOREIGN: u32 = SEC_FILE | SEC_IMAGE | SEC_RESERVE | SEC_NOCACHE | SEC_WRITECOMBINE;

/// The page size on every processor that Windows runs on.
const PAGE: u64 = 4096;

pub(super) fn create(len: usize, _: Pages) -> io::Result<(NonNull<u8>, OwnedHandle)> {
    let section = section(len, None)?;
    Ok((map(&section, len).map_err(out_of_memory)?, section))
}

pub(super) fn create_named(
    len: usize,
    name: &str,
    access: &AccessList,
) -> io::Result<(NonNull<u8>, OwnedHandle)> {
    let section = section(len, Some((name, access)))?;
    Ok((map(&section, len).map_err(out_of_memory)?, section))
}

fn section(len: usize, named: Option<(&str, &AccessList)>) -> io::Result<OwnedHandle> {
    let size = len as u64;
    let name = named.map(|(name, _)| wide(name));
    let attributes = named.map(|(_, access)| access.attributes());
    // SEC_COMMIT takes the whole size out of the system's commit limit now, so that no page can be
    // missing later.
    // SAFETY: a zero-terminated string and attributes that live as long as the call, or NULL; the handle is not
    // inheritable.
    unsafe {
        own_new("CreateFileMappingW", || {
            CreateFileMappingW(
                INVALID_HANDLE_VALUE,
                attributes.as_ref().map_or(ptr::null(), ptr::from_ref),
                PAGE_READWRITE | SEC_COMMIT,
                (size >> 32) as u32,
                size as u32,
                name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            )
        })
    }
    .map_err(out_of_memory)
}

/// Opens the section of this name.
pub(in crate::os) fn open_section(name: &str, rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: a zero-terminated string; the handle is not inheritable and nobody else's.
    unsafe {
        own("OpenFileMappingW", || {
            OpenFileMappingW(rights, 0, wide(name).as_ptr())
        })
    }
}

pub(super) fn open(section: OwnedHandle, len: usize, _: Pages) -> io::Result<NonNull<u8>> {
    let info = query(&section)?;
    if info.attributes & SEC_COMMIT == 0 || info.attributes & FOREIGN != 0 {
        return Err(refused(format!(
            "the memory handed over is no committed memory of the paging file (attributes {:#x})",
            info.attributes
        )));
    }
    // The system counts in pages, whatever size the section was created with.
    let rounded = (len as u64).next_multiple_of(PAGE);
    let size = u64::try_from(info.size).unwrap_or(0);
    if size.next_multiple_of(PAGE) != rounded {
        return Err(refused(format!(
            "the memory handed over has {size} bytes, the handshake says {len}"
        )));
    }
    let base = map(&section, len)?;
    if let Err(e) = check(base, rounded) {
        unmap(base, len);
        return Err(e);
    }
    Ok(base)
}

/// Judges the view of memory that was handed over.
fn check(base: NonNull<u8>, rounded: u64) -> io::Result<()> {
    // A section cannot shrink, and pages of a view cannot be decommitted: what holds for the view
    // now will go on to hold.
    let view = view(base)?;
    if view.State != MEM_COMMIT
        || view.Type != MEM_MAPPED
        || view.Protect != PAGE_READWRITE
        || view.RegionSize as u64 != rounded
    {
        return Err(refused(format!(
            "the memory handed over maps to {} bytes of state {:#x}, type {:#x}, protection {:#x}",
            view.RegionSize, view.State, view.Type, view.Protect
        )));
    }
    Ok(())
}

pub(super) fn unmap(base: NonNull<u8>, _len: usize) {
    let view = MEMORY_MAPPED_VIEW_ADDRESS {
        Value: base.as_ptr().cast(),
    };
    // SAFETY: the base of a view made by `map`, whose only owner is being dropped. It can fail only
    // for a wrong address, which this is not.
    unsafe { UnmapViewOfFile(view) };
}

fn map(section: &OwnedHandle, len: usize) -> io::Result<NonNull<u8>> {
    may_fail("MapViewOfFile")?;
    // SAFETY: a new view at an address of the system's choice touches no memory in use.
    let view = unsafe {
        MapViewOfFile(
            section.as_raw_handle(),
            FILE_MAP_READ | FILE_MAP_WRITE,
            0,
            0,
            len,
        )
    };
    NonNull::new(view.Value.cast::<u8>()).ok_or_else(io::Error::last_os_error)
}

/// The range of equal pages that begins where the view does.
fn view(base: NonNull<u8>) -> io::Result<MEMORY_BASIC_INFORMATION> {
    let mut info = MEMORY_BASIC_INFORMATION::default();
    let len = size_of::<MEMORY_BASIC_INFORMATION>();
    // SAFETY: `info` has room for the `len` bytes that are written; the address is only looked up.
    let query = || unsafe { VirtualQuery(base.as_ptr().cast(), &mut info, len) };
    call("VirtualQuery", query, |written| written != len)?;
    Ok(info)
}

/// Maps lack of memory, for which the system has several codes and `io::ErrorKind` knows only some.
fn out_of_memory(e: io::Error) -> io::Error {
    const CODES: [u32; 4] = [
        ERROR_COMMITMENT_LIMIT,
        ERROR_NOT_ENOUGH_MEMORY,
        ERROR_NOT_ENOUGH_QUOTA,
        ERROR_PAGEFILE_QUOTA,
    ];
    if is_code(&e, &CODES) {
        io::Error::new(io::ErrorKind::OutOfMemory, e)
    } else {
        e
    }
}

/// SECTION_BASIC_INFORMATION of the native API.
#[repr(C)]
struct SectionInformation {
    base: *mut c_void,
    attributes: u32,
    size: i64,
}

/// SectionBasicInformation.
const BASIC: i32 = 0;

// windows-sys does not have this one. Win32 has no way to ask for a section's kind before it is mapped.
#[cfg_attr(
    target_arch = "x86",
    link(name = "ntdll", kind = "raw-dylib", import_name_type = "undecorated")
)]
#[cfg_attr(not(target_arch = "x86"), link(name = "ntdll", kind = "raw-dylib"))]
unsafe extern "system" {
    fn NtQuerySection(
        section: HANDLE,
        class: i32,
        information: *mut c_void,
        len: usize,
        written: *mut usize,
    ) -> NTSTATUS;
}

fn query(section: &OwnedHandle) -> io::Result<SectionInformation> {
    let mut info = SectionInformation {
        base: ptr::null_mut(),
        attributes: 0,
        size: 0,
    };
    // SAFETY: `info` is what this class of information fills in, and has the given length.
    let asked = status("NtQuerySection", || unsafe {
        NtQuerySection(
            section.as_raw_handle(),
            BASIC,
            (&raw mut info).cast(),
            size_of::<SectionInformation>(),
            ptr::null_mut(),
        )
    });
    match asked {
        Ok(()) => Ok(info),
        Err(e) if is_code(&e, &[ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE]) => Err(refused(
            format!("the memory handed over is no section that can be asked about ({e})"),
        )),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::Memory;
    use std::fs::File;

    const LEN: usize = 3 * 65536;

    fn section(file: HANDLE, protection: u32, size: u32) -> OwnedHandle {
        // SAFETY: no pointers but NULL, and a live file or none.
        unsafe {
            own("CreateFileMappingW", || {
                CreateFileMappingW(file, ptr::null(), protection, 0, size, ptr::null())
            })
        }
        .unwrap()
    }

    fn refusal(section: OwnedHandle, len: usize) -> String {
        let e = Memory::open(section, len, Pages::Reserved).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData, "{e}");
        e.to_string()
    }

    #[test]
    fn both_ends_see_the_same_zeroed_memory() {
        let (ours, section) = Memory::create(LEN, Pages::Reserved).unwrap();
        let theirs = Memory::open(section, LEN, Pages::Reserved).unwrap();
        assert_ne!(ours.base(), theirs.base());
        assert_eq!(theirs.len(), LEN);
        // SAFETY: both views have LEN bytes, and no other thread knows of them.
        unsafe {
            assert!((0..LEN).all(|i| ours.base().add(i).read() == 0));
            ours.base().add(LEN - 1).write(7);
            assert_eq!(theirs.base().add(LEN - 1).read(), 7);
        }
    }

    #[test]
    fn a_length_that_is_no_multiple_of_a_page_is_fine() {
        let (_ours, section) = Memory::create(LEN + 1, Pages::Reserved).unwrap();
        assert_eq!(
            Memory::open(section, LEN + 1, Pages::Reserved)
                .unwrap()
                .len(),
            LEN + 1
        );
    }

    #[test]
    fn another_size_is_refused() {
        for wrong in [LEN - 4096, LEN + 4096, 1 << 40] {
            let (_ours, section) = Memory::create(LEN, Pages::Reserved).unwrap();
            assert!(refusal(section, wrong).contains("bytes"));
        }
    }

    #[test]
    fn another_kind_is_refused() {
        let reserved = section(
            INVALID_HANDLE_VALUE,
            PAGE_READWRITE | SEC_RESERVE,
            LEN as u32,
        );
        assert!(refusal(reserved, LEN).contains("no committed memory"));

        let path = std::env::temp_dir().join(format!("twinring-{}", std::process::id()));
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path);
        let file = file.unwrap();
        let mapped = section(file.as_raw_handle(), PAGE_READWRITE, LEN as u32);
        assert!(refusal(mapped, LEN).contains("no committed memory"));
        drop(file);
        let _ = std::fs::remove_file(&path);

        let event = crate::os::event::LocalEvent::new().unwrap().into_handle();
        assert!(refusal(event, LEN).contains("no section"));
    }

    #[test]
    fn what_the_system_has_no_room_for_is_out_of_memory() {
        // 32 TiB, beyond any commit limit; on 32 bits a size that fits no address space.
        let len = usize::try_from(1_u64 << 45).unwrap_or(0xffff_0000);
        assert_eq!(
            Memory::create(len, Pages::Reserved).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
    }
}
