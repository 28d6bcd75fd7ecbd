//! The whole server, from outside: real sockets on ports the system chooses, and real TLS.
//!
//! No test sleeps: each waits for what it needs to have happened.

mod drain;
mod limits;
mod running;

use std::{io, net::SocketAddr, sync::Arc};

use hyper::{Method, StatusCode, Version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::running::{LOCALHOST, Running, bind, certificate, options, request, text};
use super::{Addresses, BindError, Options, Reply, Server, body};

#[tokio::test]
async fn http1_answers_both_paths_on_one_connection() {
    let server = Running::start().await;
    let mut sender = server.http1().await;
    for (path, answer) in [
        ("/validate?timeout=10s", "Validate review"),
        ("/mutate?timeout=10s", "Mutate review"),
    ] {
        let sent = sender.send_request(request(Method::POST, path, "review"));
        let response = sent.await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(response.headers()["content-type"], "application/json");
        let length = answer.len().to_string();
        assert_eq!(response.headers()["content-length"], *length);
        assert_eq!(text(response).await, answer);
    }
}

#[tokio::test]
async fn http2_answers_both_paths_at_once() {
    let server = Running::start().await;
    let sender = server.http2().await;
    let review = |path| {
        sender
            .clone()
            .send_request(request(Method::POST, path, "x"))
    };
    let (validate, mutate) = tokio::join!(review("/validate"), review("/mutate"));
    let (validate, mutate) = (validate.expect("a response"), mutate.expect("a response"));
    assert_eq!(validate.version(), Version::HTTP_2);
    assert_eq!(validate.headers()["content-length"], "10");
    assert_eq!(text(validate).await, "Validate x");
    assert_eq!(text(mutate).await, "Mutate x");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let server = Running::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = server.tls_of(&[version], b"http/1.1").await;
        let spoken = stream.get_ref().1.protocol_version();
        assert_eq!(spoken, Some(version.version));
        let once = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx";
        stream.write_all(once).await.expect("written");
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn what_is_no_review_gets_one_line() {
    let server = Running::start().await;
    let mut sender = server.http1().await;
    for (method, path, status) in [
        (Method::GET, "/validate", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/mutate", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/validate/", StatusCode::NOT_FOUND),
        (Method::POST, "/readyz", StatusCode::NOT_FOUND),
    ] {
        let response = sender.send_request(request(method, path, "")).await;
        let response = response.expect("a response");
        assert_eq!(response.status(), status, "{path}");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(response.headers()["allow"], "POST");
        }
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
        let text = text(response).await;
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_refused_above_it() {
    let server = Running::start().await;
    let mut sender = server.http1().await;
    let response = sender.send_request(request(Method::POST, "/validate", vec![0; body::LIMIT]));
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let length = text(response).await.len();
    assert_eq!(length, body::LIMIT + "Validate ".len());

    let response = sender.send_request(request(Method::POST, "/mutate", vec![0; body::LIMIT + 1]));
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let text = text(response).await;
    assert_eq!(
        text,
        "the review is larger than 8 MiB, the most that is read\n"
    );
}

#[tokio::test]
async fn a_panic_is_answered_and_ends_nothing() {
    let server = Running::start().await;
    let mut sender = server.http1().await;
    let response = sender.send_request(request(Method::POST, "/validate", "panic"));
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let line = text(response).await;
    assert_eq!(
        line,
        "tunnelguard failed on this review; its log says where\n"
    );

    let response = sender.send_request(request(Method::POST, "/validate", "x"));
    let response = response.await.expect("a response on the same connection");
    assert_eq!(text(response).await, "Validate x");
}

#[tokio::test]
async fn clients_that_stall_or_talk_nonsense_hinder_nobody() {
    let server = Running::start().await;
    let silent = TcpStream::connect(server.addresses.webhook).await;
    server.nonsense().await;

    let mut sender = server.http1().await;
    let response = sender.send_request(request(Method::POST, "/validate", "x"));
    assert_eq!(
        text(response.await.expect("a response")).await,
        "Validate x"
    );
    drop(silent);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = bind(options(), certificate().0).await;
    let Addresses { webhook, health } = taken.addresses();
    let free = SocketAddr::from((LOCALHOST, 0));
    let attempt = async |listen, health_listen| {
        let options = Options {
            listen,
            health_listen,
            ..options()
        };
        let review = Arc::new(|_, _: &[u8]| -> Reply { unreachable!("nothing is bound") });
        let server = Server::bind(options, certificate().0, review, Arc::default()).await;
        server.expect_err("an address in use")
    };

    let error = attempt(webhook, free).await;
    let text = format!("cannot listen on {webhook} for reviews");
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, BindError::Webhook { source, .. }
        if source.kind() == io::ErrorKind::AddrInUse));

    let error = attempt(free, health).await;
    let text = format!("cannot listen on {health} for health probes");
    assert_eq!(error.to_string(), text);
}
