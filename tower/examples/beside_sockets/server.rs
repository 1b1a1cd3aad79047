//! The second process: one service, over both.

use std::error::Error;
use std::io::BufRead;

use tonic::transport::Server;
use twinring::Link;
use twinring_tower::Incoming;

use super::os;
use super::service::Service;

pub(crate) async fn run(name: &str, ring: u64) -> Result<(), Box<dyn Error>> {
    let over_link = Incoming::from(Link::host(name).ring_capacity(ring).listen()?);
    let (address, over_socket) = os::listen(name).await?;
    println!("{address}");
    // Each line asks for the processor time; their end ends this process.
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            println!("{}", os::processor_time().unwrap_or_default().as_nanos());
        }
        // It is a file on Unix only.
        let _ = std::fs::remove_file(address);
        std::process::exit(0);
    });
    let server = || Server::builder().add_service(Service::new(|_| ()).into_server());
    tokio::try_join!(
        server().serve_with_incoming(over_link),
        server().serve_with_incoming(over_socket),
    )?;
    Ok(())
}
