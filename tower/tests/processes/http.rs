//! HTTP/1 by hyper.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;
use tower_service::Service;
use twinring::ErrorKind;
use twinring_tower::{Connector, Incoming, Peer};

use crate::common::{Child, Parent, Place, Side, Watchdog};
use crate::roles::{connector, kind_within, runtime};

/// So many requests at `/together` are answered once all are there.
const TOGETHER: usize = 4;

/// Gives each body back, with the number of the connection.
pub(crate) fn http_server(parent: &'static Parent) {
    runtime().block_on(async {
        let incoming = Incoming::from(parent.builder().listen().unwrap());
        parent.say("ready");
        let together = Arc::new(Barrier::new(TOGETHER));
        let connections = AtomicUsize::new(0);
        while let Ok(io) = incoming.accept().await {
            let number = connections.fetch_add(1, Ordering::Relaxed);
            let together = together.clone();
            let service =
                service_fn(move |request| answer(request, number, together.clone(), parent));
            tokio::spawn(async move {
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http1().half_close(true);
                server.serve_connection(TokioIo::new(io), service).await
            });
        }
    });
}

async fn answer(
    request: Request<Body>,
    connection: usize,
    together: Arc<Barrier>,
    parent: &'static Parent,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/together" {
        parent.say("waiting");
        together.wait().await;
    }
    let response = Response::builder().header("connection-number", connection);
    Ok(response.body(request.into_body()).unwrap())
}

fn start(place: &Place) -> Child {
    let mut server = place.start("http_server", Side::Host);
    server.expect("ready");
    server
}

type HttpClient = Client<Connector, Full<Bytes>>;

fn http_client(place: &Place) -> HttpClient {
    Client::builder(TokioExecutor::new()).build(connector(place))
}

async fn post(client: &HttpClient, path: &str, body: &[u8]) -> Response<Body> {
    let body = Full::from(Bytes::copy_from_slice(body));
    let request = Request::post(format!("http://example{path}")).body(body);
    client.request(request.unwrap()).await.unwrap()
}

fn connection_of(response: &Response<Body>) -> usize {
    let number = response.headers()["connection-number"].to_str().unwrap();
    number.parse().unwrap()
}

async fn body_of(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn bodies_go_both_ways() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let server = start(&place);
    runtime().block_on(async {
        let client = http_client(&place);
        for len in [0, 1, 100_000, 10 << 20] {
            let body: Vec<u8> = (0..len).map(|i: usize| (i * 7 % 253) as u8).collect();
            let response = post(&client, "/", &body).await;
            let peer = response.extensions().get::<Peer>().unwrap();
            assert_eq!(peer.pid, server.pid());
            assert!(body_of(response).await == body);
        }
    });
}

#[test]
fn one_client_has_several_connections_at_once() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _server = start(&place);
    runtime().block_on(async {
        let client = http_client(&place);
        let requests = (0..TOGETHER).map(|_| post(&client, "/together", b"x"));
        let responses = join_all(requests).await;
        let mut connections: Vec<_> = responses.iter().map(connection_of).collect();
        connections.sort_unstable();
        assert!(connections.is_sorted_by(|a, b| a < b), "{connections:?}");
    });
}

#[test]
fn a_client_that_has_said_all_gets_the_answer() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _server = start(&place);
    runtime().block_on(async {
        let mut io = connect(&place).await;
        let request =
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
        io.write_all(request.as_bytes()).await.unwrap();
        io.write_all(b"hello").await.unwrap();
        io.shutdown().await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("hello"), "{answer}");
    });
}

#[test]
fn a_request_to_a_server_that_is_killed_fails_and_the_next_does_not() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut server = start(&place);
    runtime().block_on(async {
        let client = http_client(&place);
        body_of(post(&client, "/", b"x").await).await;
        let alone = Request::get("http://example/together").body(Full::default());
        // It waits for others that do not come.
        let waiting = tokio::spawn(client.request(alone.unwrap()));
        server.expect("waiting");
        server.kill();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(!error.is_connect(), "{error:?}");

        let _server = start(&place);
        assert_eq!(body_of(post(&client, "/", b"hello").await).await, "hello");
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error_in_time() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    runtime().block_on(async {
        let connector = connector(&place).within(Duration::from_millis(50));
        let client: HttpClient = Client::builder(TokioExecutor::new()).build(connector);
        let request = Request::get("http://example/").body(Full::default());
        let error = client.request(request.unwrap()).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        assert_eq!(kind_within(&error), Some(ErrorKind::TimedOut), "{error:?}");
    });
}

async fn connect(place: &Place) -> twinring_tower::Io {
    let uri = "http://example".parse().unwrap();
    connector(place).call(uri).await.unwrap().into_inner()
}
