//! Links within a plug-in: a library that is unloaded as soon as its links are dropped, and one that is there when the
//! process ends, whose links are dropped then (on Windows, when all other threads have been ended).

#[path = "../common/mod.rs"]
mod common;

use common::{Parent, Place, Side, Watchdog, peers, rounds};
use libloading::{Library, library_filename};

peers!(unloads, exits);

/// The library is built as an example of this crate, which `cargo test` does if it tests all.
fn load() -> Library {
    let program = std::env::current_exe().unwrap();
    let examples = program.parent().unwrap().with_file_name("examples");
    let library = examples.join(library_filename("plugin"));
    // SAFETY: its initialisation does nothing.
    unsafe { Library::new(&library) }
        .unwrap_or_else(|e| panic!("cargo build -p twinring --examples: {e}"))
}

fn start(library: &Library, number: u32) {
    // SAFETY: it is this function.
    let start = unsafe { library.get::<extern "C" fn(u32)>(b"start") };
    start.unwrap()(number);
}

fn unloads(parent: &'static Parent) {
    for number in 0..rounds(100, 40) {
        let library = load();
        start(&library, number as u32);
        // SAFETY: it is this function.
        let stop = unsafe { library.get::<extern "C" fn()>(b"stop") };
        stop.unwrap()();
        library.close().unwrap();
    }
    parent.say("done");
}

#[test]
fn a_plugin_is_unloaded_when_its_links_are_dropped() {
    let _watchdog = Watchdog::new(120);
    let mut child = Place::new().start("unloads", Side::Host);
    child.expect("done");
    child.finish();
}

fn exits(_parent: &'static Parent) {
    let library = load();
    for number in 0..3 {
        start(&library, number);
    }
    std::mem::forget(library);
    std::process::exit(0);
}

#[test]
fn a_process_ends_with_a_plugin_that_has_links() {
    let _watchdog = Watchdog::new(120);
    for _ in 0..rounds(20, 8) {
        Place::new().start("exits", Side::Host).finish();
    }
}
