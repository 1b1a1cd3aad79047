//! Memory and file systems that do not answer (Linux, by root): a link that waits for one holds up no
//! other link of its process.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::{
    CRASHED, Child, LIMIT, Log, Parent, Place, Side, Watchdog, connected, ended, peers, until,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use twinring::{Connection, Link};

peers!(echo);

fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    conn.send(b"hello").unwrap();
    parent.wait_for_the_end();
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can do this");
    }
    root
}

/// Somebody has connected, and is heard.
fn heard(host: &Link) -> Connection {
    let conn = connected(host);
    assert_eq!(conn.within(LIMIT).recv().unwrap().unwrap(), b"hello");
    conn
}

/// A guest in another process connects to this host, and is heard; its death is told.
fn goes_on(place: &Place, host: &Link, log: &Log) {
    let mut guest = place.start("echo", Side::Guest);
    let conn = heard(host);
    let before = log.lines().len();
    guest.kill();
    until("the guest's death is told", || log.lines().len() > before);
    assert_eq!(ended(conn.within(LIMIT).recv()), CRASHED);
}

/// One page of memory that whoever reads it waits for, until it is given.
struct SlowPage {
    address: *mut libc::c_void,
    faults: OwnedFd,
}

// The ioctls of <linux/userfaultfd.h>.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const PAGE: usize = 4096;

impl SlowPage {
    fn new() -> SlowPage {
        // SAFETY: system calls with arguments of the right sizes; the memory is new.
        unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
            assert!(fd >= 0, "userfaultfd: {}", std::io::Error::last_os_error());
            let faults = OwnedFd::from_raw_fd(fd as i32);
            let mut api = [0xaa_u64, 0, 0];
            call(&faults, UFFDIO_API, &mut api);
            let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let address = libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0);
            assert_ne!(address, libc::MAP_FAILED);
            let missing = 1;
            let mut register = [address as u64, PAGE as u64, missing, 0];
            call(&faults, UFFDIO_REGISTER, &mut register);
            SlowPage { address, faults }
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: a page that is mapped for as long as this is.
        unsafe { std::slice::from_raw_parts(self.address.cast(), PAGE) }
    }

    fn give(&self) {
        let mut zero = [self.address as u64, PAGE as u64, 0, 0];
        call(&self.faults, UFFDIO_ZEROPAGE, &mut zero);
    }
}

// SAFETY: the page is only read, by whichever thread.
unsafe impl Sync for SlowPage {}

fn call<const N: usize>(faults: &OwnedFd, request: libc::c_ulong, argument: &mut [u64; N]) {
    // SAFETY: the structures of these requests are so many words of 64 bits.
    let done = unsafe { libc::ioctl(faults.as_raw_fd(), request, argument.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

impl Drop for SlowPage {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.address, PAGE) };
    }
}

#[test]
fn a_sender_that_copies_from_slow_memory() {
    if !is_root() {
        return;
    }
    let _watchdog = Watchdog::new(240);
    let (slow, other) = (Place::new(), Place::new());
    let logs = [Log::new(), Log::new()];
    let slow_link = slow.host().on_status(logs[0].statuses()).open().unwrap();
    let other_link = other.host().on_status(logs[1].statuses()).open().unwrap();
    let mut peer = slow.start("echo", Side::Guest);
    let slow_conn = heard(&slow_link);
    let page = SlowPage::new();
    thread::scope(|scope| {
        let sender = scope.spawn(|| slow_conn.send(page.bytes()));
        // Within the copy soon, and to stay there.
        thread::sleep(Duration::from_millis(100));
        peer.kill();
        // Before and after the end of the slow link's peer has been noticed.
        for _ in 0..3 {
            goes_on(&other, &other_link, &logs[1]);
        }
        assert!(!sender.is_finished());
        // The receiver of the slow link is told as well.
        assert_eq!(ended(slow_conn.within(LIMIT).recv()), CRASHED);
        page.give();
        let sent = sender.join().unwrap();
        assert!(sent.is_ok() || ended(sent) == CRASHED);
    });
    // And the slow one goes on where it was.
    goes_on(&slow, &slow_link, &logs[0]);
}

/// A file system that does not answer, over a directory.
struct Hanging {
    directory: PathBuf,
    /// The file system's end. Nothing is ever read from it.
    server: Option<File>,
}

impl Hanging {
    fn over(directory: &Path) -> Option<Hanging> {
        let server = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .ok()?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            server.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("hanging", directory, "fuse", flags, Some(&*options)).ok()?;
        Some(Hanging {
            directory: directory.to_owned(),
            server: Some(server),
        })
    }

    /// Whoever waits for it is told that it has gone.
    fn give_up(&mut self) {
        self.server = None;
        let _ = unmount(&self.directory, UnmountFlags::DETACH);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[test]
fn a_directory_that_does_not_answer() {
    if !is_root() {
        return;
    }
    let _watchdog = Watchdog::new(240);
    let (slow, other) = (Place::new(), Place::new());
    let log = Log::new();
    let other_link = other.host().on_status(log.statuses()).open().unwrap();
    // A host that will find itself lost, and a guest that looks for a host of another name.
    let host = slow.host().open().unwrap();
    let socket = File::open(slow.directory()).unwrap();
    let waiting = Place::at("nobody", slow.directory());
    let guest = waiting.guest().open().unwrap();
    let Some(mut hanging) = Hanging::over(slow.directory()) else {
        eprintln!("skipped: this system lets nobody mount a file system of a program");
        return;
    };
    // In the directory below, by which the host is told.
    for ending in ["sock", "lock"] {
        remove(&socket, ending);
    }
    // The guest looks once a second.
    thread::sleep(Duration::from_millis(1500));
    for _ in 0..3 {
        goes_on(&other, &other_link, &log);
    }
    // New links are opened meanwhile, and closed.
    let another = Place::new();
    let third = another.host().open().unwrap();
    let _peer: Child = another.start("echo", Side::Guest);
    heard(&third);
    third.close(0, "");
    hanging.give_up();
    // They are over as soon as the file system is.
    host.close(0, "");
    guest.close(0, "");
}

fn remove(directory: &File, ending: &str) {
    use rustix::fs::{AtFlags, Dir, unlinkat};
    let names: Vec<_> = Dir::read_from(directory)
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
        .filter(|name| name.to_bytes().ends_with(ending.as_bytes()))
        .collect();
    for name in names {
        unlinkat(directory, name.as_c_str(), AtFlags::empty()).unwrap();
    }
}
