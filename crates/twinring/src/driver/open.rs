//! Opening a link.

use std::sync::Arc;

use super::callbacks::{self, Callbacks};
use super::core::Core;
use super::guest::{Guest, GuestEndpoint};
use super::host::Host;
use super::host_endpoint::HostEndpoint;
use super::link_task::{LinkTask, Readiness};
use super::registration::Registration;
use super::threads::spawn;
use crate::error::Result;
use crate::os::process::as_itself;
use crate::os::system_error;
use crate::segment::Side;
use crate::transfer::{Name, Options, Share};

/// Opens a link. The claim on the name, or the place of it, is taken here, so that errors with them
/// are returned at once, and a guest makes its first attempt; the driver does the rest.
pub(crate) fn open<C: From<Arc<Share>> + 'static>(
    name: Name,
    options: Options,
    callbacks: Callbacks<C>,
) -> Result<Arc<Core>> {
    let registration = Registration::new()?;
    match options.side {
        Side::Host => {
            // The thread is running by the time the memory for the first guest has been created.
            registration.start_thread()?;
            let endpoint = itself(|| HostEndpoint::open(&registration, &name, &options))?;
            let core = make_core(&registration, name, options, callbacks)?;
            let starter = registration.starter();
            starter.begin(Host::new(&core, endpoint, registration));
            Ok(core)
        }
        Side::Guest => {
            let endpoint = itself(|| GuestEndpoint::new(&registration, &name, &options))?;
            let core = make_core(&registration, name, options, callbacks)?;
            let starter = registration.starter();
            let mut guest = Guest::new(&core, endpoint, registration);
            guest.try_at_once();
            if let Err(e) = starter.start_thread() {
                core.give_up();
                // Says goodbye, if there is a peer already.
                guest.poll(&Readiness::default());
                return Err(e);
            }
            starter.begin(guest);
            Ok(core)
        }
    }
}

fn itself<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    as_itself(f).map_err(|e| system_error("cannot start a thread that acts for this process", e))?
}

fn make_core<C: From<Arc<Share>> + 'static>(
    registration: &Registration,
    name: Name,
    options: Options,
    mut callbacks: Callbacks<C>,
) -> Result<Arc<Core>> {
    let any = callbacks.any();
    let on_error = callbacks.on_error.take();
    let core = Core::new(name, options, registration.notifier(), any, on_error)?;
    let core = Arc::new(core);
    if any {
        let core = core.clone();
        spawn("twinring-calls", move || callbacks::run(&core, callbacks))?;
    }
    Ok(core)
}
