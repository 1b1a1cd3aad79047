//! Windows: an event for each name, set when a host of it begins to listen. A host has nothing to
//! guard: the kernel's names stay for as long as their objects.

use std::io;
use std::sync::Arc;

use crate::os::endpoint::Rendezvous;
use crate::os::endpoint::sys::HostNotice;
use crate::os::event::{Poller, Watched};

#[derive(Debug)]
pub(crate) struct NameWatcher;

impl NameWatcher {
    pub(crate) fn new(_: &Poller, _: u64) -> io::Result<NameWatcher> {
        Ok(NameWatcher)
    }

    pub(crate) fn watch(
        &self,
        poller: &Poller,
        place: &Rendezvous,
        token: u64,
    ) -> io::Result<NameWatch> {
        if !place.is_guest() {
            return Ok(NameWatch::Host);
        }
        let Ok(notice) = place.notice() else {
            return Ok(NameWatch::Blind);
        };
        let notice = Arc::new(notice);
        let watched = poller.watch(&notice, HostNotice::source, token)?;
        Ok(NameWatch::Guest { notice, watched })
    }

    /// The poller reports the events themselves.
    pub(crate) fn changed(&self, _: &mut Vec<u64>) {}
}

#[derive(Debug)]
pub(crate) enum NameWatch {
    /// There is nothing that could be changed.
    Host,
    Guest {
        notice: Arc<HostNotice>,
        watched: Watched<HostNotice>,
    },
    /// There can be no such event: the host may be another user's.
    Blind,
}

impl NameWatch {
    /// Another guest may still be asleep when we clear the event that both wait for; it then finds the
    /// host at its next look.
    pub(crate) fn renew(&mut self) {
        if let NameWatch::Guest { notice, watched } = self {
            notice.clear();
            // It cannot fail, and each guest looks now and then.
            let _ = watched.again();
        }
    }

    pub(crate) fn is_blind(&self) -> bool {
        matches!(self, NameWatch::Blind)
    }
}
