//! The structure of the sources: no file uses one that uses it, no room one above it, systems
//! differ in `os` alone, and each type has a name of its own.
//!
//! Paths are followed through imports and re-exports to the file that defines what they name. Not
//! seen is what no path names: a method, a field, the type of a value. Nor are names that a macro
//! makes of parts, and imports that are made by one. The sources are the same on all systems: on
//! Windows there is nothing in this file.
#![cfg(unix)]

mod builds;
mod planted;
mod reader;
mod resolve;
mod rules;
mod source;
mod tokens;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;

use source::{Crate, tree};

static LIBRARY: LazyLock<Option<Crate>> = LazyLock::new(|| read("src", "lib.rs"));
static COMPARE: LazyLock<Option<Crate>> = LazyLock::new(|| read("../../compare/src", "main.rs"));

/// `None` if the sources are not there: `compare` in the published package, both where the program
/// runs on another machine than it was built on. The structure is the same on all systems.
fn read(folder: &str, root: &str) -> Option<Crate> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    match tree(&folder) {
        Ok(tree) => Some(Crate::read(&tree, root)),
        Err(e) if cfg!(windows) || (root == "main.rs" && e.kind() == ErrorKind::NotFound) => {
            eprintln!("not checked: {} cannot be read: {e}", folder.display());
            None
        }
        Err(e) => panic!("{} cannot be read: {e}", folder.display()),
    }
}

/// Fails with what the rule finds in the sources, if they are there.
#[track_caller]
fn keeps(sources: &Option<Crate>, rule: fn(&Crate) -> Vec<String>) {
    let faults = sources.as_ref().map(rule).unwrap_or_default();
    assert!(
        faults.is_empty(),
        "{} found:\n{}\n",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    keeps(&LIBRARY, Crate::circles);
}

#[test]
fn no_room_uses_one_above_it() {
    keeps(&LIBRARY, Crate::arrows_up);
}

#[test]
fn systems_are_told_apart_in_os_alone() {
    keeps(&LIBRARY, Crate::systems_outside_os);
}

#[test]
fn each_type_has_a_name_of_its_own() {
    keeps(&LIBRARY, Crate::types_of_one_name);
}

#[test]
fn nothing_reaches_for_its_parents_parent() {
    keeps(&LIBRARY, Crate::grandparents);
}

#[test]
fn what_a_type_can_do_stands_beside_it() {
    keeps(&LIBRARY, Crate::impls_elsewhere);
}

#[test]
fn every_file_is_a_module() {
    keeps(&LIBRARY, Crate::strays);
    keeps(&COMPARE, Crate::strays);
}

#[test]
fn no_files_of_compare_use_each_other_in_a_circle() {
    keeps(&COMPARE, Crate::circles);
}

#[test]
fn nothing_in_compare_reaches_for_its_parents_parent() {
    keeps(&COMPARE, Crate::grandparents);
}
