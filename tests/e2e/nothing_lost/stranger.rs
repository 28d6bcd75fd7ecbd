//! Clients that dial the webhook themselves, past the API server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whom the API server wants to see, for the Service of `manifests/`.
const NAME: &str = "tunnelguard.tunnelguard-system.svc";

/// Somebody who trusts what a webhook's `caBundle` has, and shakes hands anew for every connection.
#[derive(Clone)]
pub(super) struct Stranger(TlsConnector);

impl Stranger {
    /// One who trusts these authorities, in PEM.
    pub(super) fn trusting(bundle: &[u8]) -> Self {
        let mut trusted = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(bundle) {
            let authority = authority.expect("PEM");
            trusted.add(authority).expect("an authority");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// A connection after its handshake.
    pub(super) async fn dial(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(NAME).expect("a name");
        self.0.connect(name, stream).await
    }

    /// The answer to a review, over a connection of its own.
    pub(super) async fn ask(&self, address: SocketAddr, review: &str) -> io::Result<StatusCode> {
        let stream = TokioIo::new(self.dial(address).await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        let request = Request::post("/validate").header("host", NAME);
        let request = request.body(Body::from(review.to_owned()));
        let request = request.expect("a request");
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = axum::body::to_bytes(Body::new(answer.into_body()), usize::MAX).await;
            drop(sender);
            Ok(body.map(|_| status))
        };
        let (answer, _) = tokio::join!(exchange, connection);
        answer
            .map_err(|error: hyper::Error| io::Error::other(error))?
            .map_err(io::Error::other)
    }
}

/// A review of an entry that breaks nobody, with an annotation of some length.
pub(super) fn review(annotation: usize) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "a-stranger's", "namespace": "default", "name": "ordinary", "operation": "CREATE",
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"},
            "resource": {"group": "networking.istio.io", "version": "v1", "resource": "serviceentries"},
            "userInfo": {"username": "a stranger"}, "dryRun": false, "oldObject": null,
            "object": {
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": {"name": "ordinary", "namespace": "default", "annotations": {"long": "x".repeat(annotation)}},
                "spec": {
                    "hosts": ["ordinary.example"], "resolution": "DNS",
                    "ports": [{"name": "https", "number": 443, "protocol": "TLS"}],
                },
            },
        },
    });
    review.to_string()
}
