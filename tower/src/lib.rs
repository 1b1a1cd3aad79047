//! [hyper](https://docs.rs/hyper) and [tonic](https://docs.rs/tonic) over [`twinring`] links: HTTP and gRPC between the
//! processes of one machine, through shared memory, on Windows as on Linux.
//!
//! | | for | what |
//! |---|---|---|
//! | a client | `Endpoint::connect_with_connector`, hyper-util's `Client` | [`Connector`] |
//! | a server | `Server::serve_with_incoming`, hyper-util's `serve_connection` | [`Incoming`] |
//! | each connection | what both read and write | [`Io`] |
//!
//! Everything runs on the caller's tokio runtime, which needs `enable_all`.
//!
//! # hyper
//! ```
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, Full};
//! use hyper::{Request, Response, service::service_fn};
//! use hyper_util::{client::legacy::Client, rt::{TokioExecutor, TokioIo}, server::conn::auto};
//! use twinring_tower::{Connector, Incoming};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = twinring::testing::unique_name();
//! // In the server:
//! let incoming = Incoming::bind(&name)?;
//! tokio::spawn(async move {
//!     while let Ok(io) = incoming.accept().await {
//!         let greet = service_fn(async |_| Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("hello")))));
//!         tokio::spawn(async move {
//!             auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), greet).await
//!         });
//!     }
//! });
//!
//! // In its client, another process. The host in the URI is only what the server reads in it.
//! let client = Client::builder(TokioExecutor::new()).build(Connector::new(&name));
//! let response = client.request(Request::get("http://greeter/").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! # Ok(()) }
//! ```
//!
//! # tonic
//! With the feature `tonic`, `request.extensions().get::<Peer>()` is the client's process.
//!
//! ```no_run
//! use tonic::transport::{Endpoint, Server};
//! use twinring_tower::{Connector, Incoming};
//!
//! # async fn example(router: tonic::service::Routes, stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! # let name = "inventory";
//! // In the server; `router` has its services.
//! let incoming = Incoming::bind(name)?;
//! # #[cfg(feature = "tonic")]
//! Server::builder().add_routes(router).serve_with_incoming_shutdown(incoming, stop).await?;
//!
//! // In its client:
//! let channel = Endpoint::from_static("http://inventory").connect_with_connector_lazy(Connector::new(name));
//! # Ok(()) }
//! ```
//!
//! # Ends
//! A server or client that has gone, however it went, ends the connection at once: a server's handlers are dropped, a client's calls
//! in flight fail. tonic gives these the code `Unknown` or `Cancelled`, over sockets too; `Unavailable` means that no server was there
//! in time, with the library's error as a source. The next call on a tonic `Channel` or a hyper `Client` connects anew.

#![forbid(unsafe_code)]

mod connector;
mod incoming;
mod io;

pub use connector::{Connecting, Connector, DEFAULT_WAIT};
pub use incoming::Incoming;
pub use io::Io;
pub use twinring::{Error, Peer, Result};
