//! Unix: curl, and signals.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const RELAYS_ALWAYS: bool = !cfg!(target_os = "linux");

pub(crate) const KILL_COST: usize = 1;

pub(crate) fn fetch(url: &str, rate: Option<u64>) -> Vec<u8> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
    if let Some(rate) = rate {
        curl.args(["--limit-rate", &rate.to_string()]);
    }
    let output = curl
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("curl has to be installed: apt-get install curl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    output.stdout
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub(crate) fn stop(pid: u32) -> bool {
    signal(pid, Signal::STOP);
    true
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    // It may have ended.
    let _ = kill_process(pid, signal);
}
