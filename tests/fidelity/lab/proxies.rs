//! Proxies that take CONNECT, at every address that is dialled, and the origin behind them.
//!
//! Each says in its answer what it saw: at which address it was reached, inside how much TLS, and the
//! line that it was sent. So the answer proves by itself where a connection went.

use std::net::Ipv6Addr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{
    self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Where proxies listen.
const PORTS: [u16; 3] = [3128, 8080, 8443];

/// The site behind the proxies.
pub(crate) const ORIGIN: &str = "origin.test";
/// What it answers.
pub(crate) const PAGE: &str = "<!doctype html>\n<title>The outside world</title>\n";

/// Whom proxies and origin say they are.
const SUBJECTS: [&str; 8] = [
    ORIGIN,
    "my-company-proxy.com",
    "second.test",
    "api.test",
    "other.test",
    "a.corp",
    "a.test",
    "10.20.0.5",
];

/// Starts them, and gives what a client needs to trust them, and the same in PEM.
pub(crate) async fn serve() -> (Arc<ClientConfig>, String) {
    let subjects = SUBJECTS.map(str::to_owned).to_vec();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(subjects).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
    for port in PORTS {
        // IPv4 comes here as well.
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await;
        tokio::spawn(accept(
            listener.expect("the port is ours"),
            acceptor.clone(),
        ));
    }
    (Arc::new(trusting(cert.der().clone())), cert.pem())
}

fn trusting(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let acceptor = acceptor.clone();
        // What a client breaks off is the client's to tell.
        tokio::spawn(async move { drop(answer(stream, acceptor).await) });
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut reached = stream.local_addr()?;
    reached.set_ip(reached.ip().to_canonical());
    let (mut stream, layers) = unwrap(Box::new(stream), &acceptor).await?;
    let head = head(&mut stream).await?;
    let line = head.lines().next().unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 200 Connection established\r\nX-Reached: {reached}\r\nX-TLS: {layers}\r\nX-Request: {line}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    match line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
    {
        Some(target) => far_end(target, stream, &acceptor).await,
        None => stream.shutdown().await,
    }
}

/// What is at the other end of a tunnel: the origin, or whatever a sidecar's own tunnel leads to, which
/// says so to a CONNECT.
async fn far_end(target: &str, stream: Unwrapped, acceptor: &TlsAcceptor) -> io::Result<()> {
    let (mut stream, _) = unwrap(Box::new(stream), acceptor).await?;
    let head = head(&mut stream).await?;
    let answer = match head.starts_with("CONNECT ") {
        true => format!("HTTP/1.1 200 OK\r\nX-Reached: {target}\r\n\r\n"),
        false => {
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n{PAGE}")
        }
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}
type Unwrapped = BufReader<Box<dyn Bytes>>;

/// Takes TLS off, as often as there is some, and counts.
async fn unwrap(stream: Box<dyn Bytes>, acceptor: &TlsAcceptor) -> io::Result<(Unwrapped, u8)> {
    let mut stream = BufReader::new(stream);
    let mut layers = 0;
    // The type of a handshake record (RFC 8446 §5.1).
    while stream.fill_buf().await?.first() == Some(&22) {
        stream = BufReader::new(Box::new(acceptor.accept(stream).await?));
        layers += 1;
    }
    Ok((stream, layers))
}

/// The head of a request or an answer, byte by byte, so that nothing that follows is taken.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
