//! A webhook that answers as a test says, whatever that is.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tunnelguard::pki::CertificateFiles;
use tunnelguard::server::tls::{ServingCertificate, server_config};

use super::{Certificate, one_thread};

/// What a review is answered with.
pub(crate) type Answerer = Arc<dyn Fn(Value) -> Response<Body> + Send + Sync>;

/// A webhook server, which ends when this value is dropped.
pub(crate) struct AnsweringWebhook {
    pub(crate) address: SocketAddr,
    certificate: Certificate,
    _runtime: Runtime,
}

impl AnsweringWebhook {
    /// Starts it.
    pub(crate) fn start(answerer: Answerer) -> Self {
        let certificate = Certificate::of_loopback();
        let acceptor = acceptor(&certificate);
        let runtime = one_thread();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(accept(listener, acceptor, answerer));
        Self {
            address,
            certificate,
            _runtime: runtime,
        }
    }

    /// Starts one that answers every review with the same patch.
    pub(crate) fn patching(patch: &Value) -> Self {
        let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
        Self::start(Arc::new(move |review| {
            let answer = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
            });
            Response::new(answer.to_string().into())
        }))
    }

    /// The webhook in a configuration that has the API server ask it about ServiceEntries.
    pub(crate) fn webhook(&self, name: &str, path: &str) -> Value {
        json!({
            "name": name,
            "clientConfig": {
                "url": format!("https://{}/{path}", self.address),
                "caBundle": self.certificate.authority_bundle(),
            },
            "rules": [{
                "apiGroups": ["networking.istio.io"], "apiVersions": ["*"],
                "resources": ["serviceentries"], "operations": ["CREATE", "UPDATE"],
            }],
            "admissionReviewVersions": ["v1"], "sideEffects": "None",
        })
    }
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let files = ["tls.crt", "tls.key"].map(|name| certificate.file(name));
    let [chain, key] = files;
    let pair = CertificateFiles::new(chain, key).load(OffsetDateTime::now_utc());
    let pair = pair.expect("what `tunnelguard certificate` made");
    let tls = server_config(Arc::new(ServingCertificate::new(pair)));
    TlsAcceptor::from(Arc::new(tls.expect("TLS")))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, answerer: Answerer) -> Infallible {
    let routes = Router::new().fallback(answer).with_state(answerer);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(routes);
            let builder = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is the API server's business.
            drop(
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(State(answerer): State<Answerer>, body: Bytes) -> Response<Body> {
    match serde_json::from_slice(&body) {
        Ok(review) => answerer(review),
        Err(error) => Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .body(error.to_string().into())
            .expect("a response"),
    }
}
