//! Who asks: clients that connect in one of three ways.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::ensure;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::servers::Serving;

/// How callers connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A connection each, kept alive, HTTP/1.1: how the API server speaks to a Service.
    KeptAlive,
    /// One connection for all, HTTP/2: how it speaks to a URL.
    Multiplexed,
    /// A connection for each review, HTTP/1.1.
    Handshake,
}

/// Asks one review after the other.
pub(crate) enum Caller {
    KeptAlive(http1::SendRequest<Body>),
    Multiplexed(http2::SendRequest<Body>, SocketAddr),
    Handshake(Dialler),
}

impl Caller {
    /// As many callers as asked for, connected.
    pub(crate) async fn connect(
        server: &Serving,
        way: Way,
        count: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut callers = Vec::new();
        let protocol: &[u8] = if way == Way::Multiplexed {
            b"h2"
        } else {
            b"http/1.1"
        };
        let dialler = Dialler::new(server, protocol)?;
        match way {
            Way::KeptAlive => {
                for _ in 0..count {
                    callers.push(Self::KeptAlive(dialler.http1().await?));
                }
            }
            Way::Multiplexed => {
                let sender = dialler.http2().await?;
                let shared = || Self::Multiplexed(sender.clone(), server.webhook);
                callers.extend((0..count).map(|_| shared()));
            }
            Way::Handshake => {
                callers.extend((0..count).map(|_| Self::Handshake(dialler.clone())));
            }
        }
        Ok(callers)
    }

    /// Asks a review; an answer other than 200 is an error.
    pub(crate) async fn ask(&mut self, path: &str, review: Bytes) -> anyhow::Result<Bytes> {
        match self {
            Self::KeptAlive(sender) => {
                sender.ready().await?;
                answer(sender.send_request(request(path, review)?).await?).await
            }
            Self::Multiplexed(sender, address) => {
                sender.ready().await?;
                let url = format!("https://{address}{path}");
                answer(sender.send_request(request(&url, review)?).await?).await
            }
            Self::Handshake(dialler) => {
                let mut sender = dialler.http1().await?;
                let mut request = request(path, review)?;
                let close = HeaderValue::from_static("close");
                request.headers_mut().insert(header::CONNECTION, close);
                answer(sender.send_request(request).await?).await
            }
        }
    }
}

fn request(url: &str, review: Bytes) -> anyhow::Result<Request<Body>> {
    let request = Request::post(format!("{url}?timeout=10s"))
        .header(header::HOST, "tunnelguard.tunnelguard-system.svc")
        .header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(Body::from(review))?)
}

async fn answer(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await?;
    ensure!(status == StatusCode::OK, "{status}: {body:?}");
    Ok(body)
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialler {
    address: SocketAddr,
    connector: TlsConnector,
}

impl Dialler {
    fn new(server: &Serving, protocol: &[u8]) -> anyhow::Result<Self> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(server.trust.clone())
                .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        // Go's client has no cache of sessions unless it is given one: every handshake is a whole one.
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self {
            address: server.webhook,
            connector,
        })
    }

    async fn tls(&self) -> anyhow::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        Ok(TokioIo::new(self.connector.connect(name, stream).await?))
    }

    async fn http1(&self) -> anyhow::Result<http1::SendRequest<Body>> {
        let (sender, connection) = http1::handshake(self.tls().await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn http2(&self) -> anyhow::Result<http2::SendRequest<Body>> {
        let stream = self.tls().await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
