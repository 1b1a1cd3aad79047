//! The server: takes connections and requests itself, and has workers write the answers.

mod check;
mod client;
mod dispatcher;
mod display;
mod job;
mod relay;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use self::client::Entrance;
use self::dispatcher::Dispatcher;
use crate::files::Files;

pub use self::check::sockets_count;

/// How long to wait if no connection can be taken, mostly because there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// How a server serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is served.
    pub dir: PathBuf,
    /// Where clients come.
    pub listen: SocketAddr,
    /// Streams at once.
    pub workers: usize,
    /// Clients at once; the others wait to be taken.
    pub clients: usize,
    /// How long a client may take to say what it wants.
    pub head_within: Duration,
    /// How long a client may take nothing.
    pub stall: Duration,
    /// How long a worker may give no sign of life.
    pub silence: Duration,
    /// Whether the server writes to the sockets, and workers only read. It does so in any case where sockets do not
    /// [count](sockets_count).
    pub relay: bool,
}

/// Serves until Ctrl-C.
///
/// # Errors
/// What cannot be opened or started.
pub async fn serve(mut options: Options) -> anyhow::Result<()> {
    options.relay |= !sockets_count();
    let files = Files::open(&options.dir)
        .with_context(|| format!("cannot open {}", options.dir.display()))?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen at {}", options.listen))?;
    let (wishes, coming) = mpsc::channel(1);
    let dispatcher = Dispatcher::start(&options, coming)?;
    dispatcher.say(&format!(
        "serving {} at http://{}/{}",
        options.dir.display(),
        listener.local_addr()?,
        if options.relay { " (relay)" } else { "" }
    ));
    let entrance = Arc::new(Entrance {
        files,
        head_within: options.head_within,
        wishes,
    });
    tokio::select! {
        ended = dispatcher.run() => ended,
        () = accept(&listener, entrance, options.clients) => Ok(()),
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

async fn accept(listener: &TcpListener, entrance: Arc<Entrance>, clients: usize) {
    let places = Arc::new(Semaphore::new(clients));
    // It is never closed.
    while let Ok(permit) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((socket, client)) => {
                tokio::spawn(entrance.clone().receive(socket, client, permit));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
