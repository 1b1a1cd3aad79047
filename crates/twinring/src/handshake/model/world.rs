//! A small world: a kernel, hosts that contend for one name, guests that look for it. The state machines
//! in it are the real ones; the drivers are a replica of the rules in `docs/lifecycle.md`.

use super::Terms;
use crate::error::ErrorKind;
use crate::handshake::act::Act;
use crate::handshake::guest::{GuestMachine, GuestState};
use crate::handshake::host::{HostMachine, HostState, Turn};
use crate::handshake::packet::{Message, Reason};
use crate::segment::Shape;

pub(super) const HOSTS: usize = 2;
pub(super) const GUESTS: usize = 2;
/// Callers that a listening host may leave waiting.
const QUEUE: usize = 2;
/// Guests that may wait beside the handshakes. There are no more, so none is told that there is no room.
const WAITING: usize = 1;
/// Slots for handshakes and for guests that wait; how many of them a host may use is a rule.
const PLACES: usize = 3;
const CHANNELS: usize = 8;
/// Packets that fit into one direction of a channel.
const PACKETS: usize = 3;

/// Names a connection and the memory made for it.
pub(super) type Id = u8;
/// An identity that no host has used.
pub(super) const LIE: Id = 99;

/// What can be wrong with the rules. The model has to find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The kernel does not free a dead host's lock.
    LockOutlivesItsHolder,
    /// A host listens without the lock.
    ListensWithoutTheLock,
    /// No host asks whether a guest is there already: two are welcomed.
    WelcomesTwo,
    /// A host that has a guest answers "busy" without asking the kernel whether that guest lives.
    BusyWithTheDead,
    /// A host creates no new memory for a new connection.
    OldMemoryAgain,
    /// A host accepts an ACK of any connection.
    AnyAck,
    /// A guest accepts memory other than that which HELLO announces.
    AnyMemory,
    /// A guest accepts a WELCOME of any connection.
    AnyWelcome,
    /// A guest considers itself connected once it has sent ACK.
    NoWelcome,
    /// A host waits for a guest's answer for as long as it takes.
    HostWithoutDeadline,
    /// A host takes every call at once, without a limit.
    AnyNumberOfHandshakes,
    /// A host considers a guest gone only when its process has ended.
    HangUpUnnoticed,
    /// So it does, and turns everybody else away until then.
    BusyForEver,
    /// A guest does not notice that its host has gone.
    DeafGuest,
    /// A guest that waits does not notice that its host has gone.
    DeafWaiter,
    /// A host does not think of those that wait when its place becomes free.
    ForgetsWaiters,
    /// A host offers its place to a newcomer before those that wait.
    NewcomersFirst,
}

/// What a run of the model is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) hosts: usize,
    pub(super) guests: usize,
    /// Handshakes that a host has open at once.
    pub(super) handshakes: usize,
    /// Processes may be stopped and go on again.
    pub(super) freezes: bool,
    /// Packets whose identity may be changed on the way.
    pub(super) changes: u8,
    /// How often a process may be killed, stopped or closed, or a packet changed.
    pub(super) faults: u32,
    pub(super) broken: Option<Broken>,
}

impl Rules {
    pub(super) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }
}

/// A packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    Knock,
    /// The message, and the memory that comes with it.
    Hello(Id, Id),
    Ack(Id),
    Welcome(Id),
    Refuse(Reason),
    Wait,
}

/// A channel; it also stands for the connection made over it. The kernel closes the ends of a
/// process that dies, and knows of each end whether its process lives.
#[derive(Clone, Copy, Debug)]
struct Channel {
    host: usize,
    guest: usize,
    host_end: End,
    guest_end: End,
    to_host: [Option<Packet>; PACKETS],
    to_guest: [Option<Packet>; PACKETS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// By a process that lives on.
    Closed,
    /// Its process has ended.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Dead,
    Running,
    /// Stopped: neither dead nor doing anything.
    Frozen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Does not have the name.
    Claim,
    /// Has the lock.
    Claimed,
    /// Can be called.
    Listening,
}

#[derive(Clone, Copy, Debug)]
struct Host {
    life: Life,
    standing: Standing,
    queue: [Option<usize>; QUEUE],
    /// Those that have knocked in the order in which they did.
    handshakes: [Option<Handshake>; PLACES],
    current: Option<(usize, Id)>,
}

impl Host {
    /// A handshake is over; the others keep their order.
    fn take_out(&mut self, place: usize) {
        self.handshakes[place..].rotate_left(1);
        self.handshakes[PLACES - 1] = None;
    }

    /// A guest has knocked: it is behind all others.
    fn joins_line(&mut self, place: usize) {
        let all = self.handshakes.iter().flatten().count();
        self.handshakes[place..all].rotate_left(1);
    }
}

#[derive(Clone, Copy, Debug)]
struct Handshake {
    channel: usize,
    state: HostState,
}

impl Handshake {
    fn waits(&self) -> bool {
        matches!(self.state, HostState::Wait(_) | HostState::Tell(..))
    }

    /// It has not been offered the connection.
    fn is_in_line(&self) -> bool {
        matches!(self.state, HostState::Ask(_)) || self.waits()
    }

    fn is_offered(&self) -> bool {
        matches!(
            self.state,
            HostState::Make(_)
                | HostState::Hello(..)
                | HostState::AwaitAck(..)
                | HostState::Ready(_)
        )
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Look,
    Shaking {
        channel: usize,
        state: GuestState,
        /// What came with HELLO.
        memory: Option<Id>,
    },
    Up {
        channel: usize,
        memory: Id,
    },
}

#[derive(Clone, Copy, Debug)]
struct Guest {
    life: Life,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Free,
    Held(usize),
    /// Only if the kernel is broken.
    Stranded,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    lock: Lock,
    /// The host that a guest reaches by the name.
    reached: Option<usize>,
    hosts: [Host; HOSTS],
    guests: [Guest; GUESTS],
    channels: [Option<Channel>; CHANNELS],
    changes: u8,
}

/// The kind of a move, for the question of what has to happen sooner or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A running program does the next thing.
    Step,
    /// A handshake's deadline comes.
    Deadline,
    /// A process is started, or goes on after it was stopped. Nothing guarantees it.
    Fate,
    /// A process is killed, stopped or closed, or a packet changed.
    Fault,
}

/// What happened: who did what.
pub(super) type Label = (&'static str, u8);
/// What a rule forbids.
pub(super) type Violation = &'static str;

/// Collects the moves that are possible in one world.
pub(super) struct Moves<'a> {
    rules: &'a Rules,
    terms: &'a Terms,
    pub(super) found: Vec<(Kind, Label, World)>,
    pub(super) violation: Option<(Label, Violation)>,
}

impl<'a> Moves<'a> {
    pub(super) fn new(rules: &'a Rules, terms: &'a Terms) -> Moves<'a> {
        Moves {
            rules,
            terms,
            found: Vec::new(),
            violation: None,
        }
    }

    /// Adds one move: `change` makes the world after it, and may find that a rule is broken.
    fn add(
        &mut self,
        world: &World,
        kind: Kind,
        label: Label,
        change: impl FnOnce(&mut World) -> Result<(), Violation>,
    ) {
        let mut next = *world;
        match change(&mut next) {
            Ok(()) => self.found.push((kind, label, next)),
            Err(violation) => self.violation = Some((label, violation)),
        }
    }
}

/// The result of delivering a packet, or of there being none.
enum Delivery {
    Packet(Packet),
    /// The other end is closed, and nothing is left to read.
    End,
}

impl World {
    pub(super) fn new() -> World {
        World {
            lock: Lock::Free,
            reached: None,
            hosts: [Host {
                life: Life::Dead,
                standing: Standing::Claim,
                queue: [None; QUEUE],
                handshakes: [None; PLACES],
                current: None,
            }; HOSTS],
            guests: [Guest {
                life: Life::Dead,
                stage: Stage::Look,
            }; GUESTS],
            channels: [None; CHANNELS],
            changes: 0,
        }
    }

    /// Everything that can happen now.
    pub(super) fn moves(&self, moves: &mut Moves<'_>) {
        for h in 0..moves.rules.hosts {
            self.fates_of_host(h, moves);
            if self.hosts[h].life == Life::Running {
                self.moves_of_host(h, moves);
            }
        }
        for g in 0..moves.rules.guests {
            self.fates_of_guest(g, moves);
            if self.guests[g].life == Life::Running {
                self.moves_of_guest(g, moves);
            }
        }
        if self.changes < moves.rules.changes {
            self.change_packets(moves);
        }
    }

    // What happens to a process from outside.

    fn fates_of_host(&self, h: usize, moves: &mut Moves<'_>) {
        let label = |what| (what, h as u8);
        let rules = *moves.rules;
        match self.hosts[h].life {
            Life::Dead => moves.add(self, Kind::Fate, label("host starts"), |w| {
                w.hosts[h].life = Life::Running;
                Ok(())
            }),
            life => {
                moves.add(self, Kind::Fault, label("host is killed"), |w| {
                    w.leave_host(h, End::Dead);
                    w.hosts[h].life = Life::Dead;
                    if rules.is(Broken::LockOutlivesItsHolder) && self.lock == Lock::Held(h) {
                        w.lock = Lock::Stranded;
                    }
                    Ok(())
                });
                if life == Life::Running && self.hosts[h].standing == Standing::Listening {
                    moves.add(
                        self,
                        Kind::Fault,
                        label("host closes and opens anew"),
                        |w| {
                            w.leave_host(h, End::Closed);
                            Ok(())
                        },
                    );
                }
                if rules.freezes {
                    let (kind, what, then) = toggled(life, "host stops", "host goes on");
                    moves.add(self, kind, label(what), |w| {
                        w.hosts[h].life = then;
                        Ok(())
                    });
                }
            }
        }
    }

    fn fates_of_guest(&self, g: usize, moves: &mut Moves<'_>) {
        let label = |what| (what, g as u8);
        match self.guests[g].life {
            Life::Dead => moves.add(self, Kind::Fate, label("guest starts"), |w| {
                w.guests[g].life = Life::Running;
                Ok(())
            }),
            life => {
                moves.add(self, Kind::Fault, label("guest is killed"), |w| {
                    w.leave_guest(g, End::Dead);
                    w.guests[g].life = Life::Dead;
                    Ok(())
                });
                if life == Life::Running && !matches!(self.guests[g].stage, Stage::Look) {
                    moves.add(
                        self,
                        Kind::Fault,
                        label("guest closes and opens anew"),
                        |w| {
                            w.leave_guest(g, End::Closed);
                            Ok(())
                        },
                    );
                }
                if moves.rules.freezes {
                    let (kind, what, then) = toggled(life, "guest stops", "guest goes on");
                    moves.add(self, kind, label(what), |w| {
                        w.guests[g].life = then;
                        Ok(())
                    });
                }
            }
        }
    }

    /// A packet is changed on its way: only the part that says which connection it belongs to.
    fn change_packets(&self, moves: &mut Moves<'_>) {
        for c in 0..CHANNELS {
            let Some(channel) = &self.channels[c] else {
                continue;
            };
            let changed: &[Packet] = match (channel.to_host[0], channel.to_guest[0]) {
                (Some(Packet::Ack(_)), _) => &[Packet::Ack(LIE)],
                (_, Some(Packet::Hello(id, memory))) => {
                    &[Packet::Hello(LIE, memory), Packet::Hello(id, LIE)]
                }
                (_, Some(Packet::Welcome(_))) => &[Packet::Welcome(LIE)],
                _ => &[],
            };
            for packet in changed {
                moves.add(self, Kind::Fault, ("a packet is changed", c as u8), |w| {
                    let channel = w.channel(c);
                    let direction = match packet {
                        Packet::Ack(_) => &mut channel.to_host,
                        _ => &mut channel.to_guest,
                    };
                    direction[0] = Some(*packet);
                    w.changes += 1;
                    Ok(())
                });
            }
        }
    }

    // What a host does.

    fn moves_of_host(&self, h: usize, moves: &mut Moves<'_>) {
        let host = &self.hosts[h];
        let label = |what| (what, h as u8);
        let rules = *moves.rules;
        let step = Kind::Step;
        match host.standing {
            Standing::Claim => {
                if self.lock == Lock::Free || rules.is(Broken::ListensWithoutTheLock) {
                    moves.add(self, step, label("host takes the lock"), |w| {
                        w.lock = Lock::Held(h);
                        w.hosts[h].standing = Standing::Claimed;
                        Ok(())
                    });
                }
                return;
            }
            Standing::Claimed => {
                moves.add(self, step, label("host listens"), |w| {
                    w.reached = Some(h);
                    w.hosts[h].standing = Standing::Listening;
                    Ok(())
                });
                return;
            }
            Standing::Listening => {}
        }
        let all = host.handshakes.iter().flatten();
        let open = all.clone().filter(|handshake| !handshake.waits()).count();
        let room = open < rules.handshakes && all.count() < rules.handshakes + WAITING;
        if host.queue[0].is_some() && (room || rules.is(Broken::AnyNumberOfHandshakes)) {
            let terms = moves.terms;
            moves.add(self, step, label("host takes a call"), |w| {
                let host = &mut w.hosts[h];
                let place = host.handshakes.iter().position(Option::is_none);
                let channel = host.queue[0].take();
                host.queue.rotate_left(1);
                let (Some(place), Some(channel)) = (place, channel) else {
                    return Err("handshakes pile up");
                };
                let mut machine = HostMachine::new(&terms.name, &terms.options);
                self.host_alone(&mut machine, &rules, terms)?;
                host.handshakes[place] = Some(Handshake {
                    channel,
                    state: machine.state,
                });
                Ok(())
            });
        }
        for place in 0..PLACES {
            if let Some(handshake) = host.handshakes[place] {
                self.moves_of_handshake(h, place, handshake, moves);
            }
        }
        // The driver checks whether its guest has gone.
        if let Some((channel, _)) = host.current {
            let gone = match self.at(channel).guest_end {
                End::Open => false,
                End::Closed => !rules.is(Broken::HangUpUnnoticed) && !rules.is(Broken::BusyForEver),
                End::Dead => true,
            };
            if gone {
                moves.add(self, step, label("host notices the end"), |w| {
                    w.hosts[h].current = None;
                    w.close_host_end(channel, End::Closed);
                    Ok(())
                });
            }
        }
    }

    /// What a handshake does that no other process can notice: it is part of the step before it.
    fn host_alone(
        &self,
        machine: &mut HostMachine<'_>,
        rules: &Rules,
        terms: &Terms,
    ) -> Result<(), Violation> {
        loop {
            match machine.next() {
                Act::Identify => machine
                    .identified(&terms.peer, true)
                    .map_err(|_| "not admitted")?,
                Act::MakeOffer { .. } if rules.is(Broken::OldMemoryAgain) => machine.made(shape(1)),
                Act::MakeOffer { .. } => machine.made(shape(self.unused_id())),
                _ => return Ok(()),
            }
        }
    }

    /// Whether it is the turn of the guest in this place, as `Queue` in the driver has it. Time is not in this
    /// world: a guest that runs answers in time, one that is stopped does not.
    fn turn(&self, h: usize, place: usize, rules: &Rules) -> Result<Turn, Violation> {
        let others = |places: std::ops::Range<usize>| {
            let all = self.hosts[h].handshakes[places].iter().flatten();
            all.filter(|handshake| handshake.channel != self.channel_at(h, place))
        };
        let before = others(0..place).filter(|other| other.is_in_line()).count();
        let newcomer = matches!(
            self.hosts[h].handshakes[place].map(|handshake| handshake.state),
            Some(HostState::Ask(_))
        );
        let before = match newcomer && rules.is(Broken::NewcomersFirst) {
            true => 0,
            false => before,
        };
        if self.says_occupied(h, rules)? || before > 0 {
            return Ok(Turn::Later(before as u32 + 1));
        }
        let answers = |handshake: &Handshake| {
            let channel = self.at(handshake.channel);
            let guest = &self.guests[channel.guest];
            guest.life == Life::Running
        };
        let offered = others(0..PLACES).filter(|other| other.is_offered());
        match offered.filter(|other| answers(other)).count() {
            0 => Ok(Turn::Now),
            _ => Ok(Turn::Soon),
        }
    }

    fn channel_at(&self, h: usize, place: usize) -> usize {
        self.hosts[h].handshakes[place].map_or(CHANNELS, |handshake| handshake.channel)
    }

    /// Whether a guest that waits, and runs, is before the one in this place.
    fn passes_over(&self, h: usize, place: usize) -> bool {
        let before = self.hosts[h].handshakes[..place].iter().flatten();
        before.filter(|other| other.waits()).any(|other| {
            let channel = self.at(other.channel);
            channel.guest_end == End::Open && self.guests[channel.guest].life == Life::Running
        })
    }

    /// Whether a host has a guest that lives, according to the kernel.
    fn occupied(&self, h: usize) -> bool {
        self.hosts[h]
            .current
            .is_some_and(|(channel, _)| self.at(channel).guest_end != End::Dead)
    }

    /// What a host answers when it asks itself whether it has a guest.
    fn says_occupied(&self, h: usize, rules: &Rules) -> Result<bool, Violation> {
        let said = match rules.broken {
            Some(Broken::WelcomesTwo) => false,
            Some(Broken::BusyWithTheDead) => self.hosts[h].current.is_some(),
            _ => self.occupied(h),
        };
        if said && !self.occupied(h) {
            return Err("a guest is told Busy because of one that is dead");
        }
        Ok(said)
    }

    fn moves_of_handshake(
        &self,
        h: usize,
        place: usize,
        handshake: Handshake,
        moves: &mut Moves<'_>,
    ) {
        let (rules, terms) = (*moves.rules, moves.terms);
        let label = |what| (what, h as u8);
        let Handshake { channel: c, state } = handshake;
        let mut machine = HostMachine::new(&terms.name, &terms.options);
        machine.state = state;
        let fails = |w: &mut World, reason: Reason| {
            w.send_to_guest(c, Packet::Refuse(reason));
            w.hosts[h].take_out(place);
            w.close_host_end(c, End::Closed);
            Ok(())
        };
        let goes_on = |w: &mut World, mut machine: HostMachine<'_>| {
            self.host_alone(&mut machine, &rules, terms)?;
            if let Some(handshake) = &mut w.hosts[h].handshakes[place] {
                handshake.state = machine.state;
            }
            if let (HostState::AwaitKnock, HostState::Ask(_)) = (state, machine.state) {
                w.hosts[h].joins_line(place);
            }
            Ok(())
        };
        let step = Kind::Step;
        match machine.next() {
            Act::Receive => {
                self.receives(
                    c,
                    Towards::Host,
                    moves,
                    label("host receives"),
                    |w, delivery| {
                        let Delivery::Packet(mut packet) = delivery else {
                            return fails(w, Reason::Protocol);
                        };
                        let awaited = match machine.state {
                            HostState::AwaitAck(_, shape) => Some(shape.id[0]),
                            _ => None,
                        };
                        let told = packet;
                        if let (Packet::Ack(id), Some(awaited)) = (&mut packet, awaited)
                            && rules.is(Broken::AnyAck)
                        {
                            *id = awaited;
                        }
                        match machine.received(&packet.message(terms).encode()) {
                            Ok(()) if awaited.is_some_and(|id| told != Packet::Ack(id)) => {
                                Err("a host takes a guest that has not mapped its memory")
                            }
                            Ok(()) => goes_on(w, machine),
                            Err(e) => fails(w, Reason::of(e.kind())),
                        }
                    },
                );
                if !rules.is(Broken::HostWithoutDeadline) {
                    moves.add(self, Kind::Deadline, label("host waits no longer"), |w| {
                        fails(w, Reason::of(ErrorKind::TimedOut))
                    });
                }
            }
            act @ (Act::AskTurn | Act::AwaitTurn) => {
                let turn = match self.turn(h, place, &rules) {
                    Ok(turn) => turn,
                    Err(violation) => {
                        moves.violation = Some((label("host looks for its guest"), violation));
                        return;
                    }
                };
                let forgets = act == Act::AwaitTurn && rules.is(Broken::ForgetsWaiters);
                if let (Turn::Later(_), true) = (turn, rules.is(Broken::BusyForEver)) {
                    moves.add(self, step, label("host refuses"), |w| {
                        fails(w, Reason::Busy)
                    });
                    return;
                }
                let goes = match turn {
                    Turn::Now => !forgets,
                    Turn::Soon => false,
                    Turn::Later(_) => act == Act::AskTurn,
                };
                if goes {
                    moves.add(self, step, label("host takes the next"), |w| {
                        machine.asked(turn);
                        goes_on(w, machine)
                    });
                }
                if self.at(c).guest_end != End::Open {
                    moves.add(self, step, label("host notices that a guest went"), |w| {
                        fails(w, Reason::Protocol)
                    });
                }
            }
            Act::Send(Message::Wait { .. }) => {
                moves.add(self, step, label("host sends WAIT"), |w| {
                    if !w.send_to_guest(c, Packet::Wait) {
                        return fails(w, Reason::Protocol);
                    }
                    machine.sent();
                    goes_on(w, machine)
                })
            }
            Act::SendOffer(message) => moves.add(self, step, label("host sends HELLO"), |w| {
                let Message::Hello { shape, .. } = message else {
                    return Err("a host offers without HELLO");
                };
                if !w.send_to_guest(c, Packet::Hello(shape.id[0], shape.id[0])) {
                    return fails(w, Reason::Protocol);
                }
                machine.sent();
                goes_on(w, machine)
            }),
            // The driver chooses: the first that is ready wins.
            Act::Done => moves.add(self, step, label("host chooses"), |w| {
                let HostState::Ready(ready) = machine.state else {
                    return Err("a host is done too early");
                };
                if self.says_occupied(h, &rules)? {
                    machine.passed_over(1);
                    return goes_on(w, machine);
                }
                if self.passes_over(h, place) {
                    return Err("a guest that waits is passed over");
                }
                w.hosts[h].take_out(place);
                let Message::Welcome { id } = ready.welcome() else {
                    return Err("a host welcomes without WELCOME");
                };
                if !w.send_to_guest(c, Packet::Welcome(id[0])) {
                    w.close_host_end(c, End::Closed);
                    return Ok(());
                }
                // A guest whose end had not been noticed yet.
                if let Some((old, _)) = w.hosts[h].current.replace((c, id[0])) {
                    if w.at(old).guest_end == End::Open {
                        return Err("a host leaves a live guest for another");
                    }
                    w.close_host_end(old, End::Closed);
                }
                Ok(())
            }),
            act => panic!("a host has no use for {act:?}"),
        }
    }

    // What a guest does.

    fn moves_of_guest(&self, g: usize, moves: &mut Moves<'_>) {
        let label = |what| (what, g as u8);
        match self.guests[g].stage {
            Stage::Look => {
                let Some(h) = self.reached else { return };
                if self.hosts[h].queue[QUEUE - 1].is_some() {
                    return;
                }
                let (rules, terms) = (*moves.rules, moves.terms);
                moves.add(self, Kind::Step, label("guest calls"), |w| {
                    let free = w.channels.iter().position(Option::is_none);
                    let c = free.ok_or("channels pile up")?;
                    w.channels[c] = Some(Channel {
                        host: h,
                        guest: g,
                        host_end: End::Open,
                        guest_end: End::Open,
                        to_host: [None; PACKETS],
                        to_guest: [None; PACKETS],
                    });
                    let end = w.hosts[h].queue.iter().position(Option::is_none);
                    w.hosts[h].queue[end.ok_or("callers pile up")?] = Some(c);
                    let mut machine = GuestMachine::new(&terms.name, &terms.options);
                    guest_alone(&mut machine, None, &rules, terms)
                        .map_err(|()| "a guest does not call")?;
                    w.guests[g].stage = Stage::Shaking {
                        channel: c,
                        state: machine.state,
                        memory: None,
                    };
                    Ok(())
                });
            }
            Stage::Shaking {
                channel,
                state,
                memory,
            } => self.moves_of_shaking(g, (channel, state, memory), moves),
            Stage::Up { channel, .. } => {
                if self.at(channel).host_end != End::Open && !moves.rules.is(Broken::DeafGuest) {
                    moves.add(self, Kind::Step, label("guest notices the end"), |w| {
                        w.leave_guest(g, End::Closed);
                        Ok(())
                    });
                }
            }
        }
    }

    fn moves_of_shaking(
        &self,
        g: usize,
        (c, state, memory): (usize, GuestState, Option<Id>),
        moves: &mut Moves<'_>,
    ) {
        let (rules, terms) = (*moves.rules, moves.terms);
        let label = |what| (what, g as u8);
        let mut machine = GuestMachine::new(&terms.name, &terms.options);
        machine.state = state;
        let fails = |w: &mut World, refuses: bool| {
            if refuses {
                w.send_to_host(c, Packet::Refuse(Reason::Protocol));
            }
            w.leave_guest(g, End::Closed);
            Ok(())
        };
        let goes_on = |w: &mut World, mut machine: GuestMachine<'_>, memory: Option<Id>| {
            if guest_alone(&mut machine, memory, &rules, terms).is_err() {
                return fails(w, machine.refuses());
            }
            let early = matches!(machine.state, GuestState::AwaitWelcome(..))
                && rules.is(Broken::NoWelcome);
            w.guests[g].stage = match (machine.next(), memory) {
                (Act::Done, Some(memory)) => Stage::Up { channel: c, memory },
                (_, Some(memory)) if early => Stage::Up { channel: c, memory },
                _ => Stage::Shaking {
                    channel: c,
                    state: machine.state,
                    memory,
                },
            };
            Ok(())
        };
        let step = Kind::Step;
        match machine.next() {
            Act::Send(message) => {
                let packet = match message {
                    Message::Knock { .. } => Packet::Knock,
                    Message::Ack { id } => Packet::Ack(id[0]),
                    other => panic!("a guest has no use for {other:?}"),
                };
                moves.add(self, step, label("guest sends"), |w| {
                    if !w.send_to_host(c, packet) {
                        return fails(w, machine.refuses());
                    }
                    machine.sent();
                    goes_on(w, machine, memory)
                });
            }
            Act::ReceiveOffer | Act::Receive => {
                let waits = matches!(machine.state, GuestState::Wait(_));
                let told = self.at(c).to_guest[0].is_some();
                if waits && !told && rules.is(Broken::DeafWaiter) {
                    return;
                }
                self.receives(
                    c,
                    Towards::Guest,
                    moves,
                    label("guest receives"),
                    |w, delivery| {
                        let Delivery::Packet(mut packet) = delivery else {
                            return fails(w, machine.refuses());
                        };
                        let awaited = match machine.state {
                            GuestState::AwaitWelcome(_, shape) => Some(shape.id[0]),
                            _ => None,
                        };
                        let told = packet;
                        if let (Packet::Welcome(id), Some(awaited)) = (&mut packet, awaited)
                            && rules.is(Broken::AnyWelcome)
                        {
                            *id = awaited;
                        }
                        let memory = match packet {
                            Packet::Hello(_, memory) => Some(memory),
                            _ => memory,
                        };
                        let answers = |id| told == Packet::Welcome(id) || told == Packet::Wait;
                        match machine.received(&packet.message(terms).encode()) {
                            Ok(()) if awaited.is_some_and(|id| !answers(id)) => {
                                Err("a guest takes a welcome to another connection")
                            }
                            Ok(()) => {
                                let waits = matches!(machine.state, GuestState::Wait(_));
                                goes_on(w, machine, memory.filter(|_| !waits))
                            }
                            Err(_) => fails(w, machine.refuses()),
                        }
                    },
                );
                if !waits {
                    moves.add(self, Kind::Deadline, label("guest waits no longer"), |w| {
                        fails(w, machine.refuses())
                    });
                }
            }
            act => panic!("a guest has no use for {act:?}"),
        }
    }

    // The kernel.

    /// A wait for a packet. If the other end is closed, everything sent before may be read, or it
    /// may be lost with it.
    fn receives(
        &self,
        c: usize,
        towards: Towards,
        moves: &mut Moves<'_>,
        label: Label,
        mut then: impl FnMut(&mut World, Delivery) -> Result<(), Violation>,
    ) {
        let channel = self.at(c);
        let (packets, end) = match towards {
            Towards::Host => (&channel.to_host, channel.guest_end),
            Towards::Guest => (&channel.to_guest, channel.host_end),
        };
        if let Some(packet) = packets[0] {
            moves.add(self, Kind::Step, label, |w| {
                let channel = w.channel(c);
                let packets = match towards {
                    Towards::Host => &mut channel.to_host,
                    Towards::Guest => &mut channel.to_guest,
                };
                packets[0] = None;
                packets.rotate_left(1);
                then(w, Delivery::Packet(packet))
            });
        }
        if end != End::Open {
            moves.add(self, Kind::Step, label, |w| then(w, Delivery::End));
        }
    }

    fn at(&self, c: usize) -> &Channel {
        self.channels[c].as_ref().expect("a channel in use")
    }

    fn channel(&mut self, c: usize) -> &mut Channel {
        self.channels[c].as_mut().expect("a channel in use")
    }

    /// Whether the guest is there to get it.
    fn send_to_guest(&mut self, c: usize, packet: Packet) -> bool {
        let channel = self.channel(c);
        let there = channel.guest_end == End::Open;
        if there {
            put(&mut channel.to_guest, packet);
        }
        there
    }

    fn send_to_host(&mut self, c: usize, packet: Packet) -> bool {
        let channel = self.channel(c);
        let there = channel.host_end == End::Open;
        if there {
            put(&mut channel.to_host, packet);
        }
        there
    }

    fn close_host_end(&mut self, c: usize, how: End) {
        let channel = self.channel(c);
        if channel.host_end != End::Dead {
            channel.host_end = how;
        }
        channel.to_host = [None; PACKETS];
        self.forget(c);
    }

    fn close_guest_end(&mut self, c: usize, how: End) {
        let channel = self.channel(c);
        if channel.guest_end != End::Dead {
            channel.guest_end = how;
        }
        channel.to_guest = [None; PACKETS];
        self.forget(c);
    }

    /// A channel without ends no longer exists.
    fn forget(&mut self, c: usize) {
        let channel = self.at(c);
        if channel.host_end != End::Open && channel.guest_end != End::Open {
            self.channels[c] = None;
        }
    }

    /// Everything that a host has is released: its process has ended, or its link has been closed.
    fn leave_host(&mut self, h: usize, how: End) {
        for c in 0..CHANNELS {
            if self.channels[c].is_some_and(|channel| {
                channel.host == h && (channel.host_end == End::Open || how == End::Dead)
            }) {
                self.close_host_end(c, how);
            }
        }
        if self.lock == Lock::Held(h) {
            self.lock = Lock::Free;
        }
        if self.reached == Some(h) {
            self.reached = None;
        }
        self.hosts[h] = Host {
            life: self.hosts[h].life,
            ..World::new().hosts[h]
        };
    }

    fn leave_guest(&mut self, g: usize, how: End) {
        for c in 0..CHANNELS {
            if self.channels[c].is_some_and(|channel| {
                channel.guest == g && (channel.guest_end == End::Open || how == End::Dead)
            }) {
                self.close_guest_end(c, how);
            }
        }
        self.guests[g].stage = Stage::Look;
    }

    /// The lowest identity that nobody knows.
    fn unused_id(&self) -> Id {
        let mut used = [false; 32];
        self.for_each_id(|id| {
            if let Some(used) = used.get_mut(usize::from(id)) {
                *used = true;
            }
        });
        let free = (1..).zip(&used[1..]).find(|(_, used)| !**used);
        free.expect("more identities than a world can know").0
    }

    fn for_each_id(&self, mut f: impl FnMut(Id)) {
        for host in &self.hosts {
            for handshake in host.handshakes.iter().flatten() {
                f(host_code(&handshake.state).1);
            }
            if let Some((_, id)) = host.current {
                f(id);
            }
        }
        for guest in &self.guests {
            match guest.stage {
                Stage::Look => {}
                Stage::Shaking { state, memory, .. } => {
                    f(guest_code(&state).1);
                    f(memory.unwrap_or(0));
                }
                Stage::Up { memory, .. } => f(memory),
            }
        }
        for channel in self.channels.iter().flatten() {
            for packet in channel.to_host.iter().chain(&channel.to_guest).flatten() {
                let (_, ids) = packet.code();
                f(ids.0);
                f(ids.1);
            }
        }
    }

    // What must always hold.

    pub(super) fn check(&self) -> Result<(), Violation> {
        let owners = self
            .hosts
            .iter()
            .filter(|host| host.life != Life::Dead && host.standing != Standing::Claim);
        if owners.count() > 1 {
            return Err("two hosts have the name");
        }
        let mut up = [0; HOSTS];
        for (g, guest) in self.guests.iter().enumerate() {
            let Stage::Up { channel: c, memory } = guest.stage else {
                continue;
            };
            let channel = self.at(c);
            if guest.life == Life::Dead || channel.guest != g {
                return Err("a dead guest is connected");
            }
            if channel.host_end != End::Open {
                // It has not noticed yet.
                continue;
            }
            up[channel.host] += 1;
            match self.hosts[channel.host].current {
                Some((connected, id)) if connected == c && id == memory => {}
                Some((connected, _)) if connected == c => {
                    return Err("the two sides of a connection have different memory");
                }
                _ => return Err("a guest is connected to a host that is not connected to it"),
            }
        }
        if up.iter().any(|connected| *connected > 1) {
            return Err("a host has two live connections");
        }
        self.check_memory()
    }

    /// Memory belongs to one channel: a process that has it is an end of that channel.
    fn check_memory(&self) -> Result<(), Violation> {
        let mut owner = [None; 32];
        let mut holds = |memory: Id, channel: usize| match owner.get_mut(usize::from(memory)) {
            Some(owner) if memory != 0 => *owner.get_or_insert(channel) == channel,
            _ => true,
        };
        let mut all = true;
        for host in &self.hosts {
            for handshake in host.handshakes.iter().flatten() {
                all &= holds(host_code(&handshake.state).1, handshake.channel);
            }
            if let Some((channel, id)) = host.current {
                all &= holds(id, channel);
            }
        }
        for guest in &self.guests {
            match guest.stage {
                Stage::Look => {}
                Stage::Shaking {
                    channel, memory, ..
                } => all &= holds(memory.unwrap_or(0), channel),
                Stage::Up { channel, memory } => all &= holds(memory, channel),
            }
        }
        if all {
            Ok(())
        } else {
            Err("memory of one connection is used for another")
        }
    }

    /// Whether there are a host and a guest that can run, and no stopped process is in the way.
    pub(super) fn must_connect(&self) -> bool {
        let owner = self
            .hosts
            .iter()
            .find(|host| host.life != Life::Dead && host.standing != Standing::Claim);
        let host = match owner {
            Some(host) => host.life == Life::Running,
            None => self.hosts.iter().any(|host| host.life == Life::Running),
        };
        host && self.guests.iter().any(|guest| guest.life == Life::Running)
    }

    /// Whether a host has a guest that lives and knows it, or has the packet that tells it so, or cannot
    /// look because it is stopped.
    pub(super) fn is_connected(&self) -> bool {
        self.hosts.iter().any(|host| {
            let Some((c, _)) = host.current else {
                return false;
            };
            let channel = self.at(c);
            let guest = &self.guests[channel.guest];
            let knows = match guest.stage {
                Stage::Up { channel, .. } => channel == c,
                _ => {
                    guest.life == Life::Frozen
                        || matches!(channel.to_guest[0], Some(Packet::Welcome(_)))
                }
            };
            host.life != Life::Dead && channel.guest_end == End::Open && knows
        })
    }

    // One name for worlds that differ only in their numbering.

    pub(super) fn name(&self, rules: &Rules) -> u128 {
        let mut least: Option<Vec<u8>> = None;
        for hosts in &[[0, 1], [1, 0]][..rules.hosts] {
            for guests in &[[0, 1], [1, 0]][..rules.guests] {
                let name = self.written(*hosts, *guests);
                if least.as_ref().is_none_or(|least| name < *least) {
                    least = Some(name);
                }
            }
        }
        xxhash_rust::xxh3::xxh3_128(&least.unwrap_or_default())
    }

    fn written(&self, hosts: [usize; HOSTS], guests: [usize; GUESTS]) -> Vec<u8> {
        let mut pen = Pen {
            world: self,
            bytes: Vec::with_capacity(96),
            channels: Vec::new(),
            ids: vec![0],
            hosts,
            guests,
        };
        pen.byte(self.changes);
        pen.byte(match self.lock {
            Lock::Free => 8,
            Lock::Held(h) => pen.host(h),
            Lock::Stranded => 9,
        });
        pen.byte(self.reached.map_or(8, |h| pen.host(h)));
        for h in hosts {
            let host = &self.hosts[h];
            pen.byte(host.life as u8 * 4 + host.standing as u8);
            pen.byte(host.queue.iter().flatten().count() as u8);
            for c in host.queue.iter().flatten() {
                pen.channel(*c);
            }
            if let Some((c, id)) = host.current {
                pen.byte(1);
                pen.channel(c);
                pen.id(id);
            } else {
                pen.byte(0);
            }
            // By what they are, not by where they are stored, until they are in line.
            let mut handshakes: Vec<_> = host.handshakes.iter().flatten().enumerate().collect();
            handshakes.sort_by_key(|(i, handshake)| {
                let channel = self.at(handshake.channel);
                let knocked = !matches!(handshake.state, HostState::AwaitKnock);
                (
                    if knocked { i + 1 } else { 0 },
                    host_code(&handshake.state).0,
                    pen.guest(channel.guest),
                    channel.guest_end as u8,
                    channel.to_host[0].map(|packet| packet.code().0),
                    channel.to_guest[0].map(|packet| packet.code().0),
                    // The one that its guest still has, of two.
                    channel.guest_end == End::Open,
                )
            });
            pen.byte(handshakes.len() as u8);
            for (_, handshake) in handshakes {
                let (code, id) = host_code(&handshake.state);
                pen.byte(code);
                pen.channel(handshake.channel);
                pen.id(id);
            }
        }
        for g in guests {
            let guest = &self.guests[g];
            pen.byte(guest.life as u8);
            match guest.stage {
                Stage::Look => pen.byte(0),
                Stage::Shaking {
                    channel,
                    state,
                    memory,
                } => {
                    let (code, id) = guest_code(&state);
                    pen.byte(1 + code);
                    pen.channel(channel);
                    pen.id(id);
                    pen.id(memory.unwrap_or(0));
                }
                Stage::Up { channel, memory } => {
                    pen.byte(20);
                    pen.channel(channel);
                    pen.id(memory);
                }
            }
        }
        pen.bytes
    }
}

#[derive(Clone, Copy)]
enum Towards {
    Host,
    Guest,
}

/// Writes a world with channels and identities numbered as they come.
struct Pen<'a> {
    world: &'a World,
    bytes: Vec<u8>,
    channels: Vec<usize>,
    ids: Vec<Id>,
    hosts: [usize; HOSTS],
    guests: [usize; GUESTS],
}

impl Pen<'_> {
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn host(&self, h: usize) -> u8 {
        u8::from(self.hosts[0] != h)
    }

    fn guest(&self, g: usize) -> u8 {
        u8::from(self.guests[0] != g)
    }

    fn id(&mut self, id: Id) {
        let known = self.ids.iter().position(|known| *known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        self.byte(if id == LIE { LIE } else { number as u8 });
    }

    /// The whole channel where it comes first, and its number after that.
    fn channel(&mut self, c: usize) {
        if let Some(known) = self.channels.iter().position(|known| *known == c) {
            self.byte(known as u8);
            return;
        }
        self.byte(self.channels.len() as u8 + 32);
        self.channels.push(c);
        let channel = *self.world.at(c);
        self.byte(self.host(channel.host) * 2 + self.guest(channel.guest));
        self.byte(channel.host_end as u8 * 4 + channel.guest_end as u8);
        for packets in [&channel.to_host, &channel.to_guest] {
            self.byte(packets.iter().flatten().count() as u8);
            for packet in packets.iter().flatten() {
                let (code, ids) = packet.code();
                self.byte(code);
                self.id(ids.0);
                self.id(ids.1);
            }
        }
    }
}

impl Packet {
    /// The part of it that is in the packet itself.
    fn message(self, terms: &Terms) -> Message {
        match self {
            Packet::Knock => terms.knock.clone(),
            Packet::Wait => Message::Wait { place: 1 },
            Packet::Hello(id, _) => Message::Hello {
                version: 1,
                handles: false,
                max_message: terms.options.max_message,
                shape: shape(id),
            },
            Packet::Ack(id) => Message::Ack { id: [id; 16] },
            Packet::Welcome(id) => Message::Welcome { id: [id; 16] },
            Packet::Refuse(reason) => Message::Refuse {
                reason,
                text: String::new(),
            },
        }
    }

    fn code(self) -> (u8, (Id, Id)) {
        match self {
            Packet::Knock => (1, (0, 0)),
            Packet::Hello(id, memory) => (2, (id, memory)),
            Packet::Ack(id) => (3, (id, 0)),
            Packet::Welcome(id) => (4, (id, 0)),
            // The machines do not care why.
            Packet::Refuse(_) => (5, (0, 0)),
            Packet::Wait => (6, (0, 0)),
        }
    }
}

/// What a guest does that no other process can notice: it is part of the step before it. An error if
/// the machine has found one.
fn guest_alone(
    machine: &mut GuestMachine<'_>,
    memory: Option<Id>,
    rules: &Rules,
    terms: &Terms,
) -> Result<(), ()> {
    loop {
        match machine.next() {
            Act::Identify => machine.identified(&terms.peer).map_err(drop)?,
            Act::Check => machine.check().map_err(drop)?,
            Act::TakeHandover { shape, .. } => {
                // What `Segment::attach` compares.
                if memory != Some(shape.id[0]) && !rules.is(Broken::AnyMemory) {
                    return Err(());
                }
                machine.taken();
            }
            _ => return Ok(()),
        }
    }
}

fn put(packets: &mut [Option<Packet>; PACKETS], packet: Packet) {
    let free = packets.iter_mut().find(|place| place.is_none());
    *free.expect("no side has more than three packets unread") = Some(packet);
}

fn shape(id: Id) -> Shape {
    Shape {
        capacities: [4096; 2],
        id: [id; 16],
    }
}

fn toggled(life: Life, stops: &'static str, goes_on: &'static str) -> (Kind, &'static str, Life) {
    match life {
        Life::Running => (Kind::Fault, stops, Life::Frozen),
        _ => (Kind::Fate, goes_on, Life::Running),
    }
}

/// A state by number, and the identity in it.
fn host_code(state: &HostState) -> (u8, Id) {
    match state {
        HostState::Identify => (0, 0),
        HostState::AwaitKnock => (1, 0),
        HostState::Ask(_) => (2, 0),
        HostState::Make(_) => (3, 0),
        HostState::Hello(_, shape) => (4, shape.id[0]),
        HostState::AwaitAck(_, shape) => (5, shape.id[0]),
        HostState::Ready(ready) => (6, ready.id[0]),
        HostState::Tell(..) => (7, 0),
        HostState::Wait(_) => (8, 0),
    }
}

fn guest_code(state: &GuestState) -> (u8, Id) {
    match state {
        GuestState::Identify => (0, 0),
        GuestState::Knock => (1, 0),
        GuestState::AwaitHello => (2, 0),
        GuestState::Check(_, shape) => (3, shape.id[0]),
        GuestState::Map(_, shape) => (4, shape.id[0]),
        GuestState::Ack(_, shape) => (5, shape.id[0]),
        GuestState::AwaitWelcome(_, shape) => (6, shape.id[0]),
        GuestState::Up(_, shape) => (7, shape.id[0]),
        GuestState::Wait(_) => (8, 0),
    }
}
