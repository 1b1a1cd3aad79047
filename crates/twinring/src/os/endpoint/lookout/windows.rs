//! Windows: an event for each name, set when a host of it begins to listen. There is nothing that a
//! host would have to guard: names of the kernel stay for as long as their objects.

use std::io;
use std::sync::Arc;

use crate::os::endpoint::Place;
use crate::os::endpoint::sys::Notice;
use crate::os::event::{Hub, Watched};

#[derive(Debug)]
pub(crate) struct Lookout;

impl Lookout {
    pub(crate) fn new(_: &Hub, _: u64) -> io::Result<Lookout> {
        Ok(Lookout)
    }

    pub(crate) fn for_host(&self, _: &Hub, _: &Place, _: u64) -> io::Result<Watch> {
        Ok(Watch { notice: None })
    }

    pub(crate) fn for_guest(&self, hub: &Hub, place: &Place, key: u64) -> io::Result<Watch> {
        let Ok(notice) = place.notice() else {
            return Ok(Watch { notice: None });
        };
        let notice = Arc::new(notice);
        let watched = hub.watch(&notice, Notice::source, key)?;
        Ok(Watch {
            notice: Some((notice, watched)),
        })
    }

    /// The hub reports the events themselves.
    pub(crate) fn changed(&self, _: &mut Vec<u64>) {}
}

#[derive(Debug)]
pub(crate) struct Watch {
    notice: Option<(Arc<Notice>, Watched<Notice>)>,
}

impl Watch {
    /// Another guest may still be asleep when we clear the event that both of us wait for; it then
    /// finds the host at its next look.
    pub(crate) fn renew(&mut self) {
        if let Some((notice, watched)) = &self.notice {
            notice.clear();
            // It cannot fail, and each guest looks now and then.
            let _ = watched.again();
        }
    }

    pub(crate) fn is_blind(&self) -> bool {
        self.notice.is_none()
    }
}
