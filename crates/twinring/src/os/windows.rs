//! What the Windows modules share: results of system calls, users by SID, tokens, and who owns an
//! object and may use it.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_BROKEN_PIPE, ERROR_INSUFFICIENT_BUFFER, ERROR_NO_DATA,
    ERROR_PIPE_NOT_CONNECTED, ERROR_SUCCESS, GENERIC_ALL, GetLastError, HANDLE,
    INVALID_HANDLE_VALUE, LocalFree, NTSTATUS, RtlNtStatusToDosError, SetLastError,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW,
    ConvertStringSidToSidW, GetSecurityInfo, SDDL_REVISION_1, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
    SECURITY_ATTRIBUTES, SID_AND_ATTRIBUTES, TOKEN_ELEVATION, TOKEN_GROUPS,
    TOKEN_INFORMATION_CLASS, TOKEN_MANDATORY_LABEL, TOKEN_QUERY, TokenElevation,
    TokenIntegrityLevel, TokenRestrictedSids,
};
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
};
use windows_sys::Win32::System::SystemServices::{
    SE_GROUP_ENABLED, SE_GROUP_USE_FOR_DENY_ONLY, SECURITY_MANDATORY_MEDIUM_RID,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessAffinityMask, OpenProcessToken,
};
use windows_sys::core::BOOL;

/// The error of the system call of this name, which is about to be made, if a test wants it to fail.
///
/// Every call that can fail goes through this, mostly by way of [`call`]. Left out are
/// * those that cannot fail for a live handle: SetEvent, ResetEvent, ReleaseMutex, CloseHandle,
///   UnmapViewOfFile, LocalFree, GetProcessId, SetThreadpoolWait;
/// * those that end what was begun, which would go on if they were not made: CancelIoEx,
///   RevertToSelf (its failure ends the process), DuplicateHandle where a handle in the guest is
///   closed again; and the result of an operation that is not over yet;
/// * the start of threads, which the standard library does.
#[inline]
pub(in crate::os) fn may_fail(_name: &'static str) -> io::Result<()> {
    #[cfg(twinring_faults)]
    if let Some(e) = super::faults::next(_name) {
        return Err(e);
    }
    Ok(())
}

/// Refuses what a test has denied to this process for as long as it runs, as Windows denies it for lack of a right.
/// `what` is one of the rules in `faults`.
#[inline]
pub(in crate::os) fn may_be_denied(_what: &'static str) -> io::Result<()> {
    #[cfg(twinring_faults)]
    if super::faults::is_denied(_what) {
        use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
        return Err(io::Error::from_raw_os_error(ERROR_ACCESS_DENIED as i32));
    }
    Ok(())
}

/// Makes the system call of this name, and returns an error if `has_failed` says so of its result.
#[inline]
pub(in crate::os) fn call<T: Copy>(
    name: &'static str,
    call: impl FnOnce() -> T,
    has_failed: impl FnOnce(T) -> bool,
) -> io::Result<T> {
    may_fail(name)?;
    let result = call();
    if has_failed(result) {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Makes a call that returns FALSE when it fails.
#[inline]
pub(in crate::os) fn ok(name: &'static str, make: impl FnOnce() -> BOOL) -> io::Result<()> {
    call(name, make, |result| result == 0).map(drop)
}

/// Makes a call of the native API, which returns a status.
#[inline]
pub(in crate::os) fn status(name: &'static str, make: impl FnOnce() -> NTSTATUS) -> io::Result<()> {
    may_fail(name)?;
    let status = make();
    if status < 0 {
        // SAFETY: looks a number up in a table.
        let code = unsafe { RtlNtStatusToDosError(status) };
        return Err(io::Error::from_raw_os_error(code as i32));
    }
    Ok(())
}

/// Makes a call that returns a handle, and takes ownership of it; such calls fail with NULL or
/// INVALID_HANDLE_VALUE.
///
/// # Safety
/// Nobody else may own the handle.
#[inline]
pub(in crate::os) unsafe fn own(
    name: &'static str,
    make: impl FnOnce() -> HANDLE,
) -> io::Result<OwnedHandle> {
    let none = |handle: HANDLE| handle.is_null() || handle == INVALID_HANDLE_VALUE;
    let handle = call(name, make, none)?;
    // SAFETY: a valid handle and, by the contract above, ours alone.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// As [`own`], for calls that open an object if there is one of the name: then it fails.
///
/// # Safety
/// As for [`own`].
pub(in crate::os) unsafe fn own_new(
    name: &'static str,
    make: impl FnOnce() -> HANDLE,
) -> io::Result<OwnedHandle> {
    // SAFETY: as by the contract above; the other call writes a number of this thread's.
    let (made, code) = unsafe {
        let made = own(name, || {
            SetLastError(ERROR_SUCCESS);
            make()
        });
        (made, GetLastError())
    };
    match made {
        Ok(_) if code == ERROR_ALREADY_EXISTS => Err(io::Error::from_raw_os_error(code as i32)),
        made => made,
    }
}

/// As [`crate::os::keep_code`].
pub(crate) fn keep_code() -> io::Result<()> {
    static KEPT: AtomicBool = AtomicBool::new(false);
    if KEPT.load(Ordering::Relaxed) {
        return Ok(());
    }
    let here: fn() -> io::Result<()> = keep_code;
    let mut module = ptr::null_mut();
    // SAFETY: an address within this module, which the flags say, and room for its handle.
    ok("GetModuleHandleExW", || unsafe {
        GetModuleHandleExW(
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
            here as *const () as *const u16,
            &mut module,
        )
    })?;
    KEPT.store(true, Ordering::Relaxed);
    Ok(())
}

/// How many processors the process may run on; `None` if the system does not say, as for one with several groups of 64.
pub(crate) fn allowed_processors() -> Option<usize> {
    let (mut allowed, mut all) = (0, 0);
    // SAFETY: the constant for this process, and room for the two results.
    ok("GetProcessAffinityMask", || unsafe {
        GetProcessAffinityMask(GetCurrentProcess(), &mut allowed, &mut all)
    })
    .ok()?;
    (allowed != 0).then_some(allowed.count_ones() as usize)
}

/// As [`crate::os::threads_can_start`].
pub(crate) fn threads_can_start() -> bool {
    let (tell, told) = mpsc::channel();
    // Whoever asks may have given up by then.
    let start = || {
        thread::Builder::new()
            .name("twinring-probe".to_owned())
            .spawn(move || tell.send(()))
    };
    let started = keep_code().and_then(|()| start());
    started.is_ok() && told.recv_timeout(Duration::from_millis(500)).is_ok()
}

/// Whether `e` is one of these system errors.
pub(in crate::os) fn is_code(e: &io::Error, codes: &[u32]) -> bool {
    e.raw_os_error()
        .is_some_and(|code| codes.contains(&(code as u32)))
}

/// Whether `e` is one of the errors by which the system says that nobody is at a pipe's other end.
pub(in crate::os) fn is_end_of_pipe(e: &io::Error) -> bool {
    const CODES: [u32; 3] = [ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED];
    is_code(e, &CODES)
}

/// UTF-16 with the terminating zero.
pub(in crate::os) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// Memory that the system allocated for us; freed on drop.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the system gave it to us to be freed in this way, once.
        unsafe { LocalFree(self.0) };
    }
}

/// A SID in its text form, `S-1-5-21-...`.
///
/// # Safety
/// `sid` must point to a valid SID.
pub(in crate::os) unsafe fn sid_text(sid: PSID) -> io::Result<String> {
    let mut text = ptr::null_mut();
    // SAFETY: a valid SID, and room for the result.
    ok("ConvertSidToStringSidW", || unsafe {
        ConvertSidToStringSidW(sid, &mut text)
    })?;
    let _free = Local(text.cast());
    let mut len = 0;
    // SAFETY: the call above made a zero-terminated string, which stays until `_free` is dropped.
    let units = unsafe {
        while *text.add(len) != 0 {
            len += 1;
        }
        std::slice::from_raw_parts(text, len)
    };
    String::from_utf16(units).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The system's own spelling of the SID `text`, or `None` if it is not a SID.
pub(in crate::os) fn canonical_sid(text: &str) -> Option<String> {
    // The system also accepts two-letter names here, some of which mean a different account on each
    // machine.
    if !text.get(..2)?.eq_ignore_ascii_case("S-") || text.contains('\0') {
        return None;
    }
    let mut sid = ptr::null_mut();
    // SAFETY: a zero-terminated string, and room for the result.
    ok("ConvertStringSidToSidW", || unsafe {
        ConvertStringSidToSidW(wide(text).as_ptr(), &mut sid)
    })
    .ok()?;
    let _free = Local(sid);
    // SAFETY: the call above made a valid SID, which stays until `_free` is dropped.
    unsafe { sid_text(sid) }.ok()
}

/// The SID of the user that owns a kernel object. The handle needs READ_CONTROL.
pub(in crate::os) fn owner(object: BorrowedHandle<'_>) -> io::Result<String> {
    let mut sid: PSID = ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    may_fail("GetSecurityInfo")?;
    // SAFETY: a live handle, room for what is requested, NULL for what is not.
    let code = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &mut sid,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(code as i32));
    }
    let _free = Local(descriptor);
    if sid.is_null() {
        return Err(io::Error::other("the system names no owner of the object"));
    }
    // SAFETY: `sid` points into the descriptor, which stays until `_free` is dropped.
    unsafe { sid_text(sid) }
}

/// The token of a process.
pub(in crate::os) fn process_token(process: HANDLE) -> io::Result<OwnedHandle> {
    let mut token = ptr::null_mut();
    // SAFETY: a live handle or the constant for this process, and room for the result.
    ok("OpenProcessToken", || unsafe {
        OpenProcessToken(process, TOKEN_QUERY, &mut token)
    })?;
    // SAFETY: the call above has just made this handle for us.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// The token of this process, even when this thread acts for another user.
pub(in crate::os) fn own_token() -> io::Result<OwnedHandle> {
    // SAFETY: the call returns a constant that stands for this process.
    process_token(unsafe { GetCurrentProcess() })
}

/// What a token says about one class: a structure of the system's, aligned for any of them, followed
/// by what it points to.
pub(in crate::os) fn token_information(
    token: &OwnedHandle,
    class: TOKEN_INFORMATION_CLASS,
) -> io::Result<Vec<u64>> {
    let mut answer = vec![0u64; 32];
    loop {
        let mut written = 0;
        // SAFETY: a live handle, and room for the number of bytes given.
        let got = ok("GetTokenInformation", || unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                class,
                answer.as_mut_ptr().cast(),
                (answer.len() * 8) as u32,
                &mut written,
            )
        });
        match got {
            Ok(()) => return Ok(answer),
            Err(e) if is_code(&e, &[ERROR_INSUFFICIENT_BUFFER]) => {
                answer.resize((written as usize).div_ceil(8).max(answer.len() + 1), 0);
            }
            Err(e) => return Err(e),
        }
    }
}

/// The groups of a token that count for access, as SIDs.
pub(in crate::os) fn groups(
    token: &OwnedHandle,
    class: TOKEN_INFORMATION_CLASS,
) -> io::Result<Vec<String>> {
    let answer = token_information(token, class)?;
    let groups = answer.as_ptr().cast::<TOKEN_GROUPS>();
    // SAFETY: the call filled in this structure, with as many entries at its end as it says, whose
    // SIDs are within `answer`. There is no reference to the structure, which declares one entry.
    let groups = unsafe {
        std::slice::from_raw_parts(
            (&raw const (*groups).Groups).cast::<SID_AND_ATTRIBUTES>(),
            (*groups).GroupCount as usize,
        )
    };
    let counts = |group: &&SID_AND_ATTRIBUTES| {
        let attributes = group.Attributes as i32;
        attributes & SE_GROUP_ENABLED != 0 && attributes & SE_GROUP_USE_FOR_DENY_ONLY == 0
    };
    // SAFETY: as above.
    let text = |group: &SID_AND_ATTRIBUTES| unsafe { sid_text(group.Sid) };
    groups.iter().filter(counts).map(text).collect()
}

/// The services that restrict a token. A service whose SID has the type SERVICE_SID_TYPE_RESTRICTED may write only
/// to what lets in its service as well as its user, so an access list has to name both.
pub(in crate::os) fn restricting_services(token: &OwnedHandle) -> Vec<String> {
    // A token that does not tell is not restricted.
    let mut sids = groups(token, TokenRestrictedSids).unwrap_or_default();
    // NT SERVICE\...
    sids.retain(|sid| sid.starts_with("S-1-5-80-"));
    sids
}

/// Whether this process runs at medium integrity or above, as all but sandboxed ones do.
fn is_medium() -> io::Result<bool> {
    let level = integrity(&own_token()?)?;
    Ok(level.is_some_and(|level| level >= SECURITY_MANDATORY_MEDIUM_RID as u32))
}

/// The number of a token's integrity level.
pub(in crate::os) fn integrity(token: &OwnedHandle) -> io::Result<Option<u32>> {
    let answer = token_information(token, TokenIntegrityLevel)?;
    // SAFETY: the call filled in this structure, whose SID is within `answer`.
    let label = unsafe { sid_text((*answer.as_ptr().cast::<TOKEN_MANDATORY_LABEL>()).Label.Sid) }?;
    let level = label.rsplit('-').next();
    Ok(level.and_then(|level| level.parse().ok()))
}

/// Whether a token is elevated.
pub(in crate::os) fn is_elevated(token: &OwnedHandle) -> io::Result<bool> {
    let answer = token_information(token, TokenElevation)?;
    // SAFETY: the call filled in this structure.
    Ok(unsafe { (*answer.as_ptr().cast::<TOKEN_ELEVATION>()).TokenIsElevated } != 0)
}

/// Who owns a new object, and who may use it.
pub(in crate::os) struct AccessList(Local);

impl AccessList {
    /// Owned by `owner`, who like the system itself may do everything with it. `more` says what others
    /// may do: entries in SDDL that come before these. Nothing is inherited (`P`).
    ///
    /// The owner is named although it is us, because by default the objects of an elevated
    /// administrator belong to the group of administrators. The label keeps sandboxed processes,
    /// which may be of the same user, from writing and reading (by default the system would only
    /// forbid writing). A process that is sandboxed itself gets the system's label, its own. A restricted service
    /// is let in as such, too.
    pub(in crate::os) fn for_owner(owner: &str, more: &str) -> io::Result<AccessList> {
        let label = if is_medium()? {
            "S:(ML;;NRNW;;;ME)"
        } else {
            ""
        };
        let all = |who: &str| format!("(A;;{GENERIC_ALL:#x};;;{who})");
        let services = restricting_services(&own_token()?);
        let services: String = services.iter().map(|service| all(service)).collect();
        let (user, system) = (all(owner), all("SY"));
        AccessList::parse(&format!(
            "O:{owner}D:P{more}{user}{services}{system}{label}"
        ))
    }

    pub(in crate::os) fn parse(sddl: &str) -> io::Result<AccessList> {
        let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: a zero-terminated string, and room for the result; its length is not requested.
        let parse = || unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(sddl).as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                ptr::null_mut(),
            )
        };
        ok(
            "ConvertStringSecurityDescriptorToSecurityDescriptorW",
            parse,
        )?;
        Ok(AccessList(Local(descriptor)))
    }

    /// For a call that creates an object; valid for as long as `self`. Handles are not inheritable.
    pub(in crate::os) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }
}

/// The right to read whom an object belongs to.
pub(in crate::os) const READ_CONTROL: u32 = 0x2_0000;
