//! A plug-in with links, as a library of its own: it opens and drops them when it is told to, and when it is
//! unloaded.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use twinring::{Connection, Link};

/// Each with its connection.
static LINKS: Mutex<Vec<(Connection, Link)>> = Mutex::new(Vec::new());

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Opens both ends of a link of this number, and sends on it for as long as it goes.
#[unsafe(no_mangle)]
pub extern "C" fn start(number: u32) {
    let name = format!("{} {number}", var("TWINRING_TEST_NAME"));
    let directory = PathBuf::from(var("TWINRING_TEST_DIRECTORY"));
    let host = Link::host(&name).directory(&directory).open().unwrap();
    let guest = Link::guest(&name).directory(&directory).open().unwrap();
    let (to_guest, to_host) = (host.next().unwrap(), guest.next().unwrap());
    let sender = to_host.clone();
    thread::spawn(move || while sender.send(&[1; 100]).is_ok() {});
    LINKS
        .lock()
        .unwrap()
        .extend([(to_guest, host), (to_host, guest)]);
}

/// Drops all links.
#[unsafe(no_mangle)]
pub extern "C" fn stop() {
    LINKS.lock().unwrap().clear();
}

/// On Windows called by the loader, within its lock: when the library is unloaded, or the process ends.
#[unsafe(no_mangle)]
pub extern "system" fn DllMain(_module: *const u8, reason: u32, _reserved: *const u8) -> i32 {
    const DETACH: u32 = 0;
    if reason == DETACH {
        // A thread that has been ended may have it.
        if let Ok(mut links) = LINKS.try_lock() {
            links.clear();
        }
    }
    1
}
