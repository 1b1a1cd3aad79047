//! What cargo does: the build, the tests, the kill loop; and the command that was built.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::context::Context;
use crate::proof::{OrSkip, skip};

/// Runs cargo in the repository; what it says. Into a file, as what it starts may keep a pipe open.
pub(super) fn cargo(
    context: &Context,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<String> {
    // A program that cannot be run is no proof that failed.
    let version = Command::new("cargo")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    version.or_skip("there is no cargo here")?;
    let log = context.new_folder("cargo", "")?.join("said.log");
    let file = File::create(&log)?;
    let status = Command::new("cargo")
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(&context.root)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()?;
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    if !status.success() {
        let lines: Vec<&str> = text.lines().collect();
        bail!(
            "cargo {}: {status}:\n{}",
            arguments.join(" "),
            lines[lines.len().saturating_sub(40)..].join("\n")
        );
    }
    Ok(text)
}

/// Where cargo puts what it builds for a workspace.
pub(super) fn target_folder(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

pub(super) fn build(context: &Context) -> anyhow::Result<String> {
    if context.twinring_is_given() {
        return skip("--twinring names what was built before");
    }
    cargo(
        context,
        &["build", "--release", "--workspace", "--locked"],
        &[],
    )?;
    let folder = context.root.join(target_folder(&context.root));
    let folder = match env::var_os("CARGO_BUILD_TARGET") {
        Some(target) => folder.join(target),
        None => folder,
    };
    let built = folder.join("release").join("twinring.exe");
    ensure!(built.exists(), "there is no {}", built.display());
    let evidence = built.display().to_string();
    context.set_twinring(built);
    Ok(evidence)
}

pub(super) fn tests(context: &Context) -> anyhow::Result<String> {
    let began = Instant::now();
    let text = cargo(
        context,
        &["test", "--release", "--workspace", "--locked"],
        &[("TWINRING_LONG", "1")],
    )?;
    let passed = sum_before(&text, " passed");
    ensure!(passed > 0, "no test has run: {text}");
    Ok(format!(
        "{passed} tests passed in their long form, {} were left out, {} s",
        sum_before(&text, " ignored"),
        began.elapsed().as_secs()
    ))
}

pub(super) fn kills(context: &Context) -> anyhow::Result<String> {
    let kills = context.kills.to_string();
    let text = cargo(
        context,
        &[
            "test",
            "--release",
            "--locked",
            "-p",
            "twinring",
            "--test",
            "kills",
            "--",
            "--nocapture",
        ],
        &[("TWINRING_KILLS", &kills)],
    )?;
    // What the test itself counted.
    let counted: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" kills in "))
        .collect();
    let done = sum_before(&text, " kills in ");
    ensure!(
        done >= u64::from(context.kills),
        "{kills} were asked for, and the test says: {counted:?}"
    );
    Ok(counted.join("; "))
}

/// The numbers that stand right before each `word`, added up.
fn sum_before(text: &str, word: &str) -> u64 {
    let before = |(place, _): (usize, &str)| {
        let text = &text[..place];
        let digits = text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        text[text.len() - digits..].parse::<u64>().ok()
    };
    text.match_indices(word).filter_map(before).sum()
}

pub(super) fn demo(context: &Context) -> anyhow::Result<String> {
    let log = context.new_folder("demo", "")?.join("said.log");
    let file = File::create(&log)?;
    let mut demo = Command::new(context.twinring()?)
        .arg("demo")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot start it")?;
    let end = Instant::now() + Duration::from_secs(120);
    let status = loop {
        match demo.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                demo.kill()?;
                bail!("it has not ended within 120 seconds");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    ensure!(status.success(), "{status}: {text}");
    Ok(format!("\n{}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let text =
            "ok. 12 passed; 0 failed\nok. 30 passed; 1 ignored\n2000 kills in 3s: 600 a second";
        assert_eq!(sum_before(text, " passed"), 42);
        assert_eq!(sum_before(text, " ignored"), 1);
        assert_eq!(sum_before(text, " kills in "), 2000);
        assert_eq!(sum_before(text, " absent"), 0);
    }
}
