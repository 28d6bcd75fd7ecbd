//! A server that really runs, and a client that trusts its authority and nothing else.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::body::{Body, to_bytes};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::{JoinHandle, yield_now},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    pki::Authority,
    server::{
        Addresses, Options, Reply, ReviewPath, Server, metrics::Metrics, shutdown::run_until,
        tls::ServingCertificate,
    },
};

pub(super) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server that runs, and what its client needs.
pub(super) struct Running {
    pub(super) addresses: Addresses,
    /// Each notification is a signal to the process.
    pub(super) signal: Arc<Notify>,
    pub(super) ended: JoinHandle<()>,
    trust: RootCertStore,
}

/// Says which path was called and with what; panics if told to.
fn echo(path: ReviewPath, body: &[u8]) -> Reply {
    assert_ne!(body, b"panic", "as told");
    let mut answer = format!("{path:?} ").into_bytes();
    answer.extend_from_slice(body);
    Reply {
        status: StatusCode::OK,
        content_type: "application/json",
        body: answer,
    }
}

/// A certificate for the loopback address, and who trusts it.
pub(super) fn certificate() -> (Arc<ServingCertificate>, RootCertStore) {
    let now = OffsetDateTime::now_utc();
    let authority = Authority::mint(now, time::Duration::DAY).expect("an authority");
    let leaf = authority.sign_leaf(&[], &[LOCALHOST], now, time::Duration::DAY);
    let leaf = leaf.expect("a leaf");
    let pair = leaf.serving_pair().expect("a pair");
    let certificate = Arc::new(ServingCertificate::new(pair));

    let mut trust = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
    trust.add(root.expect("PEM")).expect("a root");
    (certificate, trust)
}

/// Any free ports, and room enough.
pub(super) fn options() -> Options {
    Options {
        listen: (LOCALHOST, 0).into(),
        health_listen: (LOCALHOST, 0).into(),
        connections: 100,
        reviews: 100,
        // Longer than any machine needs for a handshake.
        patience: Duration::from_secs(120),
    }
}

pub(super) async fn bind(options: Options, certificate: Arc<ServingCertificate>) -> Server {
    let metrics = Arc::new(Metrics::default());
    let server = Server::bind(options, certificate, Arc::new(echo), metrics).await;
    server.expect("two ports")
}

impl Running {
    pub(super) async fn start() -> Self {
        Self::start_with(options(), Duration::ZERO).await
    }

    /// With other bounds, and a server that serves on for `linger` once it is signalled.
    pub(super) async fn start_with(options: Options, linger: Duration) -> Self {
        let (certificate, trust) = certificate();
        let server = bind(options, certificate).await;
        let signal = Arc::new(Notify::new());
        let signalled = Arc::clone(&signal);
        Self {
            addresses: server.addresses(),
            signal,
            ended: tokio::spawn(run_until(server, async move || {
                signalled.notified().await;
                ("SIGTEST", linger)
            })),
            trust,
        }
    }

    pub(super) async fn tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        self.tls_of(rustls::ALL_VERSIONS, protocol).await
    }

    /// Over one of these versions of TLS.
    pub(super) async fn tls_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocol: &[u8],
    ) -> TlsStream<TcpStream> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.trust.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.addresses.webhook).await;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::from(LOCALHOST);
        let stream = connector.connect(name, stream.expect("TCP")).await;
        let stream = stream.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    /// A client that speaks no TLS, until the server has ended it: with an alert first, or at once.
    pub(super) async fn nonsense(&self) {
        let stream = TcpStream::connect(self.addresses.webhook).await;
        let mut stream = stream.expect("TCP");
        let written = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        written.expect("written");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    pub(super) async fn http1(&self) -> http1::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(b"http/1.1").await);
        let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1");
        tokio::spawn(connection);
        sender
    }

    pub(super) async fn http2(&self) -> http2::SendRequest<Body> {
        let stream = TokioIo::new(self.tls(b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    /// What a path of the probes answers.
    pub(super) async fn probe(&self, path: &str) -> (StatusCode, String) {
        let stream = TcpStream::connect(self.addresses.health).await;
        let stream = TokioIo::new(stream.expect("TCP"));
        let (mut sender, connection) = http1::handshake(stream).await.expect("HTTP/1");
        tokio::spawn(connection);
        let response = sender.send_request(request(Method::GET, path, ""));
        let response = response.await.expect("a response");
        (response.status(), text(response).await)
    }

    /// The value of a series, as it stands in the scrape.
    pub(super) async fn metric(&self, series: &str) -> String {
        let (status, text) = self.probe("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .to_owned()
    }

    /// Begins the shutdown, and returns once it has begun.
    pub(super) async fn drain(&self) {
        assert_eq!(
            self.probe("/readyz").await,
            (StatusCode::OK, "ok\n".to_owned())
        );
        self.signal.notify_one();
        let draining = (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
        while self.probe("/readyz").await != draining {
            yield_now().await;
        }
    }

    /// A request of which the server has read the header and waits for the body.
    ///
    /// hyper asks for a body that its client holds back when the route begins to read it
    /// (RFC 9110 §10.1.1), which is how a client can know that its request is in flight.
    pub(super) async fn request_in_flight(&self) -> TlsStream<TcpStream> {
        let mut stream = self.tls(b"http/1.1").await;
        let header = "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\
                      expect: 100-continue\r\n\r\n";
        stream.write_all(header.as_bytes()).await.expect("written");
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.expect("asked for more");
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }
}

pub(super) fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(body.into()).expect("a request")
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await;
    String::from_utf8(body.expect("a body").into()).expect("text")
}
