//! A side that the service manager starts and stops.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::{define_windows_service, service_dispatcher};

use crate::args::SideArgs;

/// From the command line: what the service manager calls gets no arguments of ours.
static ARGS: OnceLock<SideArgs> = OnceLock::new();

define_windows_service!(service_main, serve_or_end);

pub(crate) fn run_as_service(args: &SideArgs) -> anyhow::Result<()> {
    ARGS.get_or_init(|| args.clone());
    // A service that has its process for itself is not asked for its name.
    Ok(service_dispatcher::start("", service_main)?)
}

fn serve_or_end(_: Vec<OsString>) {
    if serve().is_err() {
        // The service manager sees that it has ended; the proof, that the log says nothing.
        std::process::exit(2);
    }
}

fn serve() -> anyhow::Result<()> {
    let (tell, told) = mpsc::channel();
    let handler = move |control| match control {
        ServiceControl::Stop => {
            let _ = tell.send(());
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let handle = service_control_handler::register("", handler)?;
    let status = |current_state, controls_accepted| ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted,
        exit_code: ServiceExitCode::Win32(0),
        checkpoint: 0,
        wait_hint: Duration::ZERO,
        process_id: None,
    };
    handle.set_service_status(status(ServiceState::Running, ServiceControlAccept::STOP))?;
    thread::spawn(|| ARGS.get().map(super::run));
    told.recv()?;
    handle.set_service_status(status(ServiceState::Stopped, ServiceControlAccept::empty()))?;
    Ok(())
}
