//! TLS as the API server expects it, and the handshake that brings it about.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{header_deadline::Protocol, metrics::HandshakeFailure};

/// The API server itself gives up after 10 s (`TLSHandshakeTimeout` of Go's
/// `net/http.DefaultTransport`, taken over by k8s.io/apimachinery/pkg/util/net/http.go), so nobody
/// waits for what would come later.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// TLS 1.2 and 1.3 with one certificate, offering HTTP/2 and HTTP/1.1.
///
/// The API server asks for at least 1.2 (k8s.io/client-go/transport/transport.go); it takes
/// HTTP/1.1 for a Service and HTTP/2 where offered for a loopback address
/// (k8s.io/apiserver/pkg/util/webhook/client.go).
///
/// # Errors
/// If the key is not the first certificate's, or of a kind that rustls cannot sign with.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // The provider is named so that nothing depends on a process-wide default having been set.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
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
    use std::net::Ipv4Addr;

    use time::OffsetDateTime;
    use tokio::{io::duplex, time::Instant};

    use super::*;
    use crate::pki::{Authority, Leaf};

    fn leaf() -> Leaf {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::mint(now, 1).expect("an authority");
        let addresses = [Ipv4Addr::LOCALHOST.into()];
        authority
            .sign_leaf(&[], &addresses, now, 1)
            .expect("a leaf")
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_left_after_the_limit() {
        let leaf = leaf();
        let config = server_config(leaf.chain, leaf.key).expect("a configuration");
        let (_client, server) = duplex(1024);
        let begin = Instant::now();
        let result = handshake(&TlsAcceptor::from(Arc::new(config)), server).await;
        let error = result.expect_err("no handshake");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HANDSHAKE_LIMIT);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let mixed = server_config(leaf().chain, leaf().key);
        assert!(matches!(
            mixed,
            Err(rustls::Error::InconsistentKeys(
                rustls::InconsistentKeys::KeyMismatch
            ))
        ));
    }
}
