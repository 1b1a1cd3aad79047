//! The service: a job, and the link by which a GUI sees and steers it.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use inventory::{Command, decode, encode};
use twinring::{Link, Status};

use crate::args::Options;
use crate::job::Job;
use crate::log;

/// The ring has room for a dozen snapshots. A GUI that then reads nothing for so long is stopped, in a debugger perhaps: it
/// must give way to the next.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Service {
    job: Arc<Job>,
    link: Link,
}

impl Service {
    pub(crate) fn open(options: &Options) -> anyhow::Result<Service> {
        if let Some(path) = &options.log {
            log::append_to(path)?;
        }
        let folder = options.folder.display();
        // Or there would be nothing in it, which looks like success.
        fs::read_dir(&options.folder)
            .with_context(|| format!("cannot read the folder {folder}"))?;
        let job = Arc::new(Job::new(options.folder.clone(), options.limit * 1024));
        let link = open_link(options, &job)?;
        log::line(format_args!("serving {folder}"));
        Ok(Service { job, link })
    }

    /// Until something comes by `stopped`, or its other end has gone.
    pub(crate) fn run(self, stopped: &Receiver<()>) {
        thread::scope(|scope| {
            scope.spawn(|| self.job.work());
            scope.spawn(|| self.show());
            let _ = stopped.recv();
            self.job.quit();
            self.link.close(0, "the service was stopped");
        });
        log::line("stopped");
    }

    /// Sends what the job says to the GUI of the moment, if there is one. Nobody else sends, so no state comes after a
    /// newer one.
    fn show(&self) {
        while let Some(snapshot) = self.job.next_snapshot() {
            let Status::Connected(conn) = self.link.status() else {
                continue;
            };
            // Other errors say that it has gone. The next gets the state as it is then.
            if let Err(e) = conn.within(PATIENCE).send(&encode(&snapshot))
                && e.is_timeout()
            {
                conn.close(1, "the GUI does not read");
            }
        }
    }
}

fn open_link(options: &Options, job: &Arc<Job>) -> anyhow::Result<Link> {
    let users = options.users.clone();
    let (shown, commanded) = (job.clone(), job.clone());
    let link = options
        .meeting
        .host()
        .ring_capacity(16 * 1024)
        .max_message(1024)
        .admit(move |peer| users.is_empty() || users.contains(&peer.user))
        .on_status(move |status| {
            log::line(status);
            if status.is_connected() {
                shown.show_again();
            }
        })
        .on_message(move |conn, message| match decode::<Command>(message) {
            Ok(command) => commanded.command(command),
            Err(e) => conn.close(1, &format!("not a command: {e}")),
        })
        .on_error(|e| log::line(e))
        .open()?;
    Ok(link)
}
