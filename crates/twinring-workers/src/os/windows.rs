//! Windows: a job that ends with this process.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::Child;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, WAIT_OBJECT_0};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, PROCESS_SYNCHRONIZE, TerminateProcess, WaitForSingleObject,
};

/// The only handle of it is this one, which no child inherits: the system closes it when this process ends, however,
/// and then ends all that is in the job.
static JOB: Mutex<Option<OwnedHandle>> = Mutex::new(None);

pub(crate) fn adopt(child: &Child) -> io::Result<()> {
    let mut job = JOB.lock().unwrap_or_else(PoisonError::into_inner);
    let job = match &mut *job {
        Some(job) => job,
        none => none.insert(new_job()?),
    };
    // SAFETY: two live handles.
    ok(unsafe { AssignProcessToJobObject(job.as_raw_handle(), child.as_raw_handle()) })
}

fn new_job() -> io::Result<OwnedHandle> {
    // SAFETY: no name and no attributes: nobody else can open it, and no child inherits it.
    let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this handle for us.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: a live handle, and `limits` is what this class of information is, of the length given.
    ok(unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size_of_val(&limits) as u32,
        )
    })?;
    Ok(job)
}

pub(crate) fn is_supervised_by(pid: u32) -> bool {
    // SAFETY: plain numbers; the handle is not inheritable.
    let process = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    if process.is_null() {
        // Otherwise it may only be that this process may not look at it.
        let code = io::Error::last_os_error().raw_os_error();
        return code != Some(ERROR_INVALID_PARAMETER as i32);
    }
    // SAFETY: the call above has just made this handle for us.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    // SAFETY: a live handle.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) != WAIT_OBJECT_0 }
}

pub(crate) fn remove_variable(name: &str) {
    // SAFETY: on Windows the system itself guards the environment, and this is always sound.
    unsafe { std::env::remove_var(name) };
}

pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: a constant that stands for this process, and a number.
    unsafe { TerminateProcess(GetCurrentProcess(), code as u32) };
    // It has only begun.
    std::process::abort()
}

fn ok(result: windows_sys::core::BOOL) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
