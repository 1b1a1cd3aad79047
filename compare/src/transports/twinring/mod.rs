//! Twinring itself, as its users use it: copied in and out, in place, in batches, with callbacks.

mod batched;
mod calls;
mod copied;
mod in_place;
mod open;

use ::twinring::Wait;

use self::batched::Batched;
use self::copied::Copied;
use self::in_place::InPlace;
use self::open::Memory;
use super::entry::{Entry, Waits};
use crate::cell::Workload;
use crate::common::{KIB, MIB};

pub(super) fn entries() -> Vec<Entry> {
    const SMALL_STREAMS: &[Workload] = &[Workload::OneWay(64), Workload::OneWay(KIB)];
    const MANY: &[Workload] = &[Workload::Links(10), Workload::Links(100)];
    const RESTING: &[Workload] = &[Workload::Connect, Workload::Footprint];
    let batched = "a batch is a stream of small messages";
    let called = "callbacks are measured with 10 and with 100 links";
    let longest = 16 * MIB;
    vec![
        Entry::new(
            "twinring-spin",
            "twinring, Wait::Spin",
            Waits::Spins,
            Copied(Wait::Spin, Memory::Reserved),
            "Link::host / Link::guest with .wait(Wait::Spin), rings of 1 MiB (the default; --ring \
             changes it); send, recv_into: copied in and copied out",
        ),
        Entry::new(
            "twinring",
            "twinring, default",
            Waits::Sleeps,
            Copied(Wait::Adaptive, Memory::Reserved),
            "the same with Wait::Adaptive, the default: spins for as long as it has paid lately, \
             then sleeps",
        ),
        Entry::new(
            "twinring-sleep",
            "twinring, Wait::Sleep",
            Waits::Sleeps,
            Copied(Wait::Sleep, Memory::Reserved),
            "the same with .wait(Wait::Sleep): sleeps at once",
        ),
        Entry::new(
            "twinring-on-demand",
            "twinring, memory not reserved",
            Waits::Sleeps,
            Copied(Wait::Adaptive, Memory::OnDemand),
            "the default with .reserve_memory(false) on both sides",
        )
        .only(RESTING, "it differs while little is sent"),
        Entry::new(
            "twinring-in-place-spin",
            "twinring in place, Wait::Spin",
            Waits::Spins,
            InPlace(Wait::Spin),
            "reserve, put, commit: one copy in; recv_in_place, read where it lies by \
             as_slice_trusting_peer; rings of 1 MiB or two of the longest message",
        )
        .longest(longest),
        Entry::new(
            "twinring-in-place",
            "twinring in place, default",
            Waits::Sleeps,
            InPlace(Wait::Adaptive),
            "the same with Wait::Adaptive",
        )
        .longest(longest),
        Entry::new(
            "twinring-in-place-sleep",
            "twinring in place, Wait::Sleep",
            Waits::Sleeps,
            InPlace(Wait::Sleep),
            "the same with .wait(Wait::Sleep)",
        )
        .longest(longest),
        Entry::new(
            "twinring-batch-spin",
            "twinring in batches, Wait::Spin",
            Waits::Spins,
            Batched(Wait::Spin),
            "send_batch of 16 messages, gathered in buffers of the program's own; recv_batch: all that \
             is there, copied out",
        )
        .only(SMALL_STREAMS, batched),
        Entry::new(
            "twinring-batch",
            "twinring in batches, default",
            Waits::Sleeps,
            Batched(Wait::Adaptive),
            "the same with Wait::Adaptive",
        )
        .only(SMALL_STREAMS, batched),
        Entry::acting(
            "twinring-calls",
            "twinring, answered by callbacks, default",
            Waits::Sleeps,
            |role, spec, control| calls::play(Wait::Adaptive, role, spec, control),
            "the host answers from on_message instead of a thread that calls recv_into",
        )
        .only(MANY, called),
        Entry::acting(
            "twinring-calls-sleep",
            "twinring, answered by callbacks, Wait::Sleep",
            Waits::Sleeps,
            |role, spec, control| calls::play(Wait::Sleep, role, spec, control),
            "the same with Wait::Sleep on both sides",
        )
        .only(MANY, called),
    ]
}
