//! A service of the service manager's.

use std::ffi::OsString;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use windows_service::service::{
    Service as Registered, ServiceAccess, ServiceAction, ServiceActionType, ServiceControl,
    ServiceControlAccept, ServiceErrorControl, ServiceExitCode, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus,
    ServiceType,
};
use windows_service::service_control_handler::{
    self, ServiceControlHandlerResult, ServiceStatusHandle,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use crate::args::Options;
use crate::log;
use crate::service::Service;

const NAME: &str = "TwinringInventory";
/// LocalSystem may do anything, and this service needs to read only what everybody may.
const ACCOUNT: &str = r"NT AUTHORITY\LocalService";
const A_WHILE: Duration = Duration::from_secs(30);

#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Makes it a service, which starts with Windows and again after a crash
    Install(Options),
    /// Stops it and removes it
    Uninstall,
    /// Starts it
    Start,
    /// Stops it
    Stop,
    /// What the service manager starts
    #[command(hide = true)]
    Serve(Options),
}

pub(crate) fn manage(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Install(options) => install(&options),
        Action::Uninstall => uninstall(),
        Action::Start => start(),
        Action::Stop => stop(),
        Action::Serve(options) => {
            OPTIONS.get_or_init(|| options);
            Ok(service_dispatcher::start(NAME, service_main)?)
        }
    }
}

// --- For the person at the console ---

fn install(options: &Options) -> anyhow::Result<()> {
    let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager = ServiceManager::local_computer(None::<&str>, access)?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: "Inventory (an example of twinring)".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: std::env::current_exe()?,
        launch_arguments: serve_with(options),
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    };
    // What is to restart it has to have the right to start it.
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
    let service = manager.create_service(&info, access)?;
    service.set_description("Takes stock of a folder, and shows its progress to a GUI.")?;

    let restart = |seconds| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay: Duration::from_secs(seconds),
    };
    service.update_failure_actions(ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(24 * 60 * 60)),
        reboot_msg: None,
        command: None,
        // The last one holds for all later failures as well.
        actions: Some(vec![restart(1), restart(10), restart(60)]),
    })?;
    println!("installed: {NAME}");
    Ok(())
}

/// The command line by which the service manager starts it. (All paths are absolute: it starts it elsewhere.)
fn serve_with(options: &Options) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["serve".into(), options.folder.clone().into()];
    let mut add = |option: &str, value: OsString| arguments.extend([option.into(), value]);
    add("--name", options.meeting.name.clone().into());
    add("--limit", options.limit.to_string().into());
    for user in &options.users {
        add("--for", user.to_string().into());
    }
    if let Some(log) = &options.log {
        add("--log", log.into());
    }
    if options.meeting.private {
        arguments.push("--private".into());
    }
    arguments
}

fn uninstall() -> anyhow::Result<()> {
    let service = open(ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE)?;
    if service.query_status()?.current_state != ServiceState::Stopped {
        service.stop()?;
        wait_for(&service, ServiceState::Stopped)?;
    }
    service.delete()?;
    println!("uninstalled: {NAME}");
    Ok(())
}

fn start() -> anyhow::Result<()> {
    let service = open(ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    service.start::<&str>(&[])?;
    wait_for(&service, ServiceState::Running)?;
    println!("started: {NAME}");
    Ok(())
}

fn stop() -> anyhow::Result<()> {
    let service = open(ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    service.stop()?;
    wait_for(&service, ServiceState::Stopped)?;
    println!("stopped: {NAME}");
    Ok(())
}

fn open(access: ServiceAccess) -> anyhow::Result<Registered> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    manager
        .open_service(NAME, access)
        .with_context(|| format!("cannot open the service {NAME}"))
}

fn wait_for(service: &Registered, wanted: ServiceState) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let status = service.query_status()?;
        match status.current_state {
            state if state == wanted => return Ok(()),
            ServiceState::Stopped => bail!("it has stopped: {:?}; see its log", status.exit_code),
            state if began.elapsed() > A_WHILE => bail!("it is still {state:?}"),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

// --- For the service manager ---

/// From the command line, for `serve`, which the service manager calls without them.
static OPTIONS: OnceLock<Options> = OnceLock::new();

define_windows_service!(service_main, serve);

fn serve(_: Vec<OsString>) {
    // Nobody is left to be told of an error here: without a handle there is no service manager.
    let (stop, stopped) = mpsc::channel();
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            let _ = stop.send(());
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(manager) = service_control_handler::register(NAME, handler) else {
        return;
    };
    let options = OPTIONS.get().expect("set before the service is started");
    let exit_code = match Service::open(options) {
        Ok(service) => {
            tell(manager, ServiceState::Running, ServiceExitCode::NO_ERROR);
            service.run(&stopped);
            ServiceExitCode::NO_ERROR
        }
        Err(e) => {
            log::line(format_args!("not started: {e:#}"));
            ServiceExitCode::ServiceSpecific(1)
        }
    };
    tell(manager, ServiceState::Stopped, exit_code);
}

fn tell(manager: ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) {
    let controls_accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: 0,
        wait_hint: Duration::ZERO,
        process_id: None,
    };
    if let Err(e) = manager.set_service_status(status) {
        log::line(format_args!("cannot tell the service manager: {e}"));
    }
}
