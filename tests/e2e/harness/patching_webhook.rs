//! Somebody else's mutating webhook, which answers every review with the same patch.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tunnelguard::pki::CertificateFiles;
use tunnelguard::server::metrics::Metrics;
use tunnelguard::server::tls::{ServingCertificate, server_config};
use tunnelguard::server::{Options, Reply, Review, Server};

use super::{Certificate, free_address, one_thread};

/// A webhook server, which ends when this value is dropped.
pub(crate) struct PatchingWebhook {
    address: SocketAddr,
    certificate: Certificate,
    _runtime: Runtime,
}

impl PatchingWebhook {
    /// Starts it.
    pub(crate) fn start(patch: &Value) -> Self {
        let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
        Self::answering(Arc::new(move |_, review| {
            let review: Value = serde_json::from_slice(review).expect("a review");
            let response = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
            });
            Reply {
                status: axum::http::StatusCode::OK,
                content_type: "application/json",
                body: response.to_string().into_bytes(),
            }
        }))
    }

    fn answering(review: Review) -> Self {
        let certificate = Certificate::of_loopback();
        let mut files =
            CertificateFiles::new(certificate.file("tls.crt"), certificate.file("tls.key"));
        let pair = files
            .load(OffsetDateTime::now_utc())
            .expect("a certificate");
        let tls = server_config(Arc::new(ServingCertificate::new(pair))).expect("TLS");
        let options = Options {
            listen: free_address(Ipv4Addr::LOCALHOST),
            health_listen: free_address(Ipv4Addr::LOCALHOST),
            connections: 64,
            reviews: 64,
            patience: Duration::from_secs(1),
        };
        let runtime = one_thread();
        let server = runtime.block_on(Server::bind(
            options,
            tls,
            review,
            Arc::new(Metrics::default()),
        ));
        runtime.spawn(server.expect("free addresses").run(std::future::pending()));
        Self {
            address: options.listen,
            certificate,
            _runtime: runtime,
        }
    }

    /// A configuration that has the API server ask it about every ServiceEntry that is written.
    pub(crate) fn configuration(&self, name: &str, reinvocation_policy: &str) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.example.com"),
                "clientConfig": {
                    "url": format!("https://{}/mutate", self.address),
                    "caBundle": self.certificate.authority_bundle(),
                },
                "rules": [{
                    "apiGroups": ["networking.istio.io"], "apiVersions": ["*"],
                    "resources": ["serviceentries"], "operations": ["CREATE", "UPDATE"],
                }],
                "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "reinvocationPolicy": reinvocation_policy,
            }],
        })
    }
}
