//! The options of a link.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::admit::Admit;
use super::seat_limit::SeatLimit;
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::RendezvousOptions;
use crate::os::handles::MAX_HANDLES;
use crate::os::memory::Pages;
use crate::os::process::Access;
use crate::segment::{CAPACITIES, Side};

/// Default capacity of a ring: 1 MiB for each direction.
///
/// ```
/// assert!(twinring::DEFAULT_RING_CAPACITY.is_power_of_two());
/// ```
pub const DEFAULT_RING_CAPACITY: u64 = 1024 * 1024;
/// Default capacity of a ring of a [`Listener`](crate::Listener)'s: 64 KiB for each direction of each client.
///
/// ```
/// assert!(twinring::DEFAULT_CLIENT_RING_CAPACITY < twinring::DEFAULT_RING_CAPACITY);
/// ```
pub const DEFAULT_CLIENT_RING_CAPACITY: u64 = 64 * 1024;
/// Default length of the longest message that is received: 1 GiB.
///
/// ```
/// assert_eq!(twinring::DEFAULT_MAX_MESSAGE, 1 << 30);
/// ```
pub const DEFAULT_MAX_MESSAGE: u64 = 1024 * 1024 * 1024;
/// Default time that a handshake may take.
///
/// ```
/// assert_eq!(twinring::DEFAULT_HANDSHAKE_TIMEOUT.as_secs(), 5);
/// ```
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How calls wait for the peer.
///
/// ```
/// assert_eq!(twinring::Wait::default(), twinring::Wait::Adaptive);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Sleep at once: least processor time, highest latency.
    Sleep,
    /// Spin for as long as it has paid lately, up to 80 µs, then sleep: an idle link uses no
    /// processor time, a busy one answers in well under a microsecond. While more threads want to run
    /// than there are processors, and where there is only one processor, sleep at once.
    #[default]
    Adaptive,
    /// Spin until there is something: lowest latency, one processor busy per waiting thread.
    Spin,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) side: Side,
    pub(crate) ring_capacity: u64,
    pub(crate) max_message: u64,
    pub(crate) max_stream: u64,
    /// The most handles that this side receives with a message.
    pub(crate) max_handles: u32,
    pub(crate) wait: Wait,
    pub(crate) access: Access,
    /// The program decides about each peer that the access lets in.
    pub(crate) admit: Option<Arc<Admit>>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pages: Pages,
    /// Messages go to a callback.
    pub(crate) callback: bool,
    /// The program vouches for its peers: they do not touch what they have sent.
    pub(crate) trusts_peer: bool,
    /// The link connects once.
    pub(crate) one_connection: bool,
    /// For how many guests at once, if it is a host's.
    pub(crate) seats: SeatLimit,
    /// A guest's number, as [`Peer::client`](crate::Peer::client) tells it; zeros for none.
    pub(crate) client: [u8; 16],
}

impl Options {
    pub(crate) fn new(side: Side) -> Options {
        Options {
            side,
            ring_capacity: DEFAULT_RING_CAPACITY,
            max_message: DEFAULT_MAX_MESSAGE,
            max_stream: u64::MAX,
            max_handles: 0,
            wait: Wait::default(),
            access: Access::default(),
            admit: None,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            directory: None,
            pages: Pages::Reserved,
            callback: false,
            trusts_peer: false,
            one_connection: false,
            seats: SeatLimit::One,
            client: [0; 16],
        }
    }

    pub(crate) fn rendezvous(&self) -> RendezvousOptions {
        RendezvousOptions {
            directory: self.directory.clone(),
            is_guest: self.side == Side::Guest,
            access: self.access.clone(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidOption, what));
        let capacity = self.ring_capacity;
        if !CAPACITIES.contains(&capacity) || !capacity.is_power_of_two() {
            return wrong(format!(
                "ring_capacity is {capacity}; it must be a power of two from 4096 (4 KiB) to 1073741824 (1 GiB)"
            ));
        }
        if self.max_handles > MAX_HANDLES {
            return wrong(format!(
                "max_handles is {}; a message carries at most {MAX_HANDLES}",
                self.max_handles
            ));
        }
        if self.handshake_timeout.is_zero() {
            return wrong("handshake_timeout is zero, so no handshake could succeed".into());
        }
        if self
            .directory
            .as_ref()
            .is_some_and(|path| !path.is_absolute())
        {
            return wrong("directory is not an absolute path".into());
        }
        self.access.check(self.side == Side::Host)
    }
}
