//! The slot for a host's one guest, the guests that wait for it, and the memory for the next one.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::queue::Queue;
use super::threads::{Job, fault};
use crate::error::Result;
use crate::handshake::{GuestSlot, NewMemory, Ticket, Turn, make_memory, may_make_ahead};
use crate::os::endpoint::Names;
use crate::os::event::Deadline;
use crate::os::memory::Pages;
use crate::transfer::LinkState;

pub(super) struct Slot {
    link: Arc<LinkState>,
    /// A live guest is connected, or too much of earlier ones is unread.
    taken: bool,
    /// For a guest that is being welcomed.
    reserved: bool,
    queue: Queue,
    spare: Option<NewMemory>,
    making: Option<Job<Result<NewMemory>>>,
}

impl Slot {
    /// Memory for the first guest is created before there is one. If that fails, the handshake tries
    /// again and reports the error.
    pub(super) fn new(link: &Arc<LinkState>) -> Slot {
        let options = &link.options;
        let spare = may_make_ahead(options).then(|| make_memory(options, Pages::Reserved, None));
        Slot {
            link: link.clone(),
            taken: false,
            reserved: false,
            queue: Queue::default(),
            spare: spare.and_then(Result::ok),
            making: None,
        }
    }

    pub(super) fn set_taken(&mut self, taken: bool) {
        self.taken = taken;
    }

    /// The guest that was being welcomed has been accepted, or has failed.
    pub(super) fn unreserve(&mut self) {
        self.reserved = false;
    }

    fn is_taken(&self) -> bool {
        self.taken || self.reserved
    }

    /// Whether the guest with this ticket waits, and its turn has come.
    pub(super) fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        let free = !self.is_taken();
        ticket.is_some_and(|ticket| self.queue.is_next(ticket, free, Instant::now()))
    }

    /// When it is the turn of the next guest, if nothing happens before.
    pub(super) fn due(&self) -> Deadline {
        match self.queue.due() {
            Some(at) if !self.is_taken() => Deadline::At(at),
            _ => Deadline::Never,
        }
    }

    /// This guest is connected, or has gone.
    pub(super) fn leave(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.queue.leave(ticket);
        }
    }

    /// Starts creating memory for the next guest, if there is or may be one.
    pub(super) fn make_ahead(&mut self) {
        if may_make_ahead(&self.link.options)
            && self.spare.is_none()
            && self.making.is_none()
            && (!self.is_taken() || !self.queue.is_empty())
        {
            self.make();
        }
    }

    fn make(&mut self) {
        let link = self.link.clone();
        let make = move || make_memory(&link.options, Pages::Reserved, None);
        self.making = Some(Job::start(&self.link.driver, make));
    }

    /// No guest waits for memory: releases what has been created for one that has gone.
    pub(super) fn tidy(&mut self) {
        if self.is_taken() {
            self.spare = None;
        }
        if self
            .making
            .as_ref()
            .is_some_and(|job| job.poll().is_ready())
        {
            self.making = None;
        }
    }
}

impl GuestSlot for Slot {
    fn turn(&mut self, ticket: &mut Option<Ticket>) -> Turn {
        let free = !self.is_taken();
        self.queue.turn(ticket, free, Instant::now())
    }

    fn put_back(&mut self, ticket: Ticket) -> u32 {
        self.queue.put_back(ticket)
    }

    fn reserve(&mut self) -> bool {
        let free = !self.is_taken();
        self.reserved |= free;
        free
    }

    fn memory(&mut self, pages: Pages, names: Option<Names>) -> Poll<Result<NewMemory>> {
        // Where there are names, memory is created at once: only Linux takes long to reserve it.
        if pages == Pages::OnDemand || names.is_some() {
            return Poll::Ready(make_memory(&self.link.options, pages, names));
        }
        if let Some(memory) = self.spare.take() {
            return Poll::Ready(Ok(memory));
        }
        if self.making.is_none() {
            self.make();
        }
        let made = match &self.making {
            Some(job) => job.poll(),
            None => Poll::Pending,
        };
        if made.is_ready() {
            self.making = None;
        }
        made.map(|made| made.unwrap_or_else(|| Err(fault())))
    }
}
