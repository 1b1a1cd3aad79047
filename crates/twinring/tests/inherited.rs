//! Programs that are started inherit nothing of a link, whenever they are started: one thread opens and closes
//! links, another starts programs that look at what they have (Windows: looks at its own handles).
#![cfg(any(target_os = "linux", windows))]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{Parent, Place, Side, Watchdog, amount, connected, peers, rounds};

peers!(caller);

/// The other end of link after link.
fn caller(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    loop {
        // Until it is killed.
        let _ = connected(&link).recv();
    }
}

/// Opens and closes links, until told to stop, and counts them. As fast as it goes: as the guest of another
/// process, and as the host of a guest that is here and so is there at once.
fn open_and_close(afar: &Place, here: &Place, stop: &AtomicBool, opened: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let link = afar.guest().ring_capacity(4096).open().unwrap();
        connected(&link).send(b"hello").unwrap();
        drop(link);
        let _host = here.host().ring_capacity(4096).open().unwrap();
        let guest = here.guest().ring_capacity(4096).open().unwrap();
        let _conn = connected(&guest);
        opened.fetch_add(2, Ordering::Relaxed);
    }
}

/// What a program that is started has.
#[cfg(target_os = "linux")]
fn look() -> Vec<String> {
    let output = std::process::Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // Its own pipes and its own directory are other ones each time.
    let what = |line: &str| line.split(" -> ").nth(1).map(str::to_owned);
    let is_its_own = |what: &String| what.starts_with("/proc/") || what.starts_with("pipe:");
    text.lines()
        .filter_map(what)
        .filter(|what| !is_its_own(what))
        .collect()
}

/// The handles of this process that a program would inherit.
#[cfg(windows)]
fn look() -> Vec<String> {
    use windows_sys::Win32::Foundation::{GetHandleInformation, HANDLE_FLAG_INHERIT};

    let mut inheritable = Vec::new();
    for value in (4..0x2000usize).step_by(4) {
        let mut flags = 0;
        // SAFETY: it only asks, and says no for what is no handle.
        let is_handle = unsafe {
            GetHandleInformation(std::ptr::without_provenance_mut(value), &mut flags) != 0
        };
        if is_handle && flags & HANDLE_FLAG_INHERIT != 0 {
            inheritable.push(format!("handle {value:#x}"));
        }
    }
    inheritable
}

/// Makes what is no link's a thing that programs inherit.
#[cfg(target_os = "linux")]
fn make_inherited(file: &std::fs::File) {
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
}

#[cfg(windows)]
fn make_inherited(file: &std::fs::File) {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

    let inherit = HANDLE_FLAG_INHERIT;
    // SAFETY: the file is open; only a flag of its handle changes.
    let set = unsafe { SetHandleInformation(file.as_raw_handle(), inherit, inherit) };
    assert_ne!(set, 0);
}

#[test]
fn programs_inherit_nothing() {
    let _watchdog = Watchdog::new(240);
    let (afar, here) = (Place::new(), Place::new());
    // Before the look, as it takes pipes that are inherited.
    let _host = afar.start("caller", Side::Host);
    let before = look();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    make_inherited(&file);
    assert!(
        look().len() > before.len(),
        "a look finds what is inherited"
    );
    drop(file);
    let (stop, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let opener = scope.spawn(|| open_and_close(&afar, &here, &stop, &opened));
        let looks = || {
            let least = rounds(amount(1000, 5000), amount(10, 50));
            // However slow the other thread is, it is looked at while links come and go.
            let few = |looks| looks < least || opened.load(Ordering::Relaxed) < 4;
            for _ in (0..).take_while(|looks| few(*looks)) {
                let mut now = look();
                now.retain(|what| !before.contains(what));
                if !now.is_empty() {
                    return now;
                }
            }
            Vec::new()
        };
        let inherited = looks();
        stop.store(true, Ordering::Relaxed);
        opener.join().unwrap();
        let opened = opened.load(Ordering::Relaxed);
        println!("{opened} links");
        assert_eq!(inherited, Vec::<String>::new(), "after {opened} links");
    });
}
