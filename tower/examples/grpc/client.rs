//! The client: each kind of call once.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use tokio_stream::{StreamExt, iter};
use tonic::Request;
use tonic::transport::Endpoint;
use twinring_tower::Connector;

use super::pb::example_client::ExampleClient;
use super::pb::{CountRequest, Data, Delay, Nothing};
use super::service::LARGEST;

pub(crate) async fn run(name: &str) -> Result<(), Box<dyn Error>> {
    // The URI names no place: the link's name does.
    let channel = Endpoint::from_static("http://example")
        .connect_with_connector(Connector::new(name).within(Duration::from_secs(10)))
        .await?;
    let mut client = ExampleClient::new(channel)
        .max_decoding_message_size(LARGEST)
        .max_encoding_message_size(LARGEST);

    let caller = client.who_am_i(Nothing {}).await?.into_inner();
    println!(
        "the server says that we are process {} of {}",
        caller.pid, caller.user
    );

    let echo = client.echo(data(b"hello")).await?.into_inner();
    println!("unary: {:?}", echo.data);

    let request = CountRequest {
        times: 3,
        len: 1024,
        pause_milliseconds: 10,
    };
    let mut answers = client.count(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        println!("server stream: {} bytes", answer.data.len());
    }

    let numbers = iter((0..1000).map(|n: u32| data(&n.to_le_bytes())));
    let total = client.sum(numbers).await?.into_inner();
    println!(
        "client stream: {} messages, {} bytes",
        total.messages, total.bytes
    );

    let words = iter(["there", "and", "back"]).map(|word| data(word.as_bytes()));
    let mut answers = client.chat(words).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        println!("both ways: {:?}", answer.data);
    }

    let large = vec![b'x'; 64 << 20];
    let echo = client.echo(data(&large)).await?.into_inner();
    println!("large: {} MiB, there and back", echo.data.len() >> 20);

    let mut late = Request::new(Delay {
        milliseconds: 60_000,
    });
    late.set_timeout(Duration::from_millis(100));
    let status = client.wait(late).await.unwrap_err();
    println!("deadline: {:?}", status.code());

    // Dropped before it is done: the server's handler is dropped too.
    let wait = client.wait(Delay {
        milliseconds: 60_000,
    });
    let cancelled = tokio::time::timeout(Duration::from_millis(100), wait).await;
    println!("cancelled: {}", cancelled.is_err());
    Ok(())
}

fn data(bytes: &[u8]) -> Data {
    Data {
        data: Bytes::copy_from_slice(bytes),
    }
}
