//! A host's free seats, the guests that wait for one, and the memory for the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::queue::Queue;
use super::threads::{Job, fault};
use crate::error::{Error, ErrorKind, Result};
use crate::handshake::{GuestSeats, NewMemory, Ticket, Turn, make_memory, may_make_ahead};
use crate::os::endpoint::Names;
use crate::os::event::Deadline;
use crate::os::memory::Pages;
use crate::os::process::User;
use crate::transfer::LinkState;

pub(super) struct Seats {
    link: Arc<LinkState>,
    /// How many guests of each user have a seat: they are connected, or being welcomed.
    taken: HashMap<User, usize>,
    /// No seat is given now, though some may be free.
    withheld: bool,
    queue: Queue,
    spare: Option<NewMemory>,
    making: Option<Job<Result<NewMemory>>>,
}

impl Seats {
    /// Memory for the first guest is created before there is one. If that fails, the handshake tries
    /// again and reports the error.
    pub(super) fn new(link: &Arc<LinkState>) -> Seats {
        let options = &link.options;
        let spare = may_make_ahead(options).then(|| make_memory(options, Pages::Reserved, None));
        Seats {
            link: link.clone(),
            taken: HashMap::new(),
            withheld: false,
            queue: Queue::default(),
            spare: spare.and_then(Result::ok),
            making: None,
        }
    }

    /// Whether seats may be given at all.
    pub(super) fn withhold(&mut self, withheld: bool) {
        self.withheld = withheld;
    }

    /// A guest of this user has gone, or was not connected after all: its seat is free.
    pub(super) fn release(&mut self, user: &User) {
        if let Some(count) = self.taken.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.taken.remove(user);
            }
        }
    }

    /// Whether every seat is taken.
    pub(super) fn are_taken(&self) -> bool {
        self.free() == 0
    }

    fn free(&self) -> usize {
        let taken: usize = self.taken.values().sum();
        self.link.options.seats.all().saturating_sub(taken)
    }

    /// How many seats can be offered.
    fn offers(&self) -> usize {
        if self.withheld { 0 } else { self.free() }
    }

    /// Whether the guest with this ticket waits, and its turn has come.
    pub(super) fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        let next = |ticket| self.queue.is_next(ticket, self.offers(), Instant::now());
        ticket.is_some_and(next)
    }

    /// When it is the turn of the next guest, if nothing happens before.
    pub(super) fn due(&self) -> Deadline {
        match self.queue.due(Instant::now()) {
            Some(at) if self.offers() > 0 => Deadline::At(at),
            _ => Deadline::Never,
        }
    }

    /// This guest is connected, or does not wait any more.
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
            && (self.offers() > 0 || !self.queue.is_empty())
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
        if self.offers() == 0 {
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

impl GuestSeats for Seats {
    fn turn(&mut self, ticket: &mut Option<Ticket>) -> Turn {
        self.queue.turn(ticket, self.offers(), Instant::now())
    }

    fn put_back(&mut self, ticket: Ticket) -> u32 {
        self.queue.put_back(ticket)
    }

    fn check(&self, user: &User) -> Result<()> {
        let seats = self.link.options.seats;
        let most = seats.of_user();
        match self.taken.get(user) {
            // Those of a link wait for their turn.
            Some(taken) if *taken >= most && most < seats.all() => Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "the host serves {most} clients of user {user}, as many as it takes of one user (`max_clients`)"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn take(&mut self, ticket: Option<Ticket>, user: &User) -> Result<bool> {
        self.check(user)?;
        let free = self.offers() > 0;
        if free {
            *self.taken.entry(user.clone()).or_default() += 1;
            self.leave(ticket);
        }
        Ok(free)
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
