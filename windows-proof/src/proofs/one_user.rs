//! Processes of one user: ordinary, of another width, sandboxed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use super::build::{cargo, target_folder};
use super::door::{Door, is_let_in, is_refused};
use super::meeting::{Pair, Whom, both_ends, meet_on};
use crate::args::Role;
use crate::context::Context;
use crate::launch::{Account, Stage};
use crate::proof::{OrSkip, skip};
use crate::side::Order;
use crate::system::pipe;

pub(super) const OWN: Pair = Pair {
    host: Account::Own,
    guest: Account::Own,
    lets_in: Whom::Same,
    trusts: Whom::Same,
};

pub(super) fn meet(context: &Context) -> anyhow::Result<String> {
    both_ends(context, OWN)
}

const OTHER_WIDTH: &str = "i686-pc-windows-msvc";

pub(super) fn both_widths(context: &Context) -> anyhow::Result<String> {
    let narrow = build_narrow(context)?;
    let mut evidence = Vec::new();
    for (host, guest) in [(&narrow, &context.program), (&context.program, &narrow)] {
        let host = Stage::with_program(context, Account::Own, host)?;
        let guest = Stage::with_program(context, Account::Own, guest)?;
        evidence.push(meet_on(context, OWN, host, guest, Role::Host, Order::Die)?);
    }
    Ok(format!(
        "32-bit host: {}; 32-bit guest: {}",
        evidence[0], evidence[1]
    ))
}

fn build_narrow(context: &Context) -> anyhow::Result<PathBuf> {
    if cfg!(target_pointer_width = "32") {
        return skip("this program is a 32-bit one itself");
    }
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", OTHER_WIDTH])
        .output()
        .or_skip("there is no rustc to ask")?;
    let library = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    if !asked.status.success() || !library.is_dir() {
        return skip(format!(
            "{OTHER_WIDTH} is not installed (rustup target add {OTHER_WIDTH})"
        ));
    }
    let own = context.root.join("windows-proof");
    let manifest = own.join("Cargo.toml").display().to_string();
    cargo(
        context,
        &[
            "build",
            "--release",
            "--locked",
            "--target",
            OTHER_WIDTH,
            "--manifest-path",
            &manifest,
        ],
        &[],
    )?;
    let built = target_folder(&own)
        .join(OTHER_WIDTH)
        .join("release/windows-proof.exe");
    let copy = context.plan.folder.join("windows-proof-32.exe");
    std::fs::copy(built, &copy)?;
    Ok(copy)
}

pub(super) fn low_integrity(context: &Context) -> anyhow::Result<String> {
    let door = Door::open(context, Account::Own, "same")?;
    let pipe = pipe::name_of_host(&context.facts.token, &door.name);

    // The control first: at our own level, both ways in are open.
    let control = Stage::new(context, Account::Own)?.try_pipe(&pipe)?;
    ensure!(
        control == "open: done, instance: done",
        "the control: {control}"
    );
    let tried = Stage::new(context, Account::Low)?.try_pipe(&pipe)?;
    ensure!(
        tried == "open: error 5, instance: error 5",
        "at low integrity: {tried}"
    );

    is_let_in(&door.knock(Account::Own)?)?;
    let refused = is_refused(&door.knock(Account::Low)?)?;
    Ok(format!(
        "its pipe: {tried}; the guest: {refused}; the same at our own level is let in"
    ))
}
