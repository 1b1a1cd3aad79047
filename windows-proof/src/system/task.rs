//! Scheduled tasks: the way to start a program as SYSTEM or LocalService, without elevation, or by an S4U logon.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::undo::{self, Undo};

/// As whom the task runs.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) sid: String,
    pub(crate) logon: Logon,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Logon {
    /// An account of the system, which needs none.
    Service,
    /// The user's own, in the user's session, not elevated.
    Limited,
    /// A new one, without a password, in session 0, not elevated.
    S4u,
}

#[derive(Debug)]
pub(crate) struct Task {
    _undo: Undo,
}

impl Task {
    /// Makes and starts a task; `folder` gets its description.
    pub(crate) fn start(
        name: &str,
        principal: &Principal,
        program: &Path,
        arguments: &str,
        folder: &Path,
    ) -> anyhow::Result<Task> {
        let description = folder.join("task.xml");
        let text = describe(principal, &program.display().to_string(), arguments);
        let units = [0xFEFF].into_iter().chain(text.encode_utf16());
        let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
        std::fs::write(&description, bytes)?;
        let removed = name.to_owned();
        let path = description.display().to_string();
        schtasks(&["/Create", "/TN", name, "/XML", &path])?;
        let undo = undo::at_the_end(format!("task {name}"), move || {
            // It fails if the task is not running.
            let _ = schtasks(&["/End", "/TN", &removed]);
            schtasks(&["/Delete", "/F", "/TN", &removed])
        });
        schtasks(&["/Run", "/TN", name])?;
        Ok(Task { _undo: undo })
    }
}

fn schtasks(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("schtasks.exe")
        .args(arguments)
        .output()
        .context("cannot run schtasks.exe")?;
    ensure!(
        output.status.success(),
        "schtasks {}: {}{}",
        arguments[0],
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn describe(principal: &Principal, program: &str, arguments: &str) -> String {
    let logon = match principal.logon {
        Logon::Service => "<RunLevel>HighestAvailable</RunLevel>",
        Logon::Limited => {
            "<LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel>"
        }
        Logon::S4u => "<LogonType>S4U</LogonType><RunLevel>LeastPrivilege</RunLevel>",
    };
    let sid = &principal.sid;
    let (program, arguments) = (escaped(program), escaped(arguments));
    // By default a task does not start on batteries, and runs at a low priority.
    format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Principals><Principal id="who"><UserId>{sid}</UserId>{logon}</Principal></Principals>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT5M</ExecutionTimeLimit>
    <Priority>5</Priority>
  </Settings>
  <Actions Context="who"><Exec><Command>{program}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_takes_any_path() {
        let principal = Principal {
            sid: "S-1-5-19".into(),
            logon: Logon::Service,
        };
        let text = describe(&principal, r"C:\R&D\<x>.exe", "\"side\"");
        assert!(
            text.contains(r"<Command>C:\R&amp;D\&lt;x&gt;.exe</Command>"),
            "{text}"
        );
        assert!(
            text.contains("<UserId>S-1-5-19</UserId><RunLevel>"),
            "{text}"
        );
    }
}
