//! For how many guests a host is.

use crate::error::{Error, ErrorKind, Result};
use crate::os::{FILES_PER_CLIENT, open_files_limit};

/// Default number of clients that a [`Listener`](crate::Listener) serves at once, if the limit of open files allows as
/// many: 1024.
///
/// ```
/// assert_eq!(twinring::DEFAULT_MAX_CLIENTS, 1024);
/// ```
pub const DEFAULT_MAX_CLIENTS: usize = 1024;

/// Open files that are left to guests that wait, and to the rest of the program.
const FOR_THE_PROGRAM: u64 = 128;

/// How many guests a host may be connected to at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeatLimit {
    /// A link's: one after the other.
    One,
    /// A listener's.
    Many { all: usize, of_user: usize },
}

impl SeatLimit {
    pub(crate) fn all(self) -> usize {
        match self {
            SeatLimit::One => 1,
            SeatLimit::Many { all, .. } => all,
        }
    }

    pub(crate) fn of_user(self) -> usize {
        match self {
            SeatLimit::One => 1,
            SeatLimit::Many { of_user, .. } => of_user,
        }
    }

    /// Of a listener: the program's limits, or else as many as this process may have.
    pub(crate) fn many(limits: Option<(usize, usize)>) -> Result<SeatLimit> {
        let most = open_files_limit().map_or(usize::MAX, |limit| {
            usize::try_from(limit.saturating_sub(FOR_THE_PROGRAM) / FILES_PER_CLIENT)
                .unwrap_or(usize::MAX)
        });
        let Some((all, of_user)) = limits else {
            let all = DEFAULT_MAX_CLIENTS.min(most).max(1);
            return Ok(SeatLimit::Many { all, of_user: all });
        };
        if all == 0 || of_user == 0 {
            return Err(Error::new(
                ErrorKind::InvalidOption,
                "max_clients is 0, so nobody could connect",
            ));
        }
        if all > most {
            let (limit, need) = (
                open_files_limit().unwrap_or(u64::MAX),
                (all as u64)
                    .saturating_mul(FILES_PER_CLIENT)
                    .saturating_add(FOR_THE_PROGRAM),
            );
            return Err(Error::new(
                ErrorKind::OutOfHandles,
                format!(
                    "max_clients is {all}, for which this process needs {need} open files, but may have {limit}; \
                     raise the limit (`ulimit -n`, LimitNOFILE= of systemd) or lower max_clients to {most}"
                ),
            ));
        }
        Ok(SeatLimit::Many { all, of_user })
    }
}
