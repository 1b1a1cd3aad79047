//! Each rule finds what breaks it, however it is written, and nothing else.

use crate::source::{Crate, Tree};

type Rule = fn(&Crate) -> Vec<String>;

/// A crate of which each line is one of a file, behind the file's name.
fn read(files: &str) -> Crate {
    let mut tree = Tree::new();
    for line in files.lines().filter(|line| !line.trim().is_empty()) {
        let (file, text) = line.split_once(" | ").unwrap();
        *tree.entry(file.trim().to_owned()).or_default() += &format!("{text}\n");
    }
    Crate::read(&tree, "lib.rs")
}

/// That the rule finds one fault, which names all of `parts`.
#[track_caller]
fn finds(rule: Rule, files: &str, parts: &[&str]) {
    let faults = rule(&read(files));
    let is_it = faults.len() == 1 && parts.iter().all(|part| faults[0].contains(part));
    assert!(is_it, "{faults:?}, not {parts:?}, in:{files}");
}

#[track_caller]
fn is_clean(files: &str) {
    let sources = read(files);
    let mut faults = [Crate::circles(&sources), Crate::arrows_up(&sources)].concat();
    faults.extend(Crate::systems_outside_os(&sources));
    faults.extend(Crate::types_of_one_name(&sources));
    faults.extend(Crate::grandparents(&sources));
    faults.extend(Crate::impls_elsewhere(&sources));
    faults.extend(Crate::strays(&sources));
    assert!(faults.is_empty(), "{faults:?} in:{files}");
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    // `b` uses `a`, and `a` uses `b` by each of these.
    let ways = r#"
        use crate::b::f;
        use crate::b::f as g;
        use crate::{b::{self, f}};
        use crate::b::*;
        use super::b;
        use super::b::B;
        use crate::facade::f;
        use crate::facade::g;
        use crate::facade::all::f;
        use crate::f;
        pub(crate) use crate::b::f;
        use crate::b as other; fn x() { other::f(A) }
        use crate::facade as other; fn x() { other::g(A) }
        use crate::facade::*; fn x() { f(A) }
        use crate::facade::*; #[cfg(test)] fn f(_: A) {} fn x() { f(A) }
        use crate::facade as other; fn x() { const Y: u8 = 0; other::f(A) }
        use crate::facade::*; fn x(n: usize) { match n { N => {} _ => {} } }
        extern crate self as me; fn x() { me::facade::f(A) }
        fn x() { crate::b::f(A) }
        fn x() { super::b::f(A) }
        fn x() { let y = [0].map(|_| crate::facade::g(A)); }
        fn x() { use crate::b; }
        fn x() { use crate::facade as other; { other::f(A) } }
        fn x(#[cfg(test)] y: u8) { crate::b::f(A) }
        fn x() { #[cfg(test)] y(); crate::b::f(A) }
        fn x() { #[cfg(test)] let y = 0; crate::b::f(A) }
        fn x() { <crate::b::B>::new() }
        fn x() { <A as crate::b::T>::t() }
        fn x(n: usize) { match n { crate::b::N => {} _ => {} } }
        fn x(n: A) { if let crate::b::B { .. } = n {} }
        fn x() { crate::b::made_by_a_macro() }
        fn x(_: &crate::b::B) {}
        fn x() -> Option<crate::b::B> { None }
        fn x<T: crate::b::T>() {}
        fn x(_: &dyn crate::b::T) {}
        struct S([u8; crate::b::N]);
        impl crate::b::T for A {}
        impl crate::b::B {}
        mod inner { fn x() { crate::b::f(crate::a::A) } }
        fn x() { println!("{}", crate::b::f(A)) }
        fn x() { println!("{}", super::facade::g(A)) }
        use crate::facade as other; fn x() { assert!(other::f(A)) }
        use crate::facade::*; fn x() { assert!(f(A)) }
        use crate::facade::*; fn x() { assert!(0 == N) }
        fn x() { assert!(matches!(0..crate::b::N, _)) }
        macro_rules! m { () => { $crate::b::f(A) } }
        macro_rules! m { () => { use $crate::{facade::{f, g as h}}; } }
        crate::b::m!();
        #[derive(crate::b::D)] struct S;
        #[crate::b::marked] struct S;
        #[serde(with = "crate::b::f")] struct S;
        #[arg(value_parser = crate::facade::g)] struct S;
        #[cfg(not(test))] use crate::b::f;
        #[cfg(any(test, fuzzing))] use crate::b::f;
    "#;
    for way in ways.trim().lines() {
        let files = format!(
            "
            lib.rs        | mod a; mod b; mod facade; pub(crate) use b::f;
            a.rs          | pub(crate) struct A;
            a.rs          | {way}
            b.rs          | use crate::a::A;
            b.rs          | pub(crate) struct B; pub(crate) trait T {{}} pub(crate) const N: usize = 0;
            b.rs          | pub(crate) fn f(_: A) {{}} macro_rules! m {{ () => {{}} }} pub(crate) use m;
            facade/mod.rs | pub(crate) mod all;
            facade/mod.rs | pub(crate) use crate::b::{{f, N}}; pub(crate) use crate::b::f as g;
            facade/all.rs | pub(crate) use crate::b::*;
            "
        );
        let uses = [
            "a.rs, b.rs\n",
            "a.rs:2 uses b.rs, by ",
            "b.rs:1 uses a.rs, by crate::a::A",
        ];
        finds(Crate::circles, &files, &uses);
    }
}

#[test]
fn a_circle_is_found_through_others_through_macros_and_on_one_system() {
    let files = "
        lib.rs | mod a; mod b; mod c;
        a.rs   | pub(crate) fn f() { crate::b::f() }
        b.rs   | pub(crate) fn f() { crate::c::f() }
        c.rs   | pub(crate) fn f() { crate::a::f() }
    ";
    finds(
        Crate::circles,
        files,
        &["of 3 files", "c.rs:1 uses a.rs, by crate::a::f"],
    );
    let files = "
        lib.rs   | mod a;
        a/mod.rs | macro_rules! m { () => {} } mod b; fn f() { b::f() }
        a/b.rs   | pub(super) fn f() { m!() }
    ";
    finds(
        Crate::circles,
        files,
        &["of 2 files", "a/b.rs:1 uses a/mod.rs, by m"],
    );
    let files = r#"
        lib.rs        | mod os;
        os/mod.rs     | #[cfg(unix)] #[path = "unix.rs"] mod sys;
        os/mod.rs     | #[cfg(windows)] #[path = "windows.rs"] mod sys;
        os/mod.rs     | pub(crate) use sys::f; pub(crate) struct S; fn g() { sys::g() }
        os/unix.rs    | pub(crate) fn f() {} pub(crate) fn g() {}
        os/windows.rs | mod more; pub(crate) use more::g; pub(crate) fn f() {}
        os/more.rs    | pub(crate) fn g() -> crate::os::S {}
    "#;
    finds(
        Crate::circles,
        files,
        &["(Windows)", "os/mod.rs:3 uses os/more.rs, by sys::g"],
    );
}

#[test]
fn an_arrow_up_is_found_however_it_is_written() {
    let ways = "
        use crate::link::X;
        use crate::link;
        use crate::link::*;
        use crate::X;
        use super::link::deep::Y;
        pub(crate) use crate::link::X;
        fn f() { crate::link::x() }
        fn f(_: &crate::link::X) {}
        fn f() { assert!(crate::link::x()) }
        impl crate::link::T for S {}
        #[derive(crate::link::D)] struct Z;
        use crate::link::Low;
        use crate::testing::x;
        use crate::at_the_root;
    ";
    for way in ways.trim().lines() {
        let files = format!(
            "
            lib.rs       | mod frame; mod link; mod ring; mod testing; use link::X; fn at_the_root() {{}}
            frame/mod.rs | {way}
            link.rs      | mod deep; pub(crate) struct X; pub(crate) fn x() {{}}
            link.rs      | pub(crate) use crate::ring::Low;
            link/deep.rs | pub(crate) struct Y;
            ring.rs      | pub(crate) struct Low;
            testing.rs   | pub(crate) fn x() {{ crate::frame::f() }}
            "
        );
        finds(
            Crate::arrows_up,
            &files,
            &["frame/mod.rs:1: frame uses ", "which is above it"],
        );
        assert_eq!(Crate::circles(&read(&files)), [""; 0]);
    }
    // Brought down by another room, it is an arrow of both.
    let faults = Crate::arrows_up(&read(
        "
        lib.rs   | mod frame; mod link; mod ring;
        frame.rs | use crate::ring::Wrapped;
        link.rs  | pub(crate) struct X;
        ring.rs  | pub(crate) use crate::link::X as Wrapped;
    ",
    ));
    assert!(
        faults.len() == 2 && faults[0].starts_with("frame.rs:1: frame uses link"),
        "{faults:?}"
    );
    finds(
        Crate::arrows_up,
        "lib.rs | mod misc;\n misc.rs | ",
        &["misc.rs: misc has no place"],
    );
}

#[test]
fn a_system_outside_os_is_found() {
    for (text, name) in [
        ("#[cfg(windows)] fn f() {}", "windows"),
        ("#![cfg(unix)]", "unix"),
        (
            "#[cfg(all(test, not(any(loom, target_os = \"linux\"))))] fn f() {}",
            "target_os",
        ),
        (
            "#[cfg_attr(target_family = \"unix\", inline)] fn f() {}",
            "target_family",
        ),
        (
            "#[cfg_attr(loom, cfg_attr(unix, inline))] fn f() {}",
            "unix",
        ),
        ("fn f() { if cfg!(target_env = \"gnu\") {} }", "target_env"),
        ("fn f() { #[cfg(windows)] { g() } }", "windows"),
        ("mod a { mod b { #[cfg(unix)] use std::os; } }", "unix"),
        (
            "#[cfg(test)] mod tests { #[test] #[cfg(unix)] fn f() {} }",
            "unix",
        ),
        ("some! { if #[cfg(windows)] { } }", "windows"),
        ("macro_rules! m { () => { cfg!(unix) } }", "unix"),
    ] {
        let files = format!("lib.rs | mod frame;\nframe.rs | {text}");
        finds(Crate::systems_outside_os, &files, &["frame.rs:1", name]);
    }
}

#[test]
fn two_types_of_one_name_are_found() {
    for (a, b) in [
        ("struct X;", "struct X;"),
        ("enum X {}", "type X = u8;"),
        ("trait X {}", "union X { a: u8 }"),
        ("struct X;", "mod inner { struct X; }"),
        ("struct X;", "fn f() { struct X; }"),
        ("#[cfg(unix)] struct X;", "#[cfg(windows)] struct X;"),
    ] {
        let files = format!("lib.rs | mod frame; mod ring;\nframe.rs | {a}\nring.rs | {b}");
        finds(
            Crate::types_of_one_name,
            &files,
            &["X is defined 2 times: frame.rs:1, ring.rs:1"],
        );
    }
    // In `os`, of one system, or of two contracts.
    for (first, second) in [
        ("windows", "windows"),
        ("windows", "unix"),
        ("unix", "windows"),
    ] {
        let files = format!(
            "
            lib.rs             | #[cfg(not(loom))] mod os;
            os/mod.rs          | mod event; mod process;
            os/event/mod.rs    | #[cfg({first})] mod more;
            os/event/more.rs   | struct X;
            os/process/mod.rs  | #[cfg({second})] mod more;
            os/process/more.rs | struct X;
            "
        );
        finds(
            Crate::types_of_one_name,
            &files,
            &["os/event/more.rs:1, os/process/more.rs:1"],
        );
    }
    let files = "
        lib.rs          | mod os;
        os/mod.rs       | #[cfg(unix)] mod unix;
        os/unix.rs      | mod more; struct X;
        os/unix/more.rs | struct X;
    ";
    finds(
        Crate::types_of_one_name,
        files,
        &["os/unix.rs:1, os/unix/more.rs:1"],
    );
}

#[test]
fn the_parents_parent_is_found() {
    for text in [
        "use super::super::x;",
        "use super::{super::x};",
        "fn f(_: &self::super::super::X) {}",
        "fn f() { assert!(super::super::x()) }",
        "#[cfg(test)] mod tests { use super::super::x; }",
    ] {
        let files = format!("lib.rs | mod a;\na/mod.rs | mod b;\na/b.rs | {text}");
        finds(Crate::grandparents, &files, &["a/b.rs:1"]);
    }
}

#[test]
fn an_impl_in_another_room_is_found_and_in_transfer_in_another_file() {
    let files = "
        lib.rs          | mod link; mod transfer;
        link.rs         | use crate::transfer::A; impl A {}
        transfer/mod.rs | mod a; pub(crate) use a::A;
        transfer/a.rs   | pub(crate) struct A; impl A {}
    ";
    finds(
        Crate::impls_elsewhere,
        files,
        &["link.rs:1: impl A belongs into transfer/a.rs"],
    );
    let files = "
        lib.rs          | mod transfer;
        transfer/mod.rs | mod a; mod b;
        transfer/a.rs   | pub(crate) struct A;
        transfer/b.rs   | impl super::a::A {}
    ";
    finds(
        Crate::impls_elsewhere,
        files,
        &["transfer/b.rs:1: impl super::a::A belongs into transfer/a.rs"],
    );
}

#[test]
fn a_file_that_no_module_is_made_of_is_found() {
    for text in [
        "mod b;",
        "mod b; include!(\"a.rs\");",
        "#[cfg_attr(unix, path = \"a.rs\")] mod b;",
    ] {
        let files = format!("lib.rs | {text}\na.rs | \nb.rs | ");
        finds(Crate::strays, &files, &["a.rs: no `mod` leads to it"]);
    }
}

#[test]
fn clean_sources_pass() {
    // A facade over parts that use each other downwards.
    is_clean("
        lib.rs          | mod frame; pub use frame::{Writer, reader::Reader as R};
        frame/mod.rs    | pub mod reader; mod word; mod writer; pub use writer::*; pub(crate) use word::Word;
        frame/reader.rs | use super::Word; use super::word::{self, f}; pub struct Reader(Word);
        frame/reader.rs | fn g() { word::f(); f() }
        frame/word.rs   | pub(in crate::frame) struct Word; pub(super) fn f() {}
        frame/writer.rs | use super::*; pub struct Writer(Word, reader::Reader);
    ");
    // A module and a function of one name; a variable that is named like what the file hands on.
    is_clean(
        "
        lib.rs       | mod link; mod os;
        link/mod.rs  | mod wait; pub(crate) use wait::{Wait, spin}; fn f(spin: u8) -> u8 { spin }
        link/mod.rs  | use crate::os::wait; fn g() { wait() } fn h() { spin!() }
        link/wait.rs | use crate::os::wait; pub(crate) struct Wait;
        link/wait.rs | pub(crate) fn spin() { super::f(0); wait(); }
        os.rs        | pub(crate) fn wait() {} fn f() { self::wait(); g!(link, frame: 2) }
    ",
    );
    // Alternatives, which use each other's neighbours, and what the models have instead.
    is_clean(
        r#"
        lib.rs                  | mod os; mod ring; mod segment; mod sync;
        os/mod.rs               | pub(crate) mod bell;
        os/mod.rs               | #[cfg(unix)] type Handle = u8; #[cfg(windows)] type Handle = u16;
        os/bell/mod.rs          | #[cfg(target_os = "linux")] #[path = "linux.rs"] mod sys;
        os/bell/mod.rs          | #[cfg(not(target_os = "linux"))] #[path = "none.rs"] mod sys;
        os/bell/mod.rs          | #[cfg(unix)] mod unix; pub(crate) use sys::Bell;
        os/bell/linux.rs        | use super::unix::ring; pub(crate) struct Bell; fn f() { ring() }
        os/bell/none.rs         | pub(crate) struct Bell; #[cfg(unix)] pub(super) fn g() {}
        os/bell/unix.rs         | #[cfg(not(target_os = "linux"))] use super::sys::g; pub(super) fn ring() {}
        ring.rs                 | fn f(_: crate::os::bell::Bell) { if cfg!(target_arch = "x86") {} }
        segment/mod.rs          | #[cfg(loom)] mod model; #[cfg(not(loom))] mod real;
        segment/model.rs        | struct Memory;
        segment/real.rs         | struct Memory; #[cfg(feature = "unix")] fn f() {}
        sync.rs                 | mod inner { #[path = "given.rs"] mod deep; } mod beside;
        sync/beside.rs          | #[cfg_attr(loom, doc(hidden, unix))] fn f() {}
        sync/inner/given.rs     | mod further;
        sync/inner/further.rs   | use super::none_such;
    "#,
    );
    // Tests and what is exempt reach everywhere.
    is_clean(
        r#"
        lib.rs              | mod error; mod link; #[cfg(all(fuzzing, not(loom)))] pub mod fuzzing;
        error.rs            | pub struct Error; #[cfg(test)] mod tests; #[test] fn f() { crate::link::f() }
        error/tests.rs      | #[path = "../../../tests/common/long.rs"] mod long; mod more;
        error/tests.rs      | use crate::link::f; struct Error;
        error/tests/more.rs | use crate::link::f;
        fuzzing.rs          | use crate::error::Error; impl Error {} struct Link;
        link.rs             | use crate::error::Error; pub(crate) struct Link;
        link.rs             | pub(crate) fn f() -> Error { #[cfg(test)] crate::fuzzing::f(); Error }
    "#,
    );
}
