//! Whether this is Wine, where counts are smaller: a process takes 150 ms to start there.

#[cfg(not(windows))]
pub(crate) fn is_wine() -> bool {
    false
}

#[cfg(windows)]
pub(crate) fn is_wine() -> bool {
    use std::sync::OnceLock;

    use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

    static IS_WINE: OnceLock<bool> = OnceLock::new();
    *IS_WINE.get_or_init(|| {
        let name: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
        // SAFETY: strings that end with a zero; the module is loaded in every process. Only Wine's has the function.
        unsafe {
            let ntdll = GetModuleHandleW(name.as_ptr());
            GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast()).is_some()
        }
    })
}
