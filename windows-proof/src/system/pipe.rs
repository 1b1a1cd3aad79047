//! Named pipes without the library: what a stranger would do with them.

use std::fs::File;
use std::io::{self, Read};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::mpsc;
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED};
use windows_sys::Win32::Security::{
    RevertToSelf, SECURITY_IMPERSONATION_LEVEL, TOKEN_QUERY, TokenImpersonationLevel,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAGS_AND_ATTRIBUTES, FILE_READ_DATA,
    FILE_WRITE_DATA, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, SECURITY_IDENTIFICATION,
    SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, ImpersonateNamedPipeClient, PIPE_TYPE_BYTE,
};
use windows_sys::Win32::System::Threading::{GetCurrentThread, OpenThreadToken};

use super::calls::{ok, own, wide};
use super::security::Descriptor;
use super::token::{Token, number};

/// The name of the pipe of a host of this user, without `\\.\pipe\`: see docs/format.md.
pub(crate) fn name_of(user: &str, link: &str) -> String {
    format!(
        "twinring-1-{user}-{:032x}",
        xxhash_rust::xxh3::xxh3_128(link.as_bytes())
    )
}

/// As [`name_of`], of a host that runs with this token: where only the privileged may create pipes, if it is.
pub(crate) fn name_of_host(token: &Token, link: &str) -> String {
    let name = name_of(&token.user, link);
    match token.is_elevated {
        true => protected(&name),
        false => name,
    }
}

/// The name below the prefix that is for administrators.
pub(crate) fn protected(name: &str) -> String {
    format!(r"ProtectedPrefix\Administrators\{name}")
}

/// As [`name_of`], of a host that runs, in whichever of the two places its pipe is. `whose`: a user's SID, or that of
/// the logon session which the link is for.
pub(crate) fn name_of_running(whose: &str, link: &str) -> io::Result<String> {
    let name = name_of(whose, link);
    for name in [protected(&name), name] {
        match open(".", &name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // Or it is closed to us, and is there.
            _ => return Ok(name),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Adds an instance of a pipe. Without an access list it gets the one of the process.
pub(crate) fn instance(
    name: &str,
    first: bool,
    access: Option<&Descriptor>,
) -> io::Result<OwnedHandle> {
    let first = if first {
        FILE_FLAG_FIRST_PIPE_INSTANCE
    } else {
        0
    };
    let attributes = access.map(Descriptor::attributes);
    let attributes = attributes.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: a zero-terminated string, and attributes that live as long as the call, or NULL; the handle is new.
    unsafe {
        own(CreateNamedPipeW(
            wide(format!(r"\\.\pipe\{name}")).as_ptr(),
            PIPE_ACCESS_DUPLEX | first,
            PIPE_TYPE_BYTE,
            255,
            512,
            512,
            0,
            attributes,
        ))
    }
}

/// Opens a pipe of the machine `server` to read and write, without a word about impersonation.
pub(crate) fn open(server: &str, name: &str) -> io::Result<File> {
    open_with(server, name, 0)
}

/// Connects as a guest would, who shows from the first moment on who it is, and says nothing. What the other side says
/// to that within this time, as text.
pub(crate) fn what_it_says(name: &str, time: Duration) -> io::Result<String> {
    let mut pipe = open_with(".", name, SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION)?;
    let (tell, told) = mpsc::channel();
    // It may wait for longer; then it ends with the process.
    std::thread::spawn(move || {
        let mut said = [0; 512];
        let _ = tell.send(pipe.read(&mut said).map(|len| said[..len].to_vec()));
    });
    match told.recv_timeout(time) {
        Ok(said) => Ok(String::from_utf8_lossy(&said?)
            .chars()
            .filter(|c| c.is_ascii_graphic() || *c == ' ')
            .collect()),
        Err(_) => Ok("nothing".to_owned()),
    }
}

fn open_with(server: &str, name: &str, flags: FILE_FLAGS_AND_ATTRIBUTES) -> io::Result<File> {
    for _ in 0..100 {
        // SAFETY: a zero-terminated string, and NULL; the handle is new.
        let opened = unsafe {
            own(CreateFileW(
                wide(format!(r"\\{server}\pipe\{name}")).as_ptr(),
                FILE_READ_DATA | FILE_WRITE_DATA,
                0,
                ptr::null(),
                OPEN_EXISTING,
                flags,
                ptr::null_mut(),
            ))
        };
        match opened {
            // A host makes the next instance right after a guest has come.
            Err(e) if e.raw_os_error() == Some(ERROR_PIPE_BUSY as i32) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return Ok(File::from(other?)),
        }
    }
    Err(io::Error::from_raw_os_error(ERROR_PIPE_BUSY as i32))
}

/// Waits until somebody has connected to the instance.
pub(crate) fn wait_for_caller(pipe: OwnedHandle, name: &str) -> anyhow::Result<File> {
    let (tell, told) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        // SAFETY: a live handle, which was made for calls that wait.
        let connected = ok(unsafe { ConnectNamedPipe(pipe.as_raw_handle(), ptr::null_mut()) });
        let _ = tell.send(());
        // It was faster than this thread, and may have left again.
        let came = [ERROR_PIPE_CONNECTED, ERROR_NO_DATA].map(|code| Some(code as i32));
        match connected {
            Err(e) if !came.contains(&e.raw_os_error()) => Err(e),
            _ => Ok(File::from(pipe)),
        }
    });
    let came = told.recv_timeout(Duration::from_secs(30)).is_ok();
    if !came {
        // The thread has to come back: we call ourselves.
        let _ = open(".", name);
    }
    let pipe = waiting.join().expect("the thread has no way to panic");
    anyhow::ensure!(came, "nobody came within 30 seconds");
    Ok(pipe?)
}

/// As far as the server of a pipe may act as its client, from which it has read something.
pub(crate) fn impersonation_level(pipe: &File) -> io::Result<SECURITY_IMPERSONATION_LEVEL> {
    // SAFETY: live handles and a constant, and room for the result, which is a new handle. The thread becomes itself
    // again before anything else happens.
    let token = unsafe {
        ok(ImpersonateNamedPipeClient(pipe.as_raw_handle()))?;
        let mut token = ptr::null_mut();
        let opened = ok(OpenThreadToken(
            GetCurrentThread(),
            TOKEN_QUERY,
            1,
            &mut token,
        ));
        if RevertToSelf() == 0 {
            std::process::abort();
        }
        opened?;
        own(token)?
    };
    Ok(number(&token, TokenImpersonationLevel)? as SECURITY_IMPERSONATION_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinring::Link;

    #[test]
    fn a_host_says_why_it_refuses_and_nothing_to_who_is_silent() {
        let token = Token::of_this_process().unwrap();
        let hears = |admits: bool| {
            let name = format!("twproof-pipe-{}-{admits}", std::process::id());
            let host = Link::host(&name).admit(move |_| admits).open().unwrap();
            let pipe = name_of_running(&token.user, &name).unwrap();
            let said = what_it_says(&pipe, Duration::from_secs(2)).unwrap();
            drop(host);
            assert!(name_of_running(&token.user, &name).is_err());
            said
        };
        let refused = hears(false);
        assert!(refused.contains("is not admitted"), "{refused}");
        assert!(refused.contains(&token.user), "{refused}");
        assert_eq!(hears(true), "nothing");
    }
}
