//! Requests to the servers that the lab runs. Envoy's answers only HTTP/1.1.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// How long an answer may take before it is asked for again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is answered with 200, if it is.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    request(address, "GET", path, String::new())
}

/// The same, for JSON that is sent.
pub(crate) fn post(address: SocketAddr, path: &str, json: String) -> Option<String> {
    request(address, "POST", path, json)
}

fn request(address: SocketAddr, method: &str, path: &str, body: String) -> Option<String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let answer = async { timeout(PATIENCE, exchange(address, method, path, body)).await };
    runtime.block_on(answer).ok()?.ok()?
}

async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: String,
) -> Result<Option<String>, Box<dyn Error>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", address.to_string());
    let request = request.header("content-type", "application/json");
    let answer = sender.send_request(request.body(Body::from(body))?).await?;
    let is_ok = answer.status() == StatusCode::OK;
    let body = to_bytes(Body::new(answer.into_body()), usize::MAX).await?;
    Ok(is_ok.then(|| String::from_utf8_lossy(&body).into_owned()))
}
