//! The end: nothing that was begun is lost, and nothing is waited for in vain.

use std::{io, time::Duration};

use axum::body::Body;
use hyper::{Method, StatusCode, client::conn::http1::SendRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::running::{Running, options, request, text};

/// A status, and whether the connection is to be ended.
async fn ask(sender: &mut SendRequest<Body>) -> (StatusCode, bool) {
    let response = sender.send_request(request(Method::POST, "/validate", "x"));
    let response = response.await.expect("a response");
    let close = response
        .headers()
        .get("connection")
        .is_some_and(|value| value == "close");
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(response.headers()["retry-after"], "0");
    }
    (response.status(), close)
}

#[tokio::test]
async fn while_it_lingers_it_answers_and_sends_everyone_away() {
    let server = Running::start_with(options(), Duration::from_secs(3600)).await;
    let mut old = server.http1().await;
    let mut multiplexed = server.http2().await;
    assert_eq!(ask(&mut old).await, (StatusCode::OK, false));
    let answered = multiplexed
        .send_request(request(Method::POST, "/mutate", "x"))
        .await;
    assert_eq!(text(answered.expect("a response")).await, "Mutate x");

    server.drain().await;
    assert_eq!(ask(&mut old).await, (StatusCode::OK, true));
    let mut new = server.http1().await;
    assert_eq!(ask(&mut new).await, (StatusCode::OK, true));
    // GOAWAY ends it without a request being lost.
    while multiplexed.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    let mut new = server.http2().await;
    let answered = new
        .send_request(request(Method::POST, "/mutate", "x"))
        .await;
    assert_eq!(text(answered.expect("a response")).await, "Mutate x");
    assert_eq!(server.probe("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn while_something_is_in_flight_newcomers_are_told_to_dial_again() {
    let server = Running::start().await;
    let mut resting = server.http1().await;
    assert_eq!(ask(&mut resting).await, (StatusCode::OK, false));
    let mut busy = server.request_in_flight().await;

    server.drain().await;
    let refused = (StatusCode::SERVICE_UNAVAILABLE, true);
    // It lingers for no time at all, but a moment it is.
    while ask(&mut server.http1().await).await != refused {}
    assert_eq!(ask(&mut resting).await, refused);
    assert_eq!(
        server
            .metric("tunnelguard_requests_shed_total{reason=\"draining\"}")
            .await,
        "2"
    );
    assert_eq!(server.metric("tunnelguard_reviews_in_flight").await, "1");

    busy.write_all(b"review").await.expect("written");
    let mut response = String::new();
    busy.read_to_string(&mut response).await.expect("answered");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("connection: close\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nValidate review"), "{response}");
    server.ended.await.expect("no panic");
    let refused = TcpStream::connect(server.addresses.webhook).await;
    refused.expect_err("a closed listener");
}

#[tokio::test]
async fn what_rests_is_closed_in_order() {
    let server = Running::start().await;
    let mut resting = server.tls(b"http/1.1").await;
    let once = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx";
    resting.write_all(once).await.expect("written");
    let count = resting.read(&mut [0; 1024]).await;
    assert_ne!(count.expect("a response"), 0);

    server.signal.notify_one();
    let rest = resting.read_to_end(&mut Vec::new()).await;
    assert_eq!(rest.expect("closed with a close_notify"), 0);
    server.ended.await.expect("no panic");
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_its_limit() {
    let server = Running::start().await;
    let _busy = server.request_in_flight().await;
    server.drain().await;
    // The drain began moments ago, so a little less than the whole limit is left of it.
    tokio::time::pause();
    let begin = Instant::now();
    server.ended.await.expect("no panic");
    let left = begin.elapsed();
    assert!(
        left > Duration::from_secs(5) && left < Duration::from_secs(12),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let server = Running::start_with(options(), Duration::from_secs(3600)).await;
    let mut busy = server.request_in_flight().await;
    server.drain().await;
    tokio::time::pause();
    let begin = Instant::now();
    server.signal.notify_one();
    server.ended.await.expect("no panic");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let cut = busy.read(&mut [0; 1]).await;
    let cut = cut.expect_err("no close_notify").kind();
    assert_eq!(cut, io::ErrorKind::UnexpectedEof);
}
