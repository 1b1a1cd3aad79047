//! The server.

use std::error::Error;

use tonic::transport::Server;
use twinring_tower::Incoming;

use super::service::Service;

pub(crate) async fn run(name: &str) -> Result<(), Box<dyn Error>> {
    let incoming = Incoming::bind(name)?;
    println!("serving {name:?}, until Ctrl-C");
    let service = Service::new(|call| println!("the caller of {call} has gone"));
    Server::builder()
        .add_service(service.into_server())
        .serve_with_incoming_shutdown(incoming, async {
            // Without a handler it cannot be stopped like this; it can be killed.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending().await
            }
        })
        .await?;
    Ok(())
}
