//! A service that takes stock of a folder: it hashes every file in it, and shows its GUI how far it is.

mod args;
mod job;
mod log;
mod os;
mod run;
mod service;

use std::sync::mpsc;

use args::{Action, Args};
use clap::Parser;
use service::Service;

fn main() -> anyhow::Result<()> {
    // A service that has lost a thread looks alive and is not: it ends, and its manager starts it again.
    std::panic::set_hook(Box::new(|panic| {
        log::line(panic);
        std::process::abort();
    }));
    match Args::parse().action {
        Action::Run(options) => {
            let (stop, stopped) = mpsc::channel();
            // Ctrl-C, and on Linux SIGTERM, by which systemd stops it.
            ctrlc::set_handler(move || {
                let _ = stop.send(());
            })?;
            Service::open(&options)?.run(&stopped);
            Ok(())
        }
        Action::Manage(action) => os::manage(action),
    }
}
