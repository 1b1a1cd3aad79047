//! The service: a job, and the link by which a GUI sees and steers it.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use inventory::{Command, decode, encode};
use twinring::{Link, Status};

use crate::args::Options;
use crate::job::Job;
use crate::log;

/// A GUI that has not read for so long after its ring was full is stopped, in a debugger perhaps. It must give way to the
/// next.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Service {
    job: Arc<Job>,
    link: Link,
}

impl Service {
    pub(crate) fn open(options: &Options) -> anyhow::Result<Service> {
        if let Some(path) = &options.log {
            log::append_to(path)?;
        }
        let job = Arc::new(Job::new(options.folder.clone(), options.limit * 1024));
        let link = open_link(options, &job)?;
        log::line(format_args!("serving {}", options.folder.display()));
        Ok(Service { job, link })
    }

    /// Until something comes by `stopped`, or its other end has gone.
    pub(crate) fn run(self, stopped: &Receiver<()>) {
        thread::scope(|scope| {
            scope.spawn(|| self.job.work());
            scope.spawn(|| self.show());
            let _ = stopped.recv();
            self.job.quit();
        });
        self.link.close(0, "the service was stopped");
        log::line("stopped");
    }

    /// Sends what the job says to the GUI of the moment, if there is one.
    fn show(&self) {
        let link = self.link.within(PATIENCE);
        while let Some(snapshot) = self.job.next_snapshot() {
            match link.send(&encode(&snapshot)) {
                Err(e) if e.is_timeout() => {
                    if let Status::Connected(conn) = link.status() {
                        conn.close(1, "the GUI does not read");
                    }
                }
                // There is none, or it is about to be told of its end. The next gets the state as it is then.
                Ok(()) | Err(_) => {}
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
        .ring_capacity(64 * 1024)
        .max_message(1024)
        .admit(move |peer| users.is_empty() || users.contains(&peer.user))
        .on_status(move |status| {
            log::line(status);
            if let Status::Connected(conn) = status {
                // At once, and not with the next change. The ring is empty, so it need not wait for room.
                let _ = conn.send(&encode(&shown.snapshot()));
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
