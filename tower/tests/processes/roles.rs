//! What children do, and what tests need to talk to them.

use std::error::Error;

use bytes::Bytes;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Status, Streaming};
use twinring::ErrorKind;
use twinring_tower::{Connector, Incoming};

use crate::common::{Child, LIMIT, Parent, Place, Side};
use crate::pb::example_client::ExampleClient;
use crate::pb::{CountRequest, Data, Delay, Nothing};
use crate::service::{LARGEST, Service};

pub(crate) fn runtime() -> Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Serves until it is told to stop, with so many clients at once. Says which calls were given up.
pub(crate) fn server(parent: &'static Parent) {
    let clients = parent.next_as();
    let (stop, stopped) = oneshot::channel();
    runtime().block_on(async {
        let listener = parent
            .builder()
            .max_clients(clients, clients)
            .listen()
            .unwrap();
        let service = Service::new(|call| parent.say(format!("gone {call}")));
        parent.say("ready");
        std::thread::spawn(move || {
            parent.expect("stop");
            stop.send(()).unwrap();
        });
        Server::builder()
            .add_service(service.into_server())
            .serve_with_incoming_shutdown(Incoming::from(listener), async {
                stopped.await.unwrap()
            })
            .await
            .unwrap();
    });
    parent.say("stopped");
}

/// Asks who it is, and has things echoed.
pub(crate) fn client(parent: &'static Parent) {
    runtime().block_on(async {
        let mut client = client_of(&parent.place);
        let caller = client.who_am_i(Nothing {}).await.unwrap().into_inner();
        assert_eq!(caller.pid, std::process::id());
        let user = twinring::User::current().unwrap();
        assert_eq!(caller.user, user.to_string());
        parent.say("connected");
        parent.expect("go on");
        for number in 0..50 {
            echo(&mut client, number * 100).await.unwrap();
        }
    });
}

/// Makes two calls that do not end, to be killed in them.
pub(crate) fn client_in_the_middle(parent: &'static Parent) {
    runtime().block_on(async {
        let mut client = client_of(&parent.place);
        let _chat = begin_chat(&mut client).await;
        let mut answers = client.count(without_end()).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        parent.say("calling");
        while answers.message().await.unwrap().is_some() {}
    });
}

pub(crate) type Client = ExampleClient<Channel>;

/// A server in a process of its own.
pub(crate) fn start_server(place: &Place) -> Child {
    start_server_for(place, 100)
}

pub(crate) fn start_server_for(place: &Place, clients: usize) -> Child {
    let mut child = place.start("server", Side::Host);
    child.say(clients);
    child.expect("ready");
    child
}

pub(crate) fn connector(place: &Place) -> Connector {
    let (name, directory) = (place.name().to_owned(), place.directory().to_owned());
    let guest = move || twinring::Link::guest(&name).directory(&directory);
    Connector::with(guest).within(LIMIT)
}

pub(crate) fn client_by(connector: Connector) -> Client {
    let endpoint = Endpoint::from_static("http://example");
    ExampleClient::new(endpoint.connect_with_connector_lazy(connector))
        .max_decoding_message_size(LARGEST)
        .max_encoding_message_size(LARGEST)
}

pub(crate) fn client_of(place: &Place) -> Client {
    client_by(connector(place))
}

pub(crate) fn data(len: usize) -> Data {
    let bytes = (0..len).map(|i| (i * 31 % 251) as u8);
    Data {
        data: bytes.collect::<Vec<u8>>().into(),
    }
}

/// One that is long enough for every test.
pub(crate) fn for_ever() -> Delay {
    Delay {
        milliseconds: 600_000,
    }
}

pub(crate) fn without_end() -> CountRequest {
    CountRequest {
        times: u64::MAX,
        len: 100,
        pause_milliseconds: 1,
    }
}

/// There and back, unchanged.
pub(crate) async fn echo(client: &mut Client, len: usize) -> Result<(), Status> {
    let sent = data(len);
    let echo: Bytes = client.echo(sent.clone()).await?.into_inner().data;
    assert!(echo == sent.data, "{len} bytes come back as they were");
    Ok(())
}

/// A call in flight: the server has answered once, and waits for more.
pub(crate) async fn begin_chat(client: &mut Client) -> (mpsc::Sender<Data>, Streaming<Data>) {
    let (send, messages) = mpsc::channel(1);
    send.send(data(10)).await.unwrap();
    let answers = client.chat(ReceiverStream::new(messages)).await;
    let mut answers = answers.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    (send, answers)
}

/// What the library says within an error of tonic's or hyper's.
pub(crate) fn kind_within(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let mut error = Some(error);
    while let Some(e) = error {
        if let Some(ours) = e.downcast_ref::<twinring::Error>() {
            return Some(ours.kind());
        }
        error = e.source();
    }
    None
}
