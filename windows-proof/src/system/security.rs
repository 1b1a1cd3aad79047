//! SIDs and access lists.

use std::ffi::c_void;
use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW,
    ConvertStringSidToSidW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    LookupAccountNameW, LookupAccountSidW, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    SECURITY_MAX_SID_SIZE,
};

use super::calls::{ok, wide};

/// Memory that the system allocated for us; freed on drop.
#[derive(Debug)]
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
pub(crate) unsafe fn sid_text(sid: PSID) -> io::Result<String> {
    let mut text = ptr::null_mut();
    // SAFETY: a valid SID, and room for the result.
    ok(unsafe { ConvertSidToStringSidW(sid, &mut text) })?;
    let _free = Local(text.cast());
    // SAFETY: the call above made a zero-terminated string, which stays until `_free` is dropped.
    let units = unsafe {
        let len = (0..).take_while(|&i| *text.add(i) != 0).count();
        std::slice::from_raw_parts(text, len)
    };
    Ok(String::from_utf16_lossy(units))
}

/// A SID of its own.
#[derive(Debug)]
pub(crate) struct Sid(Local);

impl Sid {
    pub(crate) fn parse(text: &str) -> io::Result<Sid> {
        let mut sid = ptr::null_mut();
        // SAFETY: a zero-terminated string, and room for the result.
        ok(unsafe { ConvertStringSidToSidW(wide(text).as_ptr(), &mut sid) })?;
        Ok(Sid(Local(sid)))
    }

    /// Valid for as long as `self` is.
    pub(crate) fn as_ptr(&self) -> PSID {
        self.0.0
    }
}

/// The SID of an account, `NT SERVICE\...` too, in its text form.
pub(crate) fn sid_of(account: &str) -> io::Result<String> {
    let mut sid = [0u64; (SECURITY_MAX_SID_SIZE as usize).div_ceil(8)];
    let mut domain = [0u16; 256];
    let (mut sid_len, mut domain_len) = (SECURITY_MAX_SID_SIZE, domain.len() as u32);
    let mut kind = 0;
    // SAFETY: a zero-terminated string, and room for as much as is said. The SID is valid if the call succeeds.
    unsafe {
        ok(LookupAccountNameW(
            ptr::null(),
            wide(account).as_ptr(),
            sid.as_mut_ptr().cast(),
            &mut sid_len,
            domain.as_mut_ptr(),
            &mut domain_len,
            &mut kind,
        ))?;
        sid_text(sid.as_mut_ptr().cast())
    }
}

/// What an account is called, in the language of this machine.
#[derive(Debug)]
pub(crate) struct Account {
    /// The machine's name, for its own accounts.
    domain: String,
    pub(crate) name: String,
}

impl Account {
    /// With its domain, if it has one.
    pub(crate) fn full(&self) -> String {
        match &*self.domain {
            "" => self.name.clone(),
            domain => format!(r"{domain}\{}", self.name),
        }
    }
}

pub(crate) fn account_of(sid: &Sid) -> io::Result<Account> {
    let (mut name, mut domain) = ([0u16; 257], [0u16; 257]);
    let (mut name_len, mut domain_len) = (name.len() as u32, domain.len() as u32);
    let mut kind = 0;
    // SAFETY: a valid SID, and room for as much as is said.
    ok(unsafe {
        LookupAccountSidW(
            ptr::null(),
            sid.as_ptr(),
            name.as_mut_ptr(),
            &mut name_len,
            domain.as_mut_ptr(),
            &mut domain_len,
            &mut kind,
        )
    })?;
    let text = |units: &[u16], len: u32| String::from_utf16_lossy(&units[..len as usize]);
    Ok(Account {
        domain: text(&domain, domain_len),
        name: text(&name, name_len),
    })
}

/// A security descriptor.
#[derive(Debug)]
pub(crate) struct Descriptor(Local);

impl Descriptor {
    pub(crate) fn parse(sddl: &str) -> io::Result<Descriptor> {
        let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: a zero-terminated string, and room for the result; its length is not requested.
        ok(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(sddl).as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Descriptor(Local(descriptor)))
    }

    /// Valid for as long as `self` is.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }
}
