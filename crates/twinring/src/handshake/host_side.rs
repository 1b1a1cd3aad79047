//! The host's side of one handshake: carries out what the machine says, on a real channel, without waiting.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::act::{Act, not_asked, refusal};
use super::admission::{Admission, Admitting};
use super::errors::{
    Stop, broken_off, stopped, undecided, unidentified, unoffered, unusable, wrong,
};
use super::host::{HostMachine, HostState, Turn};
use super::memory::{NewMemory, most_handles};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Channel, Names, Offer, Packet};
use crate::os::event::{Deadline, LocalEvent, wait};
use crate::os::memory::Pages;
use crate::os::process::{Peer, Process, User};
use crate::segment::{Segment, Side};
use crate::transfer::{Options, Parts};

/// How long the chosen guest may take to accept 512 bytes.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(1);

/// The seats for guests, for which several may be doing handshakes or waiting.
pub(crate) trait GuestSeats {
    /// Whether it is the turn of the guest with this ticket. A guest that has none gets one, behind all
    /// others.
    fn turn(&mut self, ticket: &mut Option<Ticket>) -> Turn;

    /// Another was faster: the guest goes back to its place among those that wait, which is returned.
    fn put_back(&mut self, ticket: Ticket) -> u32;

    /// An error if this user has as many seats as one may have.
    fn check(&self, user: &User) -> Result<()>;

    /// Takes a seat for the guest with this ticket, which is to be welcomed; `false` if none is free.
    fn take(&mut self, ticket: Option<Ticket>, user: &User) -> Result<bool>;

    /// Memory for a connection. Pending while it is being created; never if it has names.
    fn memory(&mut self, pages: Pages, names: Option<Names>) -> Poll<Result<NewMemory>>;
}

/// When a guest came, beside others: a lower number is earlier.
pub(crate) type Ticket = u64;

pub(crate) struct HostHandshake {
    channel: Arc<Channel>,
    deadline: Deadline,
    state: HostState,
    /// Counts what the machine has asked for.
    steps: u32,
    /// When it last got on.
    since: Instant,
    /// From its KNOCK on.
    ticket: Option<Ticket>,
    identity: Option<(Process, Peer)>,
    admission: Admission,
    made: Option<Made>,
    /// A seat is kept for this guest, which is being welcomed.
    welcoming: bool,
    /// A packet has been sent in part.
    sending: bool,
    /// It has failed, and the guest is being told so.
    refusing: Option<(Error, Packet)>,
    /// Before it is told, the guest has to have sent something: until then it may not be listening.
    unheard: bool,
}

/// What a host creates for one connection.
struct Made {
    offer: Offer,
    segment: Arc<Segment>,
    over: LocalEvent,
}

impl HostHandshake {
    pub(crate) fn new(channel: Arc<Channel>, options: &Options) -> HostHandshake {
        HostHandshake {
            channel,
            deadline: Deadline::after(options.handshake_timeout),
            state: HostState::Identify,
            steps: 0,
            since: Instant::now(),
            ticket: None,
            identity: None,
            admission: Admission::default(),
            made: None,
            welcoming: false,
            sending: false,
            refusing: None,
            unheard: false,
        }
    }

    /// For a guest that cannot be served, which is told why.
    pub(crate) fn refusing(channel: Arc<Channel>, e: &Error) -> HostHandshake {
        HostHandshake {
            channel,
            deadline: Deadline::after(WELCOME_TIMEOUT),
            state: HostState::Identify,
            steps: 0,
            since: Instant::now(),
            ticket: None,
            identity: None,
            admission: Admission::default(),
            made: None,
            welcoming: false,
            sending: false,
            refusing: Some((Error::new(e.kind(), e.message()), refusal(e))),
            unheard: true,
        }
    }

    /// How far it has come.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether it waits for memory, and not for the guest: that may have gone, or sent anything.
    pub(crate) fn awaits_memory(&self) -> bool {
        self.refusing.is_none() && matches!(self.state, HostState::Make(_))
    }

    /// When it ends at the latest.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Whether a seat is kept for this guest.
    pub(crate) fn has_seat(&self) -> bool {
        self.welcoming
    }

    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// Whether the guest has been told to wait: until its turn comes, there is nothing to do unless it goes.
    pub(crate) fn waits(&self) -> bool {
        self.refusing.is_none() && matches!(self.state, HostState::Wait(_))
    }

    /// Who calls, once the kernel has been asked.
    pub(crate) fn user(&self) -> Option<&User> {
        self.identity.as_ref().map(|(_, peer)| &peer.user)
    }

    /// Since when it has waited for something that the guest has to do.
    pub(crate) fn awaits_guest_since(&self) -> Option<Instant> {
        let awaits = match self.state {
            HostState::AwaitKnock | HostState::Hello(..) | HostState::AwaitAck(..) => true,
            _ => self.sending || self.refusing.is_some(),
        };
        awaits.then_some(self.since)
    }

    /// Ends it, for lack of room. Tells the guest why, as far as that is possible at once.
    pub(crate) fn give_up(self, e: &Error) {
        if !self.sending && self.refusing.is_none() {
            self.channel.reset();
            // If it does not read, it is not told.
            let _ = self.channel.send(&refusal(e), None);
        }
    }

    /// The guest has not answered, and its place is needed for others.
    pub(crate) fn displaced(&self) -> Error {
        self.timed_out("did not answer during the handshake, and its place is needed for others")
    }

    /// The guest has not answered before the deadline.
    fn too_late(&self) -> Error {
        self.timed_out("did not answer in time during the handshake")
    }

    fn timed_out(&self, how: &str) -> Error {
        let text = match &self.identity {
            Some((_, peer)) => format!("{peer} {how}"),
            None => format!("a guest {how}"),
        };
        Error::new(ErrorKind::TimedOut, text)
    }

    /// Goes on as far as possible; pending until the channel, the memory or the guest's turn is ready. Must be
    /// called with the same `name` and `options` each time. Once it is ready, both sides are connected or it
    /// has failed.
    pub(crate) fn poll(
        &mut self,
        name: &str,
        options: &Options,
        seats: &mut dyn GuestSeats,
    ) -> Poll<Result<()>> {
        if self.unheard && !self.deadline.passed() {
            let heard = wait(&[self.channel.source()], Deadline::Now);
            if matches!(heard, Ok(None)) {
                return Poll::Pending;
            }
            self.unheard = false;
        }
        if self.refusing.is_none() {
            let mut machine = HostMachine::new(name, options);
            machine.state = self.state;
            let worked = self.work(&mut machine, options, seats);
            self.state = machine.state;
            let e = match worked {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Stop::Pending) if !self.deadline.passed() => return Poll::Pending,
                Err(Stop::Pending) => match self.awaits_decision() {
                    Some(guest) => undecided(guest),
                    None => self.too_late(),
                },
                Err(Stop::Failed(e)) => e,
            };
            if self.sending {
                // Nothing else can follow half a packet.
                return Poll::Ready(Err(e));
            }
            let packet = refusal(&e);
            self.channel.reset();
            self.deadline = Deadline::after(WELCOME_TIMEOUT);
            self.since = Instant::now();
            self.refusing = Some((e, packet));
        }
        self.refuse()
    }

    fn work(
        &mut self,
        machine: &mut HostMachine<'_>,
        options: &Options,
        seats: &mut dyn GuestSeats,
    ) -> Result<(), Stop> {
        loop {
            match (machine.next(), &mut self.identity, &self.made) {
                (Act::Identify, None, _) => {
                    self.identity = Some(self.channel.identify().map_err(unidentified)?);
                    // Not a step: it may be one for the program first.
                    continue;
                }
                (Act::Identify, Some((process, peer)), _) => {
                    let let_in = options.access.lets_in(process, peer);
                    if let_in {
                        seats.check(&peer.user)?;
                        self.admission.check(options, process, peer)?;
                    }
                    machine.identified(peer, let_in)?;
                }
                (Act::Receive, ..) => {
                    let (packet, handover) = self.channel.receive().map_err(stopped)?;
                    machine.received(&packet)?;
                    handover.none_expected().map_err(wrong)?;
                }
                (Act::AskTurn, ..) => {
                    let turn = seats.turn(&mut self.ticket);
                    if turn == Turn::Soon {
                        self.check_silent()?;
                        return Err(Stop::Pending);
                    }
                    self.channel.reset();
                    machine.asked(turn);
                }
                (Act::Send(message), ..) => {
                    self.sending = true;
                    self.channel
                        .send(&message.encode(), None)
                        .map_err(stopped)?;
                    self.sending = false;
                    machine.sent();
                    self.deadline = Deadline::Never;
                }
                (Act::AwaitTurn, Some((process, _)), _) => {
                    if process.has_ended() {
                        return Err(broken_off(io::ErrorKind::ConnectionReset.into()).into());
                    }
                    self.check_silent()?;
                    if seats.turn(&mut self.ticket) != Turn::Now {
                        return Err(Stop::Pending);
                    }
                    self.channel.reset();
                    self.deadline = Deadline::after(options.handshake_timeout);
                    machine.asked(Turn::Now);
                }
                (Act::MakeOffer { pages, handles }, Some((process, _)), _) => {
                    let names = self.channel.names_for(process).map_err(unoffered)?;
                    let Poll::Ready(memory) = seats.memory(pages, names) else {
                        return Err(Stop::Pending);
                    };
                    let memory = memory?;
                    let shape = memory.shape;
                    let made = make(&self.channel, process, memory, handles)?;
                    // Before the guest can send anything.
                    let takes = most_handles(options, made.offer.handle_channel());
                    made.segment.set_max_handles(Side::Host, takes);
                    self.made = Some(made);
                    machine.made(shape);
                }
                (Act::SendOffer(hello), Some((process, peer)), Some(made)) => {
                    self.sending = true;
                    let sent = self.channel.send(&hello.encode(), Some(&made.offer));
                    sent.map_err(stopped)?;
                    self.sending = false;
                    machine.sent();
                    // Meanwhile the guest is at work.
                    process.complete(peer);
                }
                (Act::Done, Some((_, peer)), _)
                    if self.welcoming || seats.take(self.ticket, &peer.user)? =>
                {
                    return self.welcome(machine.state);
                }
                (Act::Done, ..) => {
                    self.made = None;
                    self.deadline = Deadline::after(options.handshake_timeout);
                    let ticket = self.ticket.unwrap_or_else(|| not_asked());
                    machine.passed_over(seats.put_back(ticket));
                }
                _ => not_asked(),
            }
            self.steps += 1;
            self.since = Instant::now();
        }
    }

    /// While it is not the guest's turn, it has nothing to say. An error if it has gone.
    fn check_silent(&self) -> Result<(), Stop> {
        match self.channel.receive() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(stopped(e)),
            Ok(_) => Err(Error::new(
                ErrorKind::Protocol,
                "the guest sent something before it was its turn",
            )
            .into()),
        }
    }

    /// Takes the guest: from here on both sides are connected.
    fn welcome(&mut self, state: HostState) -> Result<(), Stop> {
        let HostState::Ready(ready) = state else {
            not_asked()
        };
        if !self.welcoming {
            self.welcoming = true;
            self.deadline = Deadline::after(WELCOME_TIMEOUT);
        }
        self.sending = true;
        let sent = self.channel.send(&ready.welcome().encode(), None);
        sent.map_err(stopped)
    }

    fn refuse(&mut self) -> Poll<Result<()>> {
        let Some((e, packet)) = self.refusing.take() else {
            not_asked()
        };
        // It may have gone already; then there is nobody to tell.
        match self.channel.send(&packet, None).map_err(stopped) {
            Err(Stop::Pending) if !self.deadline.passed() => {
                self.refusing = Some((e, packet));
                Poll::Pending
            }
            _ => Poll::Ready(Err(e)),
        }
    }

    /// The parts of the connection, after [`HostHandshake::poll`] was ready. By then, nobody else may have
    /// the channel.
    pub(crate) fn finish(self) -> Result<Parts> {
        let (HostState::Ready(ready), Some((mut process, mut peer)), Some(made)) =
            (self.state, self.identity, self.made)
        else {
            not_asked()
        };
        peer.client = ready.client();
        let channel = Arc::into_inner(self.channel).unwrap_or_else(|| not_asked());
        let finished = channel.finish_host(made.offer, &mut process);
        let (doorbells, handles) = finished.map_err(unusable)?;
        Ok(Parts {
            side: Side::Host,
            segment: made.segment,
            doorbells,
            handles,
            process,
            peer,
            peer_max_message: ready.max_message(),
            over: made.over,
        })
    }
}

impl Admitting for HostHandshake {
    fn awaits_decision(&self) -> Option<&Peer> {
        let (_, peer) = self.identity.as_ref()?;
        let asks = matches!(self.state, HostState::Identify) && self.refusing.is_none();
        (asks && self.admission.is_open()).then_some(peer)
    }

    fn decided(&mut self, admitted: Result<bool>) {
        self.admission.decide(admitted);
    }
}

fn make(channel: &Channel, guest: &Process, memory: NewMemory, handles: bool) -> Result<Made> {
    let offer = channel
        .make_offer(memory.prepared, guest, memory.handle, handles)
        .map_err(unoffered)?;
    Ok(Made {
        offer,
        segment: memory.segment,
        over: memory.over,
    })
}
