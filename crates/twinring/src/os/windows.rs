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

use windows_sys::Wdk::Foundation::{NtQueryObject, ObjectTypeInformation};
use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_BROKEN_PIPE, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_HANDLE,
    ERROR_NO_DATA, ERROR_NONE_MAPPED, ERROR_PIPE_NOT_CONNECTED, ERROR_SUCCESS, GENERIC_ALL,
    GetLastError, HANDLE, INVALID_HANDLE_VALUE, LocalFree, NTSTATUS, RtlNtStatusToDosError,
    SetLastError, UNICODE_STRING,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, ConvertStringSidToSidW, GetSecurityInfo,
    SDDL_REVISION_1, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    AccessCheck, DACL_SECURITY_INFORMATION, GENERIC_MAPPING, GROUP_SECURITY_INFORMATION,
    GetTokenInformation, LABEL_SECURITY_INFORMATION, LookupAccountNameW,
    OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
    SACL_SECURITY_INFORMATION, SECURITY_ATTRIBUTES, SID_AND_ATTRIBUTES, SetKernelObjectSecurity,
    TOKEN_ELEVATION, TOKEN_GROUPS, TOKEN_INFORMATION_CLASS, TOKEN_MANDATORY_LABEL, TOKEN_QUERY,
    TokenElevation, TokenGroups, TokenIntegrityLevel, TokenRestrictedSids,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ALL_ACCESS, FILE_GENERIC_EXECUTE, FILE_GENERIC_READ, FILE_GENERIC_WRITE,
    FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_WRITE_DATA, SYNCHRONIZE,
};
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
};
use windows_sys::Win32::System::SystemServices::{
    SE_GROUP_ENABLED, SE_GROUP_LOGON_ID, SE_GROUP_USE_FOR_DENY_ONLY, SECURITY_MANDATORY_MEDIUM_RID,
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
    // SAFETY: the call above made a zero-terminated string, for us.
    unsafe { taken_text(text) }
}

/// The text that the system has allocated for us, which is freed.
///
/// # Safety
/// `text` must be a zero-terminated string that is to be freed with LocalFree, once.
unsafe fn taken_text(text: *const u16) -> io::Result<String> {
    let _free = Local(text.cast_mut().cast());
    let mut len = 0;
    // SAFETY: by the contract above; it stays until `_free` is dropped.
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

/// The account of this name, as its SID, and of which kind it is (SidType...); `None` if there is none.
pub(in crate::os) fn account_named(name: &str) -> io::Result<Option<(String, i32)>> {
    // Without a name the call answers with the machine's own domain.
    if name.is_empty() || name.contains('\0') {
        return Ok(None);
    }
    let name = wide(name);
    let (mut sid, mut domain) = (vec![0u64; 16], vec![0u16; 256]);
    loop {
        let mut sid_len = (sid.len() * 8) as u32;
        let mut domain_len = domain.len() as u32;
        let mut kind = 0;
        // SAFETY: a zero-terminated string, room for as many bytes and characters as said, and for the kind.
        let found = ok("LookupAccountNameW", || unsafe {
            LookupAccountNameW(
                ptr::null(),
                name.as_ptr(),
                sid.as_mut_ptr().cast(),
                &mut sid_len,
                domain.as_mut_ptr(),
                &mut domain_len,
                &mut kind,
            )
        });
        match found {
            Ok(()) => {
                // SAFETY: the call filled in a valid SID.
                let sid = unsafe { sid_text(sid.as_mut_ptr().cast()) }?;
                return Ok(Some((sid, kind)));
            }
            Err(e) if is_code(&e, &[ERROR_NONE_MAPPED]) => return Ok(None),
            Err(e)
                if is_code(&e, &[ERROR_INSUFFICIENT_BUFFER])
                    && (sid_len as usize > sid.len() * 8 || domain_len as usize > domain.len()) =>
            {
                sid.resize((sid_len as usize).div_ceil(8).max(sid.len()), 0);
                domain.resize((domain_len as usize).max(domain.len()), 0);
            }
            Err(e) => return Err(e),
        }
    }
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
    groups_that(token, class, |attributes| {
        attributes & SE_GROUP_ENABLED != 0 && attributes & SE_GROUP_USE_FOR_DENY_ONLY == 0
    })
}

/// The logon session of a token, as the SID that stands for it in access lists: the same for all that a user has
/// started since logging on, elevated or not (the number of a session, its AuthenticationId, is not). `None` for the
/// system itself.
pub(in crate::os) fn logon(token: &OwnedHandle) -> io::Result<Option<String>> {
    let mut logons = groups_that(token, TokenGroups, |attributes| {
        attributes & SE_GROUP_LOGON_ID == SE_GROUP_LOGON_ID
    })?;
    Ok(logons.pop())
}

fn groups_that(
    token: &OwnedHandle,
    class: TOKEN_INFORMATION_CLASS,
    counts: impl Fn(i32) -> bool,
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
    let counts = |group: &&SID_AND_ATTRIBUTES| counts(group.Attributes as i32);
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
    /// may do: entries in SDDL that come after these, and so deny these nothing. Nothing is inherited (`P`).
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
            "O:{owner}D:P{user}{services}{system}{more}{label}"
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

    /// The entries of the DACL, in SDDL; `None` if it has none, which would let everybody in.
    pub(in crate::os) fn entries(&self) -> io::Result<Option<String>> {
        let text = self.text(DACL_SECURITY_INFORMATION)?;
        // "D:", flags of the list, and then the entries.
        let entries = text.find('(').map_or("", |begin| &text[begin..]);
        let none = !text.starts_with("D:") || text.contains("NO_ACCESS_CONTROL");
        Ok((!none).then(|| entries.to_owned()))
    }

    /// Whether it says anything beside the DACL.
    pub(in crate::os) fn says_more(&self) -> io::Result<bool> {
        const MORE: u32 = OWNER_SECURITY_INFORMATION
            | GROUP_SECURITY_INFORMATION
            | SACL_SECURITY_INFORMATION
            | LABEL_SECURITY_INFORMATION;
        Ok(!self.text(MORE)?.is_empty())
    }

    fn text(&self, what: u32) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: a valid descriptor, and room for the result; its length is not requested.
        let convert = || unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0.0,
                SDDL_REVISION_1,
                what,
                &mut text,
                ptr::null_mut(),
            )
        };
        ok(
            "ConvertSecurityDescriptorToStringSecurityDescriptorW",
            convert,
        )?;
        // SAFETY: the call above made a zero-terminated string, for us.
        unsafe { taken_text(text) }
    }

    /// Whether it gives whom the token is about these rights. It must name an owner and a group; the token must be
    /// one that stands for another process (an impersonation token).
    pub(in crate::os) fn gives(&self, token: &OwnedHandle, rights: u32) -> io::Result<bool> {
        let mapping = GENERIC_MAPPING {
            GenericRead: FILE_GENERIC_READ,
            GenericWrite: FILE_GENERIC_WRITE,
            GenericExecute: FILE_GENERIC_EXECUTE,
            GenericAll: FILE_ALL_ACCESS,
        };
        // Room for the privileges that were used, which are none: taking ownership is not asked for.
        let mut privileges = [0u64; 32];
        let mut len = size_of_val(&privileges) as u32;
        let (mut granted, mut is_given) = (0, 0);
        // SAFETY: a valid descriptor, a live handle, and room for the results, of the privileges as much as said.
        ok("AccessCheck", || unsafe {
            AccessCheck(
                self.0.0,
                token.as_raw_handle(),
                rights,
                &mapping,
                privileges.as_mut_ptr().cast(),
                &mut len,
                &mut granted,
                &mut is_given,
            )
        })?;
        Ok(is_given != 0)
    }

    /// Puts its DACL in place of the one that the object has. The handle needs WRITE_DAC.
    pub(in crate::os) fn replace(&self, object: BorrowedHandle<'_>) -> io::Result<()> {
        let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        // SAFETY: a live handle, and a valid descriptor.
        ok("SetKernelObjectSecurity", || unsafe {
            SetKernelObjectSecurity(object.as_raw_handle(), what, self.0.0)
        })
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

/// The rights to a pipe that a guest needs. Named one by one, because the general right to write
/// includes that of adding instances.
pub(in crate::os) const GUEST_RIGHTS: u32 =
    FILE_READ_DATA | FILE_WRITE_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE;

/// The right to read whom an object belongs to.
pub(in crate::os) const READ_CONTROL: u32 = 0x2_0000;

/// Whether a number is a handle, from the system's answer to a question about it. If the system
/// could not answer, that says nothing against the side that sent the number.
pub(in crate::os) fn is_handle(asked: io::Result<()>) -> io::Result<bool> {
    match asked {
        Ok(()) => Ok(true),
        Err(e) if is_code(&e, &[ERROR_INVALID_HANDLE]) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The kernel's name for the type of object that a handle, which may be any number, stands for.
pub(in crate::os) fn object_type(handle: HANDLE) -> io::Result<Option<String>> {
    /// The structure begins with the name, whose characters come after it.
    #[repr(C)]
    struct Answer {
        name: UNICODE_STRING,
        rest: [u64; 128],
    }
    let mut answer = Answer {
        name: UNICODE_STRING::default(),
        rest: [0; 128],
    };
    // SAFETY: room for the number of bytes given. A number that is not a handle is refused.
    let asked = status("NtQueryObject", || unsafe {
        NtQueryObject(
            handle,
            ObjectTypeInformation,
            (&raw mut answer).cast(),
            size_of::<Answer>() as u32,
            ptr::null_mut(),
        )
    });
    if !is_handle(asked)? || answer.name.Buffer.is_null() {
        return Ok(None);
    }
    let len = usize::from(answer.name.Length / 2);
    // SAFETY: the kernel wrote a string of this length into `answer`, and a pointer to it.
    let name = unsafe { std::slice::from_raw_parts(answer.name.Buffer, len) };
    Ok(String::from_utf16(name).ok())
}
