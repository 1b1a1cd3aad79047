//! Which machine it is, from ntdll and the environment.

use std::ffi::{CStr, c_char};

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;

pub(crate) fn name() -> String {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: size_of::<OSVERSIONINFOW>() as u32,
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the structure says its size.
    unsafe { RtlGetVersion(&mut version) };
    format!(
        "Windows {}.{}.{}",
        version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber
    )
}

pub(crate) fn processor() -> String {
    std::env::var("PROCESSOR_IDENTIFIER").unwrap_or_else(|_| "unknown".into())
}

/// Version of Wine, if this is Wine.
pub(crate) fn wine() -> Option<String> {
    let name: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: Wine's ntdll exports this function, which takes nothing and gives a string for ever;
    // Windows' exports none of this name.
    unsafe {
        let ntdll = GetModuleHandleW(name.as_ptr());
        let function = GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast())?;
        let version: unsafe extern "C" fn() -> *const c_char = std::mem::transmute(function);
        Some(CStr::from_ptr(version()).to_string_lossy().into_owned())
    }
}
