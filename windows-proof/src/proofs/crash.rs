//! How a process ends, and what its peer is told.

use std::os::windows::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use twinring::{Connection, End, Error, Link};
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent, GetConsoleCP,
};
use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

use super::meeting::{meet, together};
use super::one_user::OWN;
use crate::args::Role;
use crate::context::Context;
use crate::proof::skip;
use crate::side::Order;
use crate::system::calls::ok;

const PATIENCE: Duration = Duration::from_secs(30);

/// Windows Error Reporting keeps a crashed process for a while before its handles are closed. The control is one that
/// is ended from outside.
pub(super) fn fail_fast(context: &Context) -> anyhow::Result<String> {
    let mut met = vec![meet(context, OWN, Role::Host, Order::Die)?];
    for dying in [Role::Host, Role::Guest, Role::Host] {
        met.push(meet(context, OWN, dying, Order::FailFast)?);
    }
    Ok(together(&met))
}

/// The command, at whose standard input something may still come.
struct Listening(Child);

impl Listening {
    fn start(context: &Context, name: &str) -> anyhow::Result<Listening> {
        let child = Command::new(context.twinring()?)
            .args(["listen", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .creation_flags(CREATE_NEW_PROCESS_GROUP)
            .spawn()
            .context("cannot start twinring.exe")?;
        Ok(Listening(child))
    }

    fn exit_code(&mut self) -> anyhow::Result<Option<i32>> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("it has not ended within {PATIENCE:?}")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It fails if the command has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn end_of(conn: &Connection) -> anyhow::Result<End> {
    let conn = conn.within(PATIENCE);
    loop {
        match conn.recv() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(End::Finished),
            Err(e) => match Error::end(&e) {
                Some(end) => return Ok(end.clone()),
                None => return Err(e.into()),
            },
        }
    }
}

pub(super) fn ctrl_break(context: &Context) -> anyhow::Result<String> {
    // SAFETY: it takes nothing, and says 0 if there is no console.
    if unsafe { GetConsoleCP() } == 0 {
        return skip("this program has no console");
    }
    // The control: one that is killed is reported as crashed.
    let name = context.new_name("link");
    let mut command = Listening::start(context, &name)?;
    let link = Link::guest(&name).open()?;
    let conn = link.within(PATIENCE).next()?;
    command.0.kill()?;
    let killed = end_of(&conn)?;
    ensure!(killed == End::Crashed, "killed, its end is {killed:?}");
    drop((conn, link, command));

    let name = context.new_name("link");
    let mut command = Listening::start(context, &name)?;
    let link = Link::guest(&name).open()?;
    let conn = link.within(PATIENCE).next()?;
    let began = Instant::now();
    // SAFETY: it takes two numbers; the group is the command's own, whose process we have not released.
    ok(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, command.0.id()) })
        .context("GenerateConsoleCtrlEvent")?;
    let end = end_of(&conn)?;
    let told = began.elapsed();
    let code = command.exit_code()?;
    ensure!(end != End::Crashed, "its peer was told that it crashed");
    ensure!(code == Some(130), "exit code {code:?} in place of 130");
    Ok(format!(
        "its peer was told {end:?} after {told:.1?}, exit code 130; killed, Crashed"
    ))
}
