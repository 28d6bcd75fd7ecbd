//! What is written to the cluster about the authorities: the Secret, and one field of the webhooks.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use serde_json::json;
use tokio::time::timeout;

use crate::discovery::watch::told_with_cause;
use crate::pki::Authorities;
use crate::pki::authorities::MANAGED_BY;
use crate::server::metrics::{Metrics, SelfManagedObject};

use super::super::attempts::{FIELD_MANAGER, WRITE_LIMIT};
use super::view::{Configuration, KeptSecret};

/// What the two kinds of configurations are called.
pub(super) const KINDS: [&str; 2] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// Where to write.
pub(super) struct Writer {
    pub(super) secrets: Api<Secret>,
    pub(super) secret: String,
    /// Validating and mutating.
    pub(super) configurations: [Api<DynamicObject>; 2],
    pub(super) configuration: String,
    pub(super) metrics: Arc<Metrics>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there.
    Ours,
    /// Somebody was quicker: what was read is not what is there.
    TooLate,
}

impl Writer {
    /// Keeps these in the Secret that was read, or in a new one.
    pub(super) async fn keep(
        &self,
        read: Option<&KeptSecret>,
        authorities: &Authorities,
    ) -> Result<Written, String> {
        let secret = self.secret_of(read, authorities);
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        // With the resourceVersion that was read, or none: whoever is second is refused.
        let written = match read {
            None => {
                self.written(self.secrets.create(&parameters, &secret))
                    .await
            }
            Some(_) => {
                let replacing = self.secrets.replace(&self.secret, &parameters, &secret);
                self.written(replacing).await
            }
        };
        self.count(SelfManagedObject::Secret, &written);
        written.map_err(|error| format!("the Secret {} cannot be written: {error}", self.secret))
    }

    fn secret_of(&self, read: Option<&KeptSecret>, authorities: &Authorities) -> Secret {
        let fresh = || ObjectMeta {
            name: Some(self.secret.clone()),
            ..ObjectMeta::default()
        };
        let mut metadata = read.map_or_else(fresh, |read| read.metadata.clone());
        metadata.managed_fields = None;
        let labels = metadata.labels.get_or_insert_default();
        for (label, value) in [
            MANAGED_BY,
            ("app.kubernetes.io/name", "tunnelguard"),
            ("app.kubernetes.io/part-of", "tunnelguard"),
            ("app.kubernetes.io/component", "certificates"),
        ] {
            labels.insert(label.to_owned(), value.to_owned());
        }
        authorities.annotate(metadata.annotations.get_or_insert_default());
        let contents = authorities.contents().into_iter();
        Secret {
            metadata,
            type_: read.and_then(|read| read.kind.clone()),
            data: Some(
                contents
                    .map(|(key, value)| (key, ByteString(value)))
                    .collect(),
            ),
            ..Secret::default()
        }
    }

    /// Has those webhooks of a configuration that lead to us trust that bundle.
    pub(super) async fn trust(
        &self,
        which: usize,
        read: &Configuration,
        bundle: &str,
    ) -> Result<Written, String> {
        let bundle = BASE64_STANDARD.encode(bundle);
        // A conflict where it is another by now: then the webhooks may stand elsewhere in it.
        let version =
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": read.version});
        let webhooks = read.webhooks.iter().map(|(index, _)| {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            json!({"op": "add", "path": path, "value": bundle})
        });
        let operations = [version].into_iter().chain(webhooks).collect();
        let patch = serde_json::from_value(operations).map_err(|error| error.to_string())?;
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        let configurations = &self.configurations[which];
        let patching = configurations.patch(&self.configuration, &parameters, &patch);
        let written = self.written(patching).await;
        self.count(SelfManagedObject::CaBundle, &written);
        written.map_err(|error| {
            let kind = KINDS[which];
            format!(
                "the caBundle of the {kind} {} cannot be written: {error}",
                self.configuration
            )
        })
    }

    async fn written<T>(
        &self,
        writing: impl Future<Output = kube::Result<T>>,
    ) -> Result<Written, String> {
        match timeout(WRITE_LIMIT, writing).await {
            Ok(Ok(_)) => Ok(Written::Ours),
            // It was made, replaced or deleted since.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 || is_gone(&status) => {
                Ok(Written::TooLate)
            }
            Ok(Err(error)) => Err(told_with_cause(&error) + way_out(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    fn count(&self, what: SelfManagedObject, written: &Result<Written, String>) {
        match written {
            Ok(Written::Ours) => self.metrics.self_managed_written(what, true),
            Ok(Written::TooLate) => {}
            Err(_) => self.metrics.self_managed_written(what, false),
        }
    }
}

/// What a person can do about it, with a semicolon before it.
fn way_out(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "; if a right is missing, apply the chart or install.yaml again"
        }
        _ => "",
    }
}

/// Whether the object is gone, and not the namespace, which only a person can mend.
fn is_gone(status: &kube::core::Status) -> bool {
    let kind = status.details.as_ref().map(|details| &*details.kind);
    status.code == 404 && kind != Some("namespaces")
}
