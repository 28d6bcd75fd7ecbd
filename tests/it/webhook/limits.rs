//! What a client may take its time for, and what it may not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::serving::Serving;
use super::{review, seed};

#[tokio::test]
async fn a_body_is_waited_for_less_long_than_the_api_server_waits() {
    let server = Serving::start();
    let mut stream = server.address().tls(b"http/1.1").await.expect("TLS");
    let half = b"POST /validate?timeout=1s HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(half).await.expect("written");
    let begin = Instant::now();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("the review did not arrive within 0.9 s"),
        "{answer}"
    );
    // Not before its time; how long after depends on the machine.
    assert!(begin.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn the_largest_legal_review_is_judged() {
    let server = Serving::start();
    let mut client = server.client().await;
    // An object may have 3 MiB, and on update the old one as many.
    let mut old = seed("prod");
    old["metadata"]["annotations"] = json!({"large": "x".repeat(3 << 20)});
    let mut new = old.clone();
    new["spec"]["hosts"] = json!(["my-company-proxy.com", "b.proxy.corp"]);
    let response = client.ask("/validate", &review("UPDATE", &new, &old)).await;
    assert_eq!(response["allowed"], false, "{response}");
    let response = client
        .ask("/mutate", &review("UPDATE", &new, &Value::Null))
        .await;
    assert_eq!(response["allowed"], true, "{response}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_review() {
    let server = Serving::start_unread();
    let mut client = server.client().await;
    let asked = review("CREATE", &seed("prod"), &Value::Null);
    // A pipe holds 64 KiB and a line has 200 bytes or more, so it has long been full at the end.
    for _ in 0..1000 {
        client.ask("/validate", &asked).await;
    }
}
