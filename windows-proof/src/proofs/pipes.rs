//! The pipe of the handshake, as strangers meet it.

use std::io::{Read, Write};

use anyhow::{Context as _, ensure};
use windows_sys::Win32::Security::{SecurityIdentification, SecurityImpersonation};

use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::proof::OrSkip;
use crate::system::pipe;
use crate::system::security::Descriptor;

/// The access list of the pipe of a host for its own user. What an administrator makes would by default be the group's,
/// whose pipes a guest does not trust.
fn as_twinring(context: &Context) -> std::io::Result<Descriptor> {
    let own = &context.facts.token.user;
    Descriptor::parse(&format!(
        "O:{own}D:P(A;;GA;;;{own})(A;;GA;;;SY)S:(ML;;NRNW;;;ME)"
    ))
}

pub(super) fn second_first_instance(context: &Context) -> anyhow::Result<String> {
    let name = context.new_name("pipe");
    let _first = pipe::instance(&name, true, None).context("the first instance")?;
    let second = pipe::instance(&name, true, None);
    let code = second.err().map(|e| e.raw_os_error());
    ensure!(
        code == Some(Some(5)),
        "the second: {code:?} in place of error 5"
    );
    pipe::instance(&name, false, None)
        .context("the control, which does not ask to be the first")?;
    Ok("error 5; a second instance that does not ask to be the first is made".into())
}

/// A stranger can take any other name before the host does.
pub(super) fn protected(context: &Context) -> anyhow::Result<String> {
    let name = context.new_name("pipe");
    let made = pipe::instance(&pipe::protected(&name), true, None);
    if context.facts.token.is_elevated {
        made.context("an elevated process")?;
        let link = context.new_name("link");
        let host = Stage::new(context, Account::Own)?.start(Role::Host, &link, "same")?;
        host.wait_for("opened")?;
        pipe::open(".", &pipe::name_of_host(&context.facts.token, &link))
            .context("the host's pipe")?;
        return Ok("an elevated process makes them, and so does an elevated host".into());
    }
    let code = made.err().map(|e| e.raw_os_error());
    ensure!(code == Some(Some(5)), "{code:?} in place of error 5");
    pipe::instance(&name, true, None).context("the control, without the prefix")?;
    Ok("error 5 for a process that is not elevated; without the prefix it makes one".into())
}

pub(super) fn network(context: &Context) -> anyhow::Result<String> {
    // That this way leads to pipes at all, shown with a pipe that differs in nothing but this.
    let open = context.new_name("pipe");
    let _instance = pipe::instance(&open, true, Some(&as_twinring(context)?))?;
    pipe::open("127.0.0.1", &open).or_skip("this machine serves no pipes to the network")?;

    let name = context.new_name("link");
    let host = Stage::new(context, Account::Own)?.start(Role::Host, &name, "same")?;
    host.wait_for("opened")?;
    let pipe = pipe::name_of_host(&context.facts.token, &name);
    let refused = match pipe::open("127.0.0.1", &pipe) {
        Ok(_) => anyhow::bail!("a client from the network was let in"),
        Err(e) => e,
    };
    pipe::open(".", &pipe).context("the control, locally")?;
    Ok(format!("at 127.0.0.1: {refused}; let in locally"))
}

/// The guest is one of the library; its host is this program, which tries to act as it.
pub(super) fn impersonation(context: &Context) -> anyhow::Result<String> {
    let own = &context.facts.token.user;
    let access = as_twinring(context)?;

    let control = context.new_name("pipe");
    let instance = pipe::instance(&control, true, Some(&access))?;
    let mut client = pipe::open(".", &control)?;
    client.write_all(&[1])?;
    let mut caller = pipe::wait_for_caller(instance, &control)?;
    caller.read_exact(&mut [0])?;
    let level = pipe::impersonation_level(&caller).context("the control")?;
    ensure!(
        level == SecurityImpersonation,
        "the control, who forbids nothing, is at level {level}"
    );

    let name = context.new_name("link");
    let pipe = pipe::name_of(own, &name);
    let instance = pipe::instance(&pipe, true, Some(&access))?;
    let _guest = Stage::new(context, Account::Own)?.start(Role::Guest, &name, "same")?;
    let mut caller = pipe::wait_for_caller(instance, &pipe)?;
    caller.read_exact(&mut [0])?;
    let level = pipe::impersonation_level(&caller)?;
    ensure!(
        level == SecurityIdentification,
        "the guest is at level {level} in place of {SecurityIdentification}"
    );
    Ok(
        "the guest at level SecurityIdentification, a careless client at SecurityImpersonation"
            .into(),
    )
}

pub(super) fn squatter(context: &Context) -> anyhow::Result<String> {
    let name = context.new_name("link");
    let pipe = pipe::name_of("S-1-5-18", &name);
    let squatter = pipe::instance(&pipe, true, None)?;
    let guest = Stage::new(context, Account::Own)?.start(Role::Guest, &name, "service")?;
    let mut caller = pipe::wait_for_caller(squatter, &pipe)?;
    let mut got = Vec::new();
    // However it has hung up.
    let _ = caller.read_to_end(&mut got);
    ensure!(got.is_empty(), "the squatter got {} bytes", got.len());
    let refused = guest.wait_for("error WrongOwner")?;
    ensure!(!guest.has_said("connected"), "it connected all the same");

    // The control: with a host of its own user, a guest of the same program talks at once.
    let name = context.new_name("link");
    let host = Stage::new(context, Account::Own)?.start(Role::Host, &name, "same")?;
    host.wait_for("opened")?;
    let control = Stage::new(context, Account::Own)?.start(Role::Guest, &name, "same")?;
    control.wait_for("exchanged ").context("the control")?;
    Ok(format!("the squatter got 0 bytes; {}", refused.text))
}
