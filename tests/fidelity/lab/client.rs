//! The application: it opens a connection and says what it met.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tunnelguard::mesh::{Dial, Outcome, Speech};

use super::envoy::Family;
use super::proxies::{ORIGIN, PAGE, head};

/// How long a connection may say nothing before it is said to hang: far longer than any answer takes,
/// and longer than the second that Envoy waits for its upstream to be resolved.
const SILENCE: Duration = Duration::from_secs(10);

/// What a dial met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The proxy dialled, or one behind the virtual address dialled, and through it the origin.
    Tunnel,
    /// An answer of the sidecar's own.
    Refused(String),
    /// Another proxy.
    Hijacked(String),
    /// The proxy dialled, but inside TLS that the application did not speak.
    Wrapped,
    /// Reset, end or failed handshake: which of them one sees is a race.
    Closed,
    /// Nothing at all.
    Silence,
}

impl Met {
    /// Whether that is what was predicted. The sidecar's answer to a TLS handshake is none that the
    /// application could read.
    pub(crate) fn is(&self, predicted: Outcome, speech: &Speech) -> bool {
        match predicted {
            Outcome::Tunnel => *self == Self::Tunnel,
            Outcome::NotFound if matches!(speech, Speech::Tls(_)) => *self == Self::Closed,
            Outcome::NotFound => matches!(self, Self::Refused(_)),
            Outcome::NoEndpoints | Outcome::BlackHole => *self == Self::Closed,
            Outcome::Hijacked => matches!(self, Self::Hijacked(_)),
            Outcome::Wrapped => *self == Self::Wrapped,
            Outcome::Unknown => true,
        }
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel => f.write_str("a tunnel"),
            Self::Refused(status) => write!(f, "{status} from the sidecar"),
            Self::Hijacked(by) => write!(f, "the proxy at {by}"),
            Self::Wrapped => f.write_str("the proxy inside TLS"),
            Self::Closed => f.write_str("a closed connection"),
            Self::Silence => f.write_str("silence"),
        }
    }
}

/// Dials, and says what it met. One of those that are meant may answer, or whoever is dialled where
/// nobody else is.
pub(crate) async fn dial(dial: &Dial, meant: &[IpAddr], trust: &Arc<ClientConfig>) -> Met {
    match timeout(SILENCE, attempt(dial, meant, trust)).await {
        Err(_) => Met::Silence,
        Ok(Err(_)) => Met::Closed,
        Ok(Ok(met)) => met,
    }
}

async fn attempt(dial: &Dial, meant: &[IpAddr], trust: &Arc<ClientConfig>) -> io::Result<Met> {
    let family = Family::of(dial.address);
    let socket = match family {
        Family::V4 => TcpSocket::new_v4()?,
        Family::V6 => TcpSocket::new_v6()?,
    };
    socket.bind((family.own(), 0).into())?;
    let proxy = SocketAddr::new(dial.address, dial.port);
    let stream = socket.connect(proxy).await?;
    let version = match &dial.speech {
        Speech::ConnectHttp10 => "1.0",
        _ => "1.1",
    };
    let Speech::Tls(name) = &dial.speech else {
        return connect(stream, proxy, meant, version, false, trust).await;
    };
    // An address is no server name (RFC 6066 §3), so none is sent; the certificate has this one.
    let name = name.as_deref().unwrap_or("10.20.0.5").to_owned();
    let name = ServerName::try_from(name).expect("a server name");
    let stream = TlsConnector::from(trust.clone()).connect(name, stream);
    connect(stream.await?, proxy, meant, version, true, trust).await
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    proxy: SocketAddr,
    meant: &[IpAddr],
    version: &str,
    speaks_tls: bool,
    trust: &Arc<ClientConfig>,
) -> io::Result<Met> {
    let request = format!("CONNECT {ORIGIN}:443 HTTP/{version}\r\nHost: {ORIGIN}:443\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let answer = head(&mut stream).await?;
    let Some(reached) = field(&answer, "X-Reached") else {
        let status = answer.split(' ').nth(1).unwrap_or_default();
        return Ok(Met::Refused(status.to_owned()));
    };
    let is_behind = |address: SocketAddr| meant.contains(&address.ip());
    let is_meant = reached == proxy.to_string() || reached.parse().is_ok_and(is_behind);
    if !is_meant {
        return Ok(Met::Hijacked(reached.to_owned()));
    }
    let own = if speaks_tls { "1" } else { "0" };
    if field(&answer, "X-TLS") != Some(own) {
        return Ok(Met::Wrapped);
    }
    let sent = request.lines().next();
    assert_eq!(
        field(&answer, "X-Request"),
        sent,
        "{proxy} was sent another"
    );
    let page = page(stream, trust).await?;
    assert!(page.ends_with(PAGE), "not the origin's page: {page:?}");
    Ok(Met::Tunnel)
}

/// What the origin answers through the tunnel, end to end in TLS.
async fn page<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    trust: &Arc<ClientConfig>,
) -> io::Result<String> {
    let name = ServerName::try_from(ORIGIN).expect("a name");
    let mut origin = TlsConnector::from(trust.clone())
        .connect(name, stream)
        .await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n");
    origin.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    origin.read_to_string(&mut page).await?;
    Ok(page)
}

/// A field of an answer's head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value)
}
