//! Help, usage errors, completions and the demo.

mod common;

use common::{Place, Running};

#[test]
fn help_tells_of_examples_and_exit_codes() {
    let place = Place::new();
    for command in ["", "listen", "connect", "send", "recv"] {
        let args = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty());
        let help = Running::start(place.command(args)).wait().code(0).text();
        assert!(help.contains("Examples"), "{command}:\n{help}");
        assert!(help.contains("Exit codes:\n  0 "), "{command}:\n{help}");
        let long = help.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{command}");
    }
    // Its exit codes are its own.
    let help = Running::start(place.command(["log", "--help"]))
        .wait()
        .code(0)
        .text();
    assert!(
        help.contains("Exit codes:\n  0 ") && help.contains("\n  6 "),
        "{help}"
    );
    assert!(
        !help.contains("--exec") && !help.contains("--timeout"),
        "{help}"
    );
    let version = Running::start(place.command(["--version"])).wait().code(0);
    assert_eq!(
        version.text(),
        format!("twinring {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_command_lines() {
    let place = Place::new();
    place.file("a", b"");
    let long = "x".repeat(256);
    for args in [
        &[][..],
        &["no-such-command"],
        &["listen"],
        &["listen", "name", "more"],
        &["listen", "name", "--framing", "json"],
        &["listen", "name", "--timeout", "soon"],
        &["listen", "name", "--access", "everyone"],
        &["listen", "name", "--timeout", "0"],
        &["listen", "name", "--max-message", "many"],
        &["listen", "name", "--ring-capacity", "1X"],
        &["listen", "name", "--count", "0"],
        &["listen", "name", "--exec"],
        &["listen", "name", "-q", "0", "--exec", "cat"],
        &["connect", "name", "--ring-capacity", "1M"],
        &["send", "name"],
        &["send", "name", "a", "b", "--name", "c"],
        &["send", "name", "-"],
        &["send", "name", "-", "-", "--name", "c"],
        &["send", "name", "a", "--name", "../c"],
        &["log"],
        &["log", "name", "--follow"],
        &["log", "--read", "a", "name"],
        &["log", "name", "--rotate", "1M"],
        &["log", "name", "--rate", "1K"],
        &["completions", "no-such-shell"],
        // What only the library knows to be wrong.
        &["listen", ""],
        &["connect", "line\nbreak"],
        &["listen", &long],
        &["listen", "name", "--ring-capacity", "5000"],
        &["recv", "name", "--ring-capacity", "2G"],
    ] {
        let ended = Running::start(place.command(args)).finish();
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn completions_of_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = Running::start(place.command(["completions", shell]))
            .wait()
            .code(0)
            .text();
        assert!(
            script.contains("twinring") && script.contains("ring-capacity"),
            "{shell}"
        );
    }
}

#[test]
fn the_demo_tells_each_step_and_ends_well() {
    let place = Place::new();
    let text = Running::start(place.command(["demo"]))
        .wait()
        .code(0)
        .text();
    for part in [
        "1. Connect",
        "2. Ping-pong",
        "p99",
        "messages a second",
        "GB/s",
        "6. A crash",
    ] {
        // On a busy machine the rate may be shown in smaller units.
        let part = if part == "GB/s" {
            "B/s, checksum"
        } else {
            part
        };
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    for status in [
        "waiting",
        "connected to process",
        "disconnected: the peer has gone without a word",
        "disconnected: finished",
        "closed",
    ] {
        assert!(text.contains(status), "{status} is not in:\n{text}");
    }
    assert!(text.contains("All went as it should"), "{text}");
}

#[test]
fn the_demo_s_figures_for_programs() {
    let place = Place::new();
    let json = Running::start(place.command(["demo", "--json"]))
        .wait()
        .code(0)
        .text();
    assert!(json.starts_with('{') && json.ends_with("}\n"), "{json}");
    assert_eq!(json.lines().count(), 1);
    for figure in [
        "ping_pong_p50_us",
        "small_messages_per_s",
        "crash_noticed_ms",
    ] {
        assert!(json.contains(&format!("\"{figure}\":")), "{json}");
    }
}
