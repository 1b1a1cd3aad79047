//! Services under the service manager.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use windows_service::service::{
    ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceSidType, ServiceStartType,
    ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use crate::undo::{self, Undo};

#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    _undo: Undo,
}

impl Service {
    /// Makes a service, which does not run yet. `account`: LocalSystem if there is none.
    pub(crate) fn create(
        name: &str,
        account: Option<&str>,
        sid: ServiceSidType,
        program: &Path,
        arguments: &[String],
    ) -> anyhow::Result<Service> {
        let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let manager = ServiceManager::local_computer(None::<&str>, access)?;
        let info = ServiceInfo {
            name: name.into(),
            display_name: format!("{name} (temporary, of twinring)").into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Ignore,
            executable_path: program.to_owned(),
            launch_arguments: arguments.iter().map(OsString::from).collect(),
            dependencies: Vec::new(),
            account_name: account.map(OsString::from),
            account_password: None,
        };
        let service = manager.create_service(&info, ServiceAccess::CHANGE_CONFIG)?;
        let removed = name.to_owned();
        let undo = undo::at_the_end(format!("service {name}"), move || remove(&removed));
        if sid != ServiceSidType::None {
            service.set_config_service_sid_info(sid)?;
        }
        Ok(Service {
            name: name.to_owned(),
            _undo: undo,
        })
    }

    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
        manager
            .open_service(&self.name, ServiceAccess::START)?
            .start::<&str>(&[])?;
        Ok(())
    }
}

/// The SID of the service of this name, whether there is one or not.
pub(crate) fn service_sid(name: &str) -> anyhow::Result<String> {
    let output = Command::new("sc.exe").args(["showsid", name]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sid = text
        .split_whitespace()
        .find(|word| word.starts_with("S-1-5-80-"));
    sid.map(str::to_owned)
        .with_context(|| format!("sc showsid: {}", text.trim()))
}

fn remove(name: &str) -> anyhow::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    let access = ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE;
    let service = manager.open_service(name, access)?;
    // It fails if the service does not run.
    let _ = service.stop();
    for _ in 0..100 {
        if service.query_status()?.current_state == ServiceState::Stopped {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(service.delete()?)
}
