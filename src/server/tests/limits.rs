//! More than there is room for, and clients that hold what they have.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::{Method, StatusCode, body::Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
};

use super::running::{Running, options, request, text};
use crate::server::Options;

#[tokio::test]
async fn more_reviews_than_there_is_room_for_are_told_to_come_again() {
    let bounds = Options {
        reviews: 2,
        ..options()
    };
    let server = Running::start_with(bounds, Duration::ZERO).await;
    let mut first = server.request_in_flight().await;
    let _second = server.request_in_flight().await;

    for mut sender in [server.http1().await, server.http1().await] {
        let response = sender.send_request(request(Method::POST, "/validate", vec![7; 100_000]));
        let response = response.await.expect("a response");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["connection"], "close");
        let line = text(response).await;
        assert_eq!(line, "too many reviews at once: come again in a second\n");
    }
    assert_eq!(
        server
            .metric("tunnelguard_requests_shed_total{reason=\"reviews\"}")
            .await,
        "2"
    );
    assert_eq!(server.probe("/livez").await.0, StatusCode::OK);

    first.write_all(b"review").await.expect("written");
    let count = first.read(&mut [0; 1024]).await;
    assert_ne!(count.expect("a response"), 0);
    let mut sender = server.http1().await;
    let response = sender
        .send_request(request(Method::POST, "/validate", "x"))
        .await;
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
}

#[tokio::test]
async fn clients_that_hold_every_connection_shut_nobody_out() {
    let bounds = Options {
        connections: 4,
        patience: Duration::from_millis(100),
        ..options()
    };
    let server = Running::start_with(bounds, Duration::ZERO).await;
    let webhook = server.addresses.webhook;
    let mut silent = TcpStream::connect(webhook).await.expect("TCP");
    let mut half_a_handshake = TcpStream::connect(webhook).await.expect("TCP");
    let record = half_a_handshake.write_all(&[22, 3, 1, 1, 0, 1]).await;
    record.expect("written");
    let mut half_a_header = server.tls(b"http/1.1").await;
    half_a_header
        .write_all(b"POST /val")
        .await
        .expect("written");
    let mut half_a_body = server.request_in_flight().await;

    // Each holds a place. The newcomers get theirs once those have been silent for a while.
    let mut senders = Vec::new();
    for _ in 0..4 {
        let mut sender = server.http1().await;
        let response = sender
            .send_request(request(Method::POST, "/validate", "x"))
            .await;
        assert_eq!(text(response.expect("a response")).await, "Validate x");
        senders.push(sender);
    }
    assert_eq!(
        server.metric("tunnelguard_connections_evicted_total").await,
        "4"
    );
    // Whether by a reset or an end: they are rid of it.
    let _ = silent.read(&mut [0; 1]).await;
    let _ = half_a_handshake.read(&mut [0; 1]).await;
    let _ = half_a_header.read(&mut [0; 1]).await;
    let _ = half_a_body.read(&mut [0; 1]).await;
}

#[tokio::test]
async fn more_honest_clients_than_connections_take_turns() {
    let bounds = Options {
        connections: 2,
        ..options()
    };
    let server = Running::start_with(bounds, Duration::ZERO).await;
    let client = async || {
        let mut answered = 0;
        while answered < 20 {
            let mut sender = server.http1().await;
            // Kept as long as the server lets it be kept.
            while answered < 20 && sender.ready().await.is_ok() {
                let response = sender.send_request(request(Method::POST, "/validate", "x"));
                let response = response.await.expect("a response");
                assert_eq!(response.status(), StatusCode::OK);
                answered += 1;
                let close = response.headers().contains_key("connection");
                assert_eq!(text(response).await, "Validate x");
                if close {
                    break;
                }
            }
        }
    };
    tokio::join!(client(), client(), client(), client(), client(), client());
    assert_eq!(
        server.metric("tunnelguard_connections_evicted_total").await,
        "0"
    );
}

#[tokio::test]
async fn what_went_wrong_before_any_request_is_counted() {
    let server = Running::start().await;
    server.nonsense().await;
    // It is counted a moment after the client has seen the end.
    for (series, value) in [
        (
            "tunnelguard_tls_handshake_failures_total{reason=\"other\"}",
            "1",
        ),
        ("tunnelguard_connections", "0"),
    ] {
        while server.metric(series).await != value {
            yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_scrape_shows_what_may_happen_before_it_does() {
    let server = Running::start().await;
    let (status, text) = server.probe("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for series in [
        "tunnelguard_tls_handshake_failures_total{reason=\"timeout\"} 0",
        "tunnelguard_requests_shed_total{reason=\"memory\"} 0",
        "tunnelguard_policy_reloads_total{result=\"failure\"} 0",
        "tunnelguard_certificate_last_reload_successful 1",
        "tunnelguard_review_duration_seconds_count{webhook=\"mutate\"} 0",
        "tunnelguard_review_failures_total 0",
        "process_open_fds ",
        "process_cpu_seconds_total ",
    ] {
        assert!(text.contains(&format!("\n{series}")), "{series} in\n{text}");
    }
}

#[tokio::test]
async fn stalled_requests_hold_no_room_against_others() {
    let bounds = Options {
        reviews: 4,
        patience: Duration::from_millis(100),
        ..options()
    };
    let server = Running::start_with(bounds, Duration::ZERO).await;
    // Over one HTTP/2 connection, so that there is no shortage of connections.
    let mut sender = server.http2().await;
    for _ in 0..4 {
        sender.ready().await.expect("a stream");
        let body = Body::new(Stalled);
        let asked = sender.send_request(request(Method::POST, "/validate", body));
        tokio::spawn(asked);
    }
    let busy = "tunnelguard_reviews_in_flight";
    while server.metric(busy).await != "4" {
        yield_now().await;
    }
    // The API server comes again.
    let status = async || {
        let mut sender = server.http1().await;
        let response = sender.send_request(request(Method::POST, "/validate", "x"));
        response.await.expect("a response").status()
    };
    while status().await != StatusCode::OK {}
    assert_eq!(server.metric(busy).await, "0");
}

/// A body that never comes.
struct Stalled;

impl HttpBody for Stalled {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Pending
    }
}
