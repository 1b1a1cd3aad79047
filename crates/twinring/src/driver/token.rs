//! What the poller reports: an event of a link.

use crate::os::event::MAX_TOKENS;

/// What can happen to a link. Events of an earlier peer must not be taken for the present one's, so each
/// watch of a peer has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// A guest calls.
    Called,
    /// Something has changed at the place of the name.
    Name,
    /// A handshake can go on.
    Handshake,
    /// The peer of this watch hung up.
    HungUp(u32),
    /// The process of this watch may have ended; the kernel has to be asked.
    Ended(u32),
    /// Another thread asks for a look at the link.
    Notified,
    /// Another thread asks for a look at the connection of this watch.
    PeerNotified(u32),
    /// The peer of this watch has rung for data.
    DataRung(u32),
    /// The peer of this watch has rung for room.
    SpaceRung(u32),
    /// Nothing could be reported for a while: anything may have happened.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) link: u64,
    pub(super) event: EventKind,
}

/// Numbers of watches start again after this one.
const MAX_WATCH: u32 = u32::MAX >> 4;

/// The number of the watch over the connection with this id.
pub(super) fn watch_number(id: u64) -> u32 {
    id as u32 & MAX_WATCH
}

/// Links of one driver have ids from 1 to below this.
pub(super) const MAX_LINKS: u64 = MAX_TOKENS >> 32;

/// The name watcher's token: no link has the id 0.
pub(super) const NAME_WATCHER: u64 = 0;

impl Token {
    /// The link in the upper half, then the number of the watch, then the event in 4 bits.
    pub(super) fn encode(self) -> u64 {
        let (watch, event) = match self.event {
            EventKind::Called => (0, 0),
            EventKind::Name => (0, 1),
            EventKind::Handshake => (0, 2),
            EventKind::HungUp(watch) => (watch & MAX_WATCH, 3),
            EventKind::Ended(watch) => (watch & MAX_WATCH, 4),
            EventKind::Notified => (0, 5),
            EventKind::PeerNotified(watch) => (watch & MAX_WATCH, 6),
            EventKind::Any => (0, 7),
            EventKind::DataRung(watch) => (watch & MAX_WATCH, 8),
            EventKind::SpaceRung(watch) => (watch & MAX_WATCH, 9),
        };
        self.link << 32 | u64::from(watch) << 4 | event
    }

    pub(super) fn decode(token: u64) -> Token {
        let watch = (token as u32) >> 4;
        let event = match token & 15 {
            0 => EventKind::Called,
            1 => EventKind::Name,
            2 => EventKind::Handshake,
            3 => EventKind::HungUp(watch),
            4 => EventKind::Ended(watch),
            5 => EventKind::Notified,
            6 => EventKind::PeerNotified(watch),
            8 => EventKind::DataRung(watch),
            9 => EventKind::SpaceRung(watch),
            _ => EventKind::Any,
        };
        let link = token >> 32;
        Token { link, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_what_was_put_into_them() {
        let events = [
            EventKind::Called,
            EventKind::Name,
            EventKind::Handshake,
            EventKind::HungUp(0),
            EventKind::HungUp(MAX_WATCH),
            EventKind::Ended(7),
            EventKind::Notified,
            EventKind::PeerNotified(MAX_WATCH),
            EventKind::Any,
            EventKind::DataRung(MAX_WATCH),
            EventKind::SpaceRung(3),
        ];
        for link in [1, 77, MAX_LINKS - 1] {
            for event in events {
                let token = Token { link, event };
                assert_eq!(Token::decode(token.encode()), token);
                assert_ne!(token.encode(), NAME_WATCHER);
                assert!(token.encode() < MAX_TOKENS);
            }
        }
    }
}
