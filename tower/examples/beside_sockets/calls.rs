//! What is measured.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use tokio::task::JoinSet;
use tokio_stream::iter;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::pb::example_client::ExampleClient;
use super::pb::{CountRequest, Data, Delay};
use super::service::LARGEST;

/// How long each is measured.
const TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 500 });
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// One caller, one call after the other.
    One,
    /// One caller, each call 1 ms after the last.
    Idle,
    /// Ten callers at once, on one channel.
    Ten,
    Hundred,
    /// A stream from the server of messages of 1 KiB.
    Stream,
    /// The same of 1 MiB.
    Down,
    /// A stream to the server of messages of 1 MiB.
    Up,
}

/// What one measurement came to.
pub(crate) struct Figures {
    /// Calls or messages.
    pub(crate) count: usize,
    pub(crate) elapsed: Duration,
    /// Of each call, sorted, in microseconds.
    pub(crate) times: Vec<f64>,
}

impl Row {
    /// In the order of [`values`](Row::values).
    pub(crate) fn figures(self) -> &'static [&'static str] {
        match self {
            Row::One => &[
                "unary 64 B, µs",
                "p99, µs",
                "calls, k/s",
                "processor time each, µs",
            ],
            Row::Idle => &[
                "unary 64 B after 1 ms, µs",
                "p99, µs",
                "calls, k/s",
                "processor time each, µs",
            ],
            Row::Ten => &[
                "10 callers, µs",
                "p99, µs",
                "calls, k/s",
                "processor time each, µs",
            ],
            Row::Hundred => &[
                "100 callers, µs",
                "p99, µs",
                "calls, k/s",
                "processor time each, µs",
            ],
            Row::Stream => &["server stream 1 KiB, k/s", "processor time each, µs"],
            Row::Down => &["server stream 1 MiB, MB/s", "processor time each, µs"],
            Row::Up => &["client stream 1 MiB, MB/s", "processor time each, µs"],
        }
    }

    pub(crate) fn values(self, figures: &Figures, used: Duration) -> Vec<f64> {
        let rate = figures.count as f64 / figures.elapsed.as_secs_f64();
        let each = used.as_secs_f64() * 1e6 / figures.count as f64;
        let times = &figures.times;
        match self {
            Row::Stream => vec![rate / 1e3, each],
            Row::Down | Row::Up => vec![rate * MIB as f64 / 1e6, each],
            _ => vec![
                times[times.len() / 2],
                times[times.len() * 99 / 100],
                rate / 1e3,
                each,
            ],
        }
    }

    pub(crate) async fn measure(self, channel: Channel) -> Result<Figures, Status> {
        let client = ExampleClient::new(channel)
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST);
        match self {
            Row::One => callers(client, 1, Duration::ZERO).await,
            Row::Idle => callers(client, 1, Duration::from_millis(1)).await,
            Row::Ten => callers(client, 10, Duration::ZERO).await,
            Row::Hundred => callers(client, 100, Duration::ZERO).await,
            Row::Stream => down(client, KIB).await,
            Row::Down => down(client, MIB).await,
            Row::Up => up(client).await,
        }
    }
}

type Client = ExampleClient<Channel>;

/// A task of the runtime for each caller: one in `block_on` would be on another thread than the connection.
async fn callers(client: Client, count: usize, pause: Duration) -> Result<Figures, Status> {
    let begun = Instant::now();
    let mut callers: JoinSet<Result<Vec<f64>, Status>> = (0..count)
        .map(|_| {
            let mut client = client.clone();
            async move {
                let mut times = Vec::new();
                while begun.elapsed() < TIME {
                    let start = Instant::now();
                    client.echo(data(64)).await?;
                    times.push(start.elapsed().as_secs_f64() * 1e6);
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                Ok(times)
            }
        })
        .collect();
    let mut times = Vec::new();
    while let Some(caller) = callers.join_next().await {
        times.extend(caller.map_err(|e| Status::new(Code::Internal, e.to_string()))??);
    }
    times.sort_by(f64::total_cmp);
    Ok(Figures {
        count: times.len(),
        elapsed: begun.elapsed(),
        times,
    })
}

async fn down(mut client: Client, len: usize) -> Result<Figures, Status> {
    let begun = Instant::now();
    let request = CountRequest {
        times: u64::MAX,
        len: len as u32,
        pause_milliseconds: 0,
    };
    let mut messages = client.count(request).await?.into_inner();
    let mut count = 0;
    while begun.elapsed() < TIME {
        match messages.message().await? {
            Some(message) => assert_eq!(message.data.len(), len),
            None => return Err(Status::data_loss("the stream ends early")),
        }
        count += 1;
    }
    Ok(Figures {
        count,
        elapsed: begun.elapsed(),
        times: Vec::new(),
    })
}

async fn up(mut client: Client) -> Result<Figures, Status> {
    let begun = Instant::now();
    let message = data(MIB);
    let messages = std::iter::repeat(message).take_while(move |_| begun.elapsed() < TIME);
    let total = client.sum(iter(messages)).await?.into_inner();
    Ok(Figures {
        count: total.messages as usize,
        elapsed: begun.elapsed(),
        times: Vec::new(),
    })
}

/// The connection is made, and both sides have found their pace.
pub(crate) async fn warm_up(channel: Channel) -> Result<(), Status> {
    let mut client = ExampleClient::new(channel);
    for _ in 0..100 {
        client.echo(data(64)).await?;
    }
    client.wait(Delay { milliseconds: 1 }).await?;
    Ok(())
}

fn data(len: usize) -> Data {
    Data {
        data: Bytes::from(vec![b'x'; len]),
    }
}
