//! The machine and who runs this.

use std::env;
use std::ffi::{CStr, c_char};
use std::process::Command;

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::SystemInformation::{OSVERSIONINFOEXW, OSVERSIONINFOW};

use super::calls::wide;
use super::token::Token;

#[derive(Debug)]
pub(crate) struct Facts {
    system: String,
    /// Its version, if this is Wine.
    pub(crate) wine: Option<String>,
    /// On a domain controller a local user would be one of the whole domain.
    pub(crate) is_domain_controller: bool,
    pub(crate) token: Token,
}

impl Facts {
    pub(crate) fn find() -> anyhow::Result<Facts> {
        let mut version = OSVERSIONINFOEXW {
            dwOSVersionInfoSize: size_of::<OSVERSIONINFOEXW>() as u32,
            ..OSVERSIONINFOEXW::default()
        };
        // SAFETY: the structure says its size, and begins as the shorter one does.
        unsafe { RtlGetVersion((&raw mut version).cast::<OSVERSIONINFOW>()) };
        Ok(Facts {
            system: format!(
                "Windows {}.{}.{}",
                version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber
            ),
            wine: wine(),
            is_domain_controller: version.wProductType == 2,
            token: Token::of_this_process()?,
        })
    }

    /// Whether some of the proofs use other accounts.
    pub(crate) fn needs_accounts(&self) -> bool {
        self.wine.is_none() && self.token.is_elevated
    }

    /// For the report and for --dry-run.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let processor = env::var("PROCESSOR_IDENTIFIER").unwrap_or_else(|_| "unknown".into());
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut lines = vec![
            (
                "system",
                format!("{}, {processor}, {processors} processors", self.system),
            ),
            ("user", self.token.to_string()),
            (
                "program",
                format!("{} {}", env::consts::ARCH, env::consts::FAMILY),
            ),
        ];
        if let Some(version) = &self.wine {
            lines.push((
                "Wine",
                format!(
                    "this is Wine {version}, not Windows: what passes here says that the proof works, and nothing \
                     about Windows"
                ),
            ));
        }
        for (name, program, arguments) in [
            ("rust", "rustc", &["-vV"][..]),
            ("source", "git", &["rev-parse", "--short", "HEAD"]),
            ("groups", "whoami", &["/groups", "/fo", "csv", "/nh"]),
            ("privileges", "whoami", &["/priv", "/fo", "csv", "/nh"]),
        ] {
            if let Some(said) = output(program, arguments) {
                lines.push((name, said));
            }
        }
        lines
    }
}

/// What a program prints, on one line.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    (output.status.success() && !lines.is_empty()).then(|| lines.join("; "))
}

fn wine() -> Option<String> {
    // SAFETY: Wine's ntdll exports this function, which takes nothing and gives a string for ever; Windows' exports
    // none of this name.
    unsafe {
        let ntdll = GetModuleHandleW(wide("ntdll.dll").as_ptr());
        let function = GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast())?;
        let version: unsafe extern "C" fn() -> *const c_char = std::mem::transmute(function);
        Some(CStr::from_ptr(version()).to_string_lossy().into_owned())
    }
}
