//! Servers and clients that come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Server;
use twinring::ErrorKind;
use twinring_tower::Incoming;

use crate::common::{LIMIT, Place, Random, Side, Watchdog, amount, rounds};
use crate::pb::{CountRequest, Nothing};
use crate::roles::{
    Client, begin_chat, client_by, client_of, connector, echo, kind_within, runtime, start_server,
    start_server_for, without_end,
};
use crate::service::Service;

const SHORT: Duration = Duration::from_millis(500);

/// What tonic makes of a connection that is lost in the middle of a call, or just before it; over sockets too.
fn assert_lost(status: &tonic::Status) {
    let codes = [Code::Unknown, Code::Cancelled];
    assert!(codes.contains(&status.code()), "{status:?}");
}

/// Calls again and again, whatever becomes of the server; one that is made while there is none waits for the next.
async fn echo_until(is_over: Arc<AtomicBool>, mut client: Client) {
    while !is_over.load(Ordering::Relaxed) {
        if let Err(status) = echo(&mut client, 2000).await {
            assert_lost(&status);
        }
    }
}

#[test]
fn a_server_is_killed_and_another_started() {
    let _watchdog = Watchdog::new(300);
    let place = Place::new();
    let mut random = Random::unrepeatable();
    runtime().block_on(async {
        let mut client = client_of(&place);
        let is_over = Arc::new(AtomicBool::new(false));
        let echoing = tokio::spawn(echo_until(is_over.clone(), client.clone()));
        for _ in 0..rounds(amount(8, 40), 3) {
            let mut server = start_server(&place);
            // A call in the moment when the channel learns that the last connection is lost may yet fail with it.
            while let Err(status) = client.who_am_i(Nothing {}).await {
                assert_lost(&status);
            }
            let (_send, mut waiting) = begin_chat(&mut client).await;
            let mut answers = client.count(without_end()).await.unwrap().into_inner();
            let streaming = async {
                loop {
                    if let Err(status) = answers.message().await {
                        return status;
                    }
                }
            };
            tokio::time::sleep(Duration::from_micros(random.below(20_000) as u64)).await;
            server.kill();
            assert_lost(&timeout(LIMIT, streaming).await.unwrap());
            let waiting = timeout(LIMIT, waiting.message()).await;
            assert_lost(&waiting.unwrap().unwrap_err());
        }
        let _server = start_server(&place);
        is_over.store(true, Ordering::Relaxed);
        timeout(LIMIT, echoing).await.unwrap().unwrap();
    });
}

#[test]
fn a_client_is_killed_in_the_middle_of_its_calls() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let (gone, seen) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = runtime();
    let incoming = runtime.block_on(async { Incoming::from(place.host().listen().unwrap()) });
    let service = Service::new(move |call| gone.send(call).unwrap());
    let server = runtime.spawn(
        Server::builder()
            .add_service(service.into_server())
            .serve_with_incoming_shutdown(incoming, async { stopped.await.unwrap() }),
    );
    for _ in 0..rounds(5, 2) {
        let mut client = place.start("client_in_the_middle", Side::Guest);
        client.expect("calling");
        client.kill();
        let mut calls = [(); 2].map(|()| seen.recv_timeout(LIMIT).unwrap());
        calls.sort_unstable();
        assert_eq!(calls, ["Chat", "Count"]);
    }
    // It serves others as before, and nothing keeps it from ending.
    runtime.block_on(async {
        echo(&mut client_of(&place), 100).await.unwrap();
        stop.send(()).unwrap();
        timeout(LIMIT, server).await.unwrap().unwrap().unwrap();
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error_in_time() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    runtime().block_on(async {
        let mut client = client_by(connector(&place).within(SHORT));
        let began = Instant::now();
        let status = echo(&mut client, 10).await.unwrap_err();
        assert!((SHORT..LIMIT).contains(&began.elapsed()));
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(
            kind_within(&status),
            Some(ErrorKind::TimedOut),
            "{status:?}"
        );

        // The same channel finds it once it is there.
        let _server = start_server(&place);
        while let Err(status) = echo(&mut client, 10).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(began.elapsed() < LIMIT);
        }
    });
}

#[test]
fn a_server_that_is_full_is_an_error_in_time() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _server = start_server_for(&place, 1);
    runtime().block_on(async {
        let mut first = client_of(&place);
        echo(&mut first, 10).await.unwrap();

        let mut second = client_by(connector(&place).within(SHORT));
        let status = echo(&mut second, 10).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(kind_within(&status), Some(ErrorKind::Busy), "{status:?}");

        // One that waits gets the place of the first.
        let third = tokio::spawn(async move { echo(&mut client_of(&place), 10).await });
        drop(first);
        third.await.unwrap().unwrap();
    });
}

#[test]
fn calls_in_flight_finish_in_a_graceful_shutdown() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut server = start_server(&place);
    runtime().block_on(async {
        let mut client = client_of(&place);
        let request = CountRequest {
            times: 5,
            len: 100_000,
            pause_milliseconds: 100,
        };
        let mut answers = client.count(request).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        server.say("stop");
        for _ in 1..5 {
            assert_eq!(
                answers.message().await.unwrap().unwrap().data.len(),
                100_000
            );
        }
        assert_eq!(answers.message().await.unwrap(), None);
        server.expect("stopped");
        server.finish();

        // The channel is none the worse for it.
        let _server = start_server(&place);
        echo(&mut client, 10).await.unwrap();
    });
}

#[test]
fn the_next_server_serves_while_the_last_one_finishes() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut last = start_server(&place);
    runtime().block_on(async {
        let mut client = client_of(&place);
        let mut answers = client.count(without_end()).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        last.say("stop");
        // Until the name is free. A client may come in the moment of the signal, and be lost with the listener.
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let mut other = client_by(connector(&place).within(SHORT));
            match echo(&mut other, 10).await {
                Err(status) if status.code() == Code::Unavailable => break,
                Err(status) => assert_lost(&status),
                Ok(()) => {}
            }
        }
        let _next = start_server(&place);
        echo(&mut client_of(&place), 10).await.unwrap();
        for _ in 0..10 {
            answers.message().await.unwrap().unwrap();
        }
        drop(answers);
        last.expect("gone Count");
        last.expect("stopped");
        last.finish();
    });
}
