//! Doorbells in event loops of the program's own.

mod common;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use common::{
    Child, LIMIT, Parent, Place, Side, Watchdog, amount, block_on, check, connected, ended,
    message, peers, rounds, until, when_ready,
};
use twinring::{Connection, Doorbell, Interest, Link, Result, Timeout, Wait};

peers!(
    looping_echo,
    blocking_echo,
    mute,
    side_by_side_without_words
);

/// Waits until it rings; whether it has.
#[cfg(unix)]
fn rings(doorbell: &Doorbell, time: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let time = Timespec::try_from(time).unwrap();
    poll(&mut [PollFd::new(doorbell, PollFlags::IN)], Some(&time)).unwrap() > 0
}

#[cfg(windows)]
fn rings(doorbell: &Doorbell, time: Duration) -> bool {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT};
    use windows_sys::Win32::System::Threading::WaitForSingleObject;
    // SAFETY: a live handle.
    match unsafe { WaitForSingleObject(doorbell.as_raw_handle(), time.as_millis() as u32) } {
        WAIT_OBJECT_0 => true,
        WAIT_TIMEOUT => false,
        other => panic!("{other:#x}"),
    }
}

/// A loop that waits for one call at a time.
struct Loop {
    now: Connection,
    data: Doorbell,
    room: Doorbell,
}

impl Loop {
    fn new(conn: &Connection) -> Loop {
        Loop {
            now: conn.within(Timeout::Now),
            data: conn.doorbell(Interest::Recv),
            room: conn.doorbell(Interest::Flush),
        }
    }

    fn until<T>(&self, interest: Interest, call: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        let doorbell = match interest {
            Interest::Recv => &self.data,
            _ => &self.room,
        };
        let mut task = Context::from_waker(Waker::noop());
        loop {
            match call(&self.now) {
                Err(e) if e.is_timeout() => {
                    if doorbell.poll_ready(interest, &mut task).is_pending() {
                        assert!(rings(doorbell, LIMIT), "{doorbell:?} does not ring");
                        doorbell.heard();
                    }
                }
                done => return done,
            }
        }
    }

    fn recv(&self) -> Result<Option<Vec<u8>>> {
        self.until(Interest::Recv, Connection::recv)
    }

    fn send(&self, message: &[u8]) -> Result<()> {
        self.until(Interest::Send(message.len()), |now| now.send(message))
    }
}

fn looping_echo(parent: &'static Parent) {
    let this = Loop::new(&connected(&parent.builder().open().unwrap()));
    while let Some(message) = this.recv().unwrap() {
        this.send(&message).unwrap();
    }
    this.now.finish().unwrap();
    this.until(Interest::Flush, Connection::flush).unwrap();
}

fn blocking_echo(parent: &'static Parent) {
    let conn = connected(&parent.builder().wait(Wait::Sleep).open().unwrap());
    while let Some(message) = conn.recv().unwrap() {
        conn.send(&message).unwrap();
    }
    conn.finish().unwrap();
    conn.flush().unwrap();
}

/// Connects, and waits for its end.
fn mute(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    parent.say("connected");
    match parent.next_line().as_str() {
        "close" => conn.close(5, "enough"),
        "drop" => {}
        other => panic!("told {other:?}"),
    }
}

fn start(role: &str) -> (Link, Child, Connection) {
    let place = Place::new();
    let link = place.host().ring_capacity(16 * 1024).open().unwrap();
    let child = place.start(role, Side::Guest);
    let conn = connected(&link);
    (link, child, conn)
}

/// One wake-up each way for each message: none may be lost.
#[test]
fn a_loop_exchanges_messages() {
    let _watchdog = Watchdog::new(120);
    for role in ["looping_echo", "blocking_echo"] {
        let (_link, child, conn) = start(role);
        let this = Loop::new(&conn);
        for number in 0..rounds(amount(3000, 30_000), 1000) as u64 {
            // From nothing to more than a frame, and to what fills the ring but for a little.
            let len = (number * 37 % 9000) as usize;
            this.send(&message(0, number, len)).unwrap();
            check(&this.recv().unwrap().unwrap(), 0, number, len);
        }
        conn.finish().unwrap();
        assert_eq!(this.recv().unwrap(), None);
        drop((this, conn));
        child.finish();
    }
}

#[test]
fn the_end_rings() {
    let _watchdog = Watchdog::new(60);
    for how in ["close", "drop", "kill", "close here"] {
        let (_link, mut child, conn) = start("mute");
        child.expect("connected");
        let this = Loop::new(&conn);
        let told = thread::scope(|scope| {
            let waits = scope.spawn(|| this.recv());
            let fills = scope.spawn(|| -> Result<()> {
                loop {
                    this.send(&[0; 1000])?;
                }
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!waits.is_finished() && !fills.is_finished());
            match how {
                "kill" => {
                    child.kill();
                }
                "close here" => conn.close(7, "here"),
                told => child.say(told),
            }
            [ended(waits.join().unwrap()), ended(fills.join().unwrap())]
        });
        let wanted = match how {
            "close" => "enough",
            "drop" => "Abandoned",
            "kill" => "Crashed",
            _ => "here",
        };
        assert!(told.iter().all(|told| told.contains(wanted)), "{told:?}");
    }
}

/// A task is woken by the loop that it has asked; one that has not, by the library's thread, also if the loop does not look.
#[test]
fn tasks_are_woken_by_whom_they_ask() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = Link::pair().unwrap();
    for round in 0..rounds(amount(60, 600), 60) {
        let when_ready = || when_ready(&guest, Interest::Recv, Connection::recv);
        if round % 2 == 0 {
            // The library's thread listens already.
            let mut task = Context::from_waker(Waker::noop());
            assert!(pin!(when_ready()).poll(&mut task).is_pending());
        }
        let doorbell = guest.doorbell(Interest::Recv);
        let now = guest.within(Timeout::Now);
        let asked = AtomicBool::new(false);
        thread::scope(|scope| {
            let task = match round % 3 {
                0 => scope.spawn(|| {
                    block_on(poll_fn(|task| match now.recv() {
                        Err(e) if e.is_timeout() => {
                            let ready = doorbell.poll_ready(Interest::Recv, task);
                            asked.store(true, Ordering::Relaxed);
                            ready!(ready);
                            Poll::Ready(now.recv())
                        }
                        done => Poll::Ready(done),
                    }))
                    .0
                }),
                _ => scope.spawn(|| block_on(when_ready()).0),
            };
            if round % 3 == 0 {
                until("it is asked", || asked.load(Ordering::Relaxed));
            }
            thread::sleep(Duration::from_millis(5));
            host.send(b"hello").unwrap();
            if round % 3 == 0 {
                assert!(rings(&doorbell, LIMIT));
                doorbell.heard();
            }
            assert_eq!(task.join().unwrap().unwrap(), Some(b"hello".to_vec()));
        });
    }
}

/// Loops, tasks and threads that come and go receive from one connection; each message goes to one of them.
#[test]
fn loops_tasks_and_threads_receive_side_by_side() {
    let _watchdog = Watchdog::new(120);
    receive_side_by_side();
}

/// On a system where threads sleep on the doorbells themselves, as they do on Windows.
#[cfg(target_os = "linux")]
#[test]
fn loops_and_threads_share_doorbells() {
    let _watchdog = Watchdog::new(120);
    Place::new()
        .start("side_by_side_without_words", Side::Host)
        .finish();
}

fn side_by_side_without_words(_: &'static Parent) {
    #[cfg(target_os = "linux")]
    common::refuse(libc::SYS_futex_waitv, libc::ENOSYS);
    receive_side_by_side();
}

fn receive_side_by_side() {
    let (host, guest) = Link::pair().unwrap();
    let count = rounds(amount(20_000, 200_000), 10_000) as u64;
    let (sum, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let add = |bytes: Vec<u8>| sum.fetch_add(bytes[0].into(), Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(bytes) = guest.recv().unwrap() {
                add(bytes);
            }
        });
        scope.spawn(|| {
            block_on(async {
                let recv = || when_ready(&guest, Interest::Recv, Connection::recv);
                while let Some(bytes) = recv().await.unwrap() {
                    add(bytes);
                }
            })
        });
        // A loop that only listens, now and then.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let doorbell = guest.doorbell(Interest::Recv);
                for _ in 0..3 {
                    if rings(&doorbell, Duration::from_millis(1)) {
                        doorbell.heard();
                    }
                }
                drop(doorbell);
                thread::yield_now();
            }
        });
        for number in 0..count {
            host.send(&[number as u8]).unwrap();
            if number % 64 == 0 {
                // So that they sleep now and then.
                thread::sleep(Duration::from_micros(50));
            }
        }
        host.finish().unwrap();
        host.flush().unwrap();
        over.store(true, Ordering::Relaxed);
    });
    let wanted: u64 = (0..count).map(|number| u64::from(number as u8)).sum();
    assert_eq!(sum.into_inner(), wanted);
}
