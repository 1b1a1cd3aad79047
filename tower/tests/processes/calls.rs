//! Each kind of call.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::{iter, wrappers::ReceiverStream};
use tonic::{Code, Request};

use crate::common::{Child, LIMIT, Place, Side, Watchdog, amount, rounds};
use crate::pb::{CountRequest, Data, Nothing};
use crate::roles::{Client, client_of, data, echo, for_ever, runtime, start_server, without_end};

/// A client of a server that is another process.
fn with_server(test: impl AsyncFnOnce(Client, &mut Child)) {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut server = start_server(&place);
    runtime().block_on(async {
        let test = test(client_of(&place), &mut server);
        timeout(LIMIT, test).await.expect("the calls end");
    });
}

/// Long enough for a call to come to the server on a connection that is there.
fn short() -> Duration {
    Duration::from_millis(300)
}

#[test]
fn unary_calls() {
    with_server(async |mut client, _| {
        for number in 0..amount(100, 1000) {
            echo(&mut client, number * number % 20_000).await.unwrap();
        }
    });
}

#[test]
fn a_stream_from_the_server() {
    with_server(async |mut client, _| {
        for times in [0, 1, 5000] {
            let request = CountRequest {
                times,
                len: 1024,
                pause_milliseconds: 0,
            };
            let mut answers = client.count(request).await.unwrap().into_inner();
            let mut count = 0;
            while let Some(Data { data }) = answers.message().await.unwrap() {
                assert_eq!(data.len(), 1024);
                count += 1;
            }
            assert_eq!(count, times);
        }
    });
}

#[test]
fn a_stream_to_the_server() {
    with_server(async |mut client, _| {
        let messages: Vec<Data> = (0..5000).map(|number| data(number % 500)).collect();
        let bytes: usize = messages.iter().map(|message| message.data.len()).sum();
        let total = client.sum(iter(messages)).await.unwrap().into_inner();
        assert_eq!((total.messages, total.bytes), (5000, bytes as u64));
    });
}

#[test]
fn streams_both_ways_in_turn() {
    with_server(async |mut client, _| {
        let (send, messages) = mpsc::channel(1);
        let messages = ReceiverStream::new(messages);
        let mut answers = client.chat(messages).await.unwrap().into_inner();
        for len in 0..amount(200, 2000) {
            send.send(data(len)).await.unwrap();
            assert_eq!(answers.message().await.unwrap(), Some(data(len)));
        }
        drop(send);
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    with_server(async |mut client, server| {
        echo(&mut client, 10).await.unwrap();
        let mut request = Request::new(for_ever());
        request.set_timeout(short());
        let status = client.wait(request).await.unwrap_err();
        // The client's own clock says the first, the server's the second.
        let codes = [Code::Cancelled, Code::DeadlineExceeded];
        assert!(codes.contains(&status.code()), "{status:?}");
        server.expect("gone Wait");
        echo(&mut client, 10).await.unwrap();
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled() {
    with_server(async |mut client, server| {
        echo(&mut client, 10).await.unwrap();
        timeout(short(), client.wait(for_ever())).await.unwrap_err();
        server.expect("gone Wait");

        let mut answers = client.count(without_end()).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        drop(answers);
        server.expect("gone Count");
        echo(&mut client, 10).await.unwrap();
    });
}

#[test]
fn messages_longer_than_the_ring() {
    with_server(async |mut client, _| {
        for len in [65_535, 65_536, 1 << 20, 64 << 20] {
            echo(&mut client, len).await.unwrap();
        }
    });
}

#[test]
fn many_calls_at_once_on_one_channel() {
    with_server(async |client, server| {
        let mut other = client.clone();
        let mut answers = other.count(without_end()).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    for round in 0..rounds(20, 4) {
                        echo(&mut client, number * 50 + round).await.unwrap();
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        answers.message().await.unwrap().unwrap();
        drop(answers);
        server.expect("gone Count");
    });
}

#[test]
fn several_clients_each_known_by_its_process() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _server = start_server(&place);
    let mut clients: Vec<_> = (0..4).map(|_| place.start("client", Side::Guest)).collect();
    // All at once.
    for client in &mut clients {
        client.expect("connected");
    }
    for client in &mut clients {
        client.say("go on");
    }
    runtime().block_on(async {
        let mut client = client_of(&place);
        let caller = client.who_am_i(Nothing {}).await.unwrap().into_inner();
        assert_eq!(caller.pid, std::process::id());
    });
    for client in clients {
        client.finish();
    }
}
