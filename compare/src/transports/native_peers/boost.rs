//! Boost.Interprocess: a message_queue per direction, by the functions of boost.cpp.

use std::ffi::{CStr, CString, c_char, c_void};

use crate::cell::Spec;
use crate::common::{Failure, MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::unique_name;
use crate::payload::Buffer;
use crate::transports::entry::{Entry, Waits};

/// Bytes of the slots of one direction, where messages are not too long for that.
const QUEUED: usize = 4 * MIB;

unsafe extern "C" {
    fn compare_boost_create(
        name: *const c_char,
        messages: usize,
        longest: usize,
        reason: *mut c_char,
        room: usize,
    ) -> *mut c_void;
    fn compare_boost_open(name: *const c_char, reason: *mut c_char, room: usize) -> *mut c_void;
    fn compare_boost_send(
        queue: *mut c_void,
        bytes: *const c_void,
        len: usize,
        reason: *mut c_char,
        room: usize,
    ) -> bool;
    fn compare_boost_receive(
        queue: *mut c_void,
        bytes: *mut c_void,
        longest: usize,
        len: *mut usize,
        reason: *mut c_char,
        room: usize,
    ) -> bool;
    fn compare_boost_remove(name: *const c_char);
}

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "boost",
            "Boost message_queue",
            Waits::Sleeps,
            Boost,
            "boost::interprocess::message_queue per direction, slots of the longest message, 4 MiB of \
             them (4 to 1024); one mutex and two conditions in shared memory; copied in and copied \
             out; blocking; threads share the queue",
        )
        .longest(64 * MIB),
    ]
}

struct Boost;

impl Transport for Boost {
    type Tx = BoostSender;
    type Rx = BoostReceiver;
    type Listener = (String, BoostSender, BoostReceiver);

    fn listen(&self, spec: &Spec) -> Result<(Self::Listener, String)> {
        let name = unique_name("boost");
        let longest = spec.workload.longest();
        let out = create(&format!("{name}-to-guest"), longest)?;
        let into = create(&format!("{name}-to-host"), longest)?;
        let receiver = receiver(into, longest);
        Ok(((name.clone(), BoostSender(out), receiver), name))
    }

    fn accept(
        &self,
        (name, sender, mut receiver): Self::Listener,
        _: &Spec,
    ) -> Result<(BoostSender, BoostReceiver)> {
        // The guest has both: nothing is left behind now, however this ends.
        receiver.recv(|_| ())?;
        for direction in ["to-guest", "to-host"] {
            let name = CString::new(format!("{name}-{direction}"))?;
            // SAFETY: a string that ends with a zero.
            unsafe { compare_boost_remove(name.as_ptr()) };
        }
        Ok((sender, receiver))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(BoostSender, BoostReceiver)> {
        let into = open(&format!("{name}-to-guest"))?;
        let mut sender = BoostSender(open(&format!("{name}-to-host"))?);
        sender.send(b"hello")?;
        Ok((sender, receiver(into, spec.workload.longest())))
    }
}

/// A queue that stays mapped for as long as the process lives.
#[derive(Clone, Copy)]
struct Queue(*mut c_void);

// SAFETY: the queue may be used by any thread of any process.
unsafe impl Send for Queue {}

/// Why a call failed.
struct Reason([c_char; 200]);

impl Reason {
    fn new() -> Reason {
        Reason([0; 200])
    }

    fn text(&self) -> Failure {
        // SAFETY: written by snprintf, or still all zero.
        let text = unsafe { CStr::from_ptr(self.0.as_ptr()) };
        format!("Boost: {}", text.to_string_lossy()).into()
    }
}

fn create(name: &str, longest: usize) -> Result<Queue> {
    let name = CString::new(name)?;
    let messages = (QUEUED / longest).clamp(4, 1024);
    let mut reason = Reason::new();
    let (text, room) = (reason.0.as_mut_ptr(), reason.0.len());
    // SAFETY: a string that ends with a zero, and room for a reason.
    let queue = unsafe { compare_boost_create(name.as_ptr(), messages, longest, text, room) };
    if queue.is_null() {
        return Err(reason.text());
    }
    Ok(Queue(queue))
}

fn open(name: &str) -> Result<Queue> {
    let name = CString::new(name)?;
    let mut reason = Reason::new();
    // SAFETY: a string that ends with a zero, and room for a reason.
    let queue = unsafe { compare_boost_open(name.as_ptr(), reason.0.as_mut_ptr(), reason.0.len()) };
    if queue.is_null() {
        return Err(reason.text());
    }
    Ok(Queue(queue))
}

fn receiver(queue: Queue, longest: usize) -> BoostReceiver {
    BoostReceiver {
        queue,
        longest,
        message: Buffer::received(),
    }
}

pub(crate) struct BoostSender(Queue);

impl Sender for BoostSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut reason = Reason::new();
        let (text, room) = (reason.0.as_mut_ptr(), reason.0.len());
        let bytes = message.as_ptr().cast();
        // SAFETY: an open queue, the message, and room for a reason.
        if !unsafe { compare_boost_send(self.0.0, bytes, message.len(), text, room) } {
            return Err(reason.text());
        }
        Ok(())
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(BoostSender(self.0)))
    }
}

pub(crate) struct BoostReceiver {
    queue: Queue,
    longest: usize,
    message: Buffer,
}

impl Receiver for BoostReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut reason = Reason::new();
        let mut len = 0;
        let (text, room) = (reason.0.as_mut_ptr(), reason.0.len());
        let to = self.message.take(self.longest).as_mut_ptr().cast();
        // SAFETY: an open queue, room for its longest message, and room for a reason.
        if !unsafe { compare_boost_receive(self.queue.0, to, self.longest, &mut len, text, room) } {
            return Err(reason.text());
        }
        read(&self.message.all()[..len]);
        Ok(())
    }
}
