//! TLS as the API server expects it, and the handshake that brings it about.

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{header_deadline::Protocol, metrics::HandshakeFailure};
use crate::pki::ServingPair;

/// The API server itself gives up after 10 s (`TLSHandshakeTimeout` of Go's
/// `net/http.DefaultTransport`, taken over by k8s.io/apimachinery/pkg/util/net/http.go), so nobody
/// waits for what would come later.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The certificate that every handshake is answered with, whatever name the client asks for.
///
/// It can be replaced while the server runs: handshakes from then on see the new one, and
/// connections made with the old one go on. Until there is one, handshakes fail.
#[derive(Debug, Default)]
pub struct ServingCertificate(ArcSwapOption<ServingPair>);

impl ServingCertificate {
    /// The first certificate.
    pub fn new(pair: ServingPair) -> Self {
        Self(ArcSwapOption::from_pointee(pair))
    }

    /// Answers handshakes with another certificate from now on.
    pub fn replace(&self, pair: ServingPair) {
        self.0.store(Some(Arc::new(pair)));
    }

    /// The last second at which it was valid, if that is over: clients refuse it.
    pub fn ended(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let not_after = self.0.load().as_ref()?.not_after;
        (now > not_after).then_some(not_after)
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.0.load();
        Some(Arc::clone(&pair.as_ref()?.certified_key))
    }
}

/// TLS 1.2 and 1.3 with one certificate at a time, offering HTTP/2 and HTTP/1.1.
///
/// The API server asks for at least 1.2 (k8s.io/client-go/transport/transport.go); it takes
/// HTTP/1.1 for a Service and HTTP/2 where offered for a loopback address
/// (k8s.io/apiserver/pkg/util/webhook/client.go).
///
/// # Errors
/// If the TLS provider lacks what these versions need: aws-lc has it.
pub fn server_config(certificate: Arc<ServingCertificate>) -> Result<ServerConfig, rustls::Error> {
    // The provider is named so that nothing depends on a process-wide default having been set.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // client-go keeps no session cache, so the API server never resumes: a ticket would be two
    // records written for nothing.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Brings `stream` under TLS, and says what will be spoken over it.
///
/// # Errors
/// If the client does not finish in time, or the two sides do not agree.
pub(super) async fn handshake<S>(
    acceptor: &TlsAcceptor,
    stream: S,
) -> io::Result<(TlsStream<S>, Protocol)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await;
    let stream = accepted.map_err(|_| {
        let message = "the TLS handshake was not finished within 10 s";
        io::Error::new(io::ErrorKind::TimedOut, message)
    })??;
    // Without ALPN it is HTTP/1.1: HTTP/2 over TLS requires the extension (RFC 9113 §3.2).
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(HTTP2) => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((stream, protocol))
}

/// Why a handshake failed.
pub(super) fn failure(error: &io::Error) -> HandshakeFailure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        // Most often a certificate that its `caBundle` does not know.
        Some(rustls::Error::AlertReceived(_)) => HandshakeFailure::RefusedByClient,
        _ if error.kind() == io::ErrorKind::TimedOut => HandshakeFailure::Slow,
        _ => HandshakeFailure::Broken,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    };
    use time::OffsetDateTime;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };
    use tokio_rustls::{TlsConnector, client};

    use super::*;
    use crate::pki::Authority;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A certificate for the loopback address, and an authority that signed no other.
    struct Issued {
        root: CertificateDer<'static>,
        pair: ServingPair,
    }

    fn issue() -> Issued {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::mint(now, time::Duration::DAY).expect("an authority");
        let leaf = authority.sign_leaf(&[], &[LOCALHOST], now, time::Duration::DAY);
        let pair = leaf.expect("a leaf").serving_pair();
        let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
        Issued {
            root: root.expect("PEM"),
            pair: pair.expect("a pair"),
        }
    }

    fn acceptor(certificate: &Arc<ServingCertificate>) -> TlsAcceptor {
        let config = server_config(Arc::clone(certificate));
        TlsAcceptor::from(Arc::new(config.expect("a configuration")))
    }

    /// Both ends after a handshake with a client that trusts one authority; none if it refused.
    async fn connect(
        acceptor: &TlsAcceptor,
        trusted: &Issued,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Option<(client::TlsStream<DuplexStream>, TlsStream<DuplexStream>)> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.root.clone()).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let (near, far) = duplex(1 << 14);
        let client = connector.connect(ServerName::from(LOCALHOST), near);
        let (client, server) = tokio::join!(client, handshake(acceptor, far));
        Some((client.ok()?, server.ok()?.0))
    }

    #[tokio::test]
    async fn handshakes_show_the_certificate_of_the_moment() {
        for version in [&TLS12, &TLS13] {
            let [old, new] = [issue(), issue()];
            let certificate = Arc::new(ServingCertificate::new(old.pair.clone()));
            let acceptor = acceptor(&certificate);
            let before = connect(&acceptor, &old, version).await;
            let (mut client, mut server) = before.expect("the old certificate");
            assert!(connect(&acceptor, &new, version).await.is_none());

            certificate.replace(new.pair.clone());
            let after = connect(&acceptor, &new, version).await;
            let (fresh, _) = after.expect("the new certificate");
            let shown = fresh.get_ref().1.peer_certificates();
            assert_eq!(shown.expect("certificates"), new.pair.certified_key.cert);
            assert!(connect(&acceptor, &old, version).await.is_none());

            // The connection from before goes on.
            client.write_all(b"still here").await.expect("written");
            client.flush().await.expect("sent");
            let mut received = [0; 10];
            server.read_exact(&mut received).await.expect("received");
            assert_eq!(&received, b"still here");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_left_after_the_limit() {
        let certificate = Arc::new(ServingCertificate::new(issue().pair));
        let (_client, server) = duplex(1024);
        let begin = Instant::now();
        let result = handshake(&acceptor(&certificate), server).await;
        let error = result.expect_err("no handshake");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HANDSHAKE_LIMIT);
    }
}
