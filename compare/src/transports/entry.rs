//! A transport with its settings, and what one end of it does.

use crate::cell::{Spec, Workload};
use crate::common::{MIB, Result};
use crate::control::{Control, Role};
use crate::link::Transport;
use crate::workloads::play;

/// How a transport waits; tells what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Spins for ever: never idle.
    Spins,
    /// Sleeps, at once or after a while.
    Sleeps,
}

type Start = dyn Fn(Role, &Spec, &Control) -> Result<()>;

/// One transport with its settings.
pub(crate) struct Entry {
    /// On the command line and in the rows.
    pub(crate) name: &'static str,
    /// In tables.
    pub(crate) title: &'static str,
    /// Everything that was chosen, for the report.
    pub(crate) settings: &'static str,
    pub(crate) waits: Waits,
    /// The longest message that it carries whole.
    longest: usize,
    /// It is measured with one link only.
    one_link: bool,
    /// It measures only some workloads, and why.
    only: Option<(&'static [Workload], &'static str)>,
    /// What one end does.
    pub(crate) start: Box<Start>,
}

impl Entry {
    /// A transport that carries messages.
    pub(super) fn new(
        name: &'static str,
        title: &'static str,
        waits: Waits,
        transport: impl Transport,
        settings: &'static str,
    ) -> Entry {
        let start =
            move |role, spec: &Spec, control: &Control| play(&transport, role, spec, control);
        Entry::acting(name, title, waits, start, settings)
    }

    /// A transport whose ends do something of their own.
    pub(super) fn acting(
        name: &'static str,
        title: &'static str,
        waits: Waits,
        start: impl Fn(Role, &Spec, &Control) -> Result<()> + 'static,
        settings: &'static str,
    ) -> Entry {
        Entry {
            name,
            title,
            settings,
            waits,
            longest: usize::MAX,
            one_link: false,
            only: None,
            start: Box::new(start),
        }
    }

    /// What carries no messages, and is measured only to know how fast others could be.
    pub(super) fn limit(
        name: &'static str,
        title: &'static str,
        workloads: &'static [Workload],
        start: impl Fn(Role, &Spec, &Control) -> Result<()> + 'static,
        settings: &'static str,
    ) -> Entry {
        Entry::acting(name, title, Waits::Spins, start, settings)
            .only(workloads, "it is a limit of other things")
    }

    /// Longer messages are not for it.
    pub(super) fn longest(mut self, longest: usize) -> Entry {
        self.longest = longest;
        self
    }

    /// Many links at once are not for it.
    #[cfg(all(target_os = "linux", any(feature = "peers", feature = "peers-native")))]
    pub(super) fn one_link(mut self) -> Entry {
        self.one_link = true;
        self
    }

    /// Other workloads are not for it.
    pub(super) fn only(mut self, workloads: &'static [Workload], why: &'static str) -> Entry {
        self.only = Some((workloads, why));
        self
    }

    /// Why this transport is not measured so.
    pub(crate) fn not(&self, workload: Workload) -> Option<String> {
        if let Some((only, why)) = self.only {
            return (!only.contains(&workload)).then(|| why.into());
        }
        if workload == Workload::Footprint && self.waits == Waits::Spins {
            return Some("it spins: it is never idle".into());
        }
        if self.one_link && matches!(workload, Workload::Links(_)) {
            return Some("peers are measured with one link only".into());
        }
        let longest = workload.longest();
        (longest > self.longest).then(|| {
            let unit = if self.longest >= MIB {
                format!("{} MiB", self.longest / MIB)
            } else {
                format!("{} bytes", self.longest)
            };
            format!("its messages have at most {unit}")
        })
    }
}
