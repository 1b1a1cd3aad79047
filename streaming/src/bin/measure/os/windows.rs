//! Windows: taskkill, which takes longer than the kill itself.

use std::io;
use std::process::{Command, Stdio};

pub(crate) fn kill(pid: u32) -> io::Result<()> {
    let mut command = Command::new("taskkill");
    command.args(["/F", "/PID", &pid.to_string()]);
    command.stdout(Stdio::null()).status()?;
    Ok(())
}
