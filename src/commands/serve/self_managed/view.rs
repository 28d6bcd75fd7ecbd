//! What the cluster says of the authorities: the Secret that keeps them, and the webhook configurations that
//! trust them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use kube::core::ObjectMeta;
use serde_json::Value;
use time::OffsetDateTime;

use crate::discovery::watch::{News, Reading};
use crate::pki::Bundle;
use crate::pki::authorities::Kept;
use crate::pki::plan::Trusted;

/// What was last told, and whether it is what there is.
#[derive(Clone, Debug)]
struct Told<T> {
    object: Option<T>,
    is_current: bool,
}

/// The Secret as it was read.
#[derive(Clone, Debug)]
pub(super) struct KeptSecret {
    /// With what others have put there, so that it stays there.
    pub(super) metadata: ObjectMeta,
    pub(super) kind: Option<String>,
    pub(super) kept: Kept,
}

/// A webhook configuration as it was read.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) uid: String,
    pub(super) version: String,
    /// Of those that lead to our Service: where they stand in the list, and whom they trust.
    pub(super) webhooks: Vec<(usize, Bundle)>,
}

/// Everything that matters.
#[derive(Clone, Debug)]
pub(super) struct View {
    secret: Told<KeptSecret>,
    configurations: [Told<Configuration>; 2],
    /// Since when the webhooks trust whom they trust.
    since: OffsetDateTime,
}

/// The same, once the cluster has told all of it.
pub(super) struct Seen {
    /// None: there is no Secret.
    pub(super) secret: Option<KeptSecret>,
    /// Validating and mutating.
    pub(super) configurations: [Option<Configuration>; 2],
    pub(super) trusted: Trusted,
}

impl Seen {
    pub(super) fn kept(&self) -> &Kept {
        self.secret
            .as_ref()
            .map_or(&Kept::Nothing, |secret| &secret.kept)
    }
}

impl View {
    pub(super) fn nothing(now: OffsetDateTime) -> Self {
        Self {
            secret: Told::nothing(),
            configurations: [Told::nothing(), Told::nothing()],
            since: now,
        }
    }

    pub(super) fn secret_told(&mut self, news: News<KeptSecret>) {
        self.secret.take(news);
    }

    pub(super) fn configuration_told(
        &mut self,
        which: usize,
        news: News<Configuration>,
        now: OffsetDateTime,
    ) {
        let before = self.bundles();
        self.configurations[which].take(news);
        if self.bundles() != before {
            self.since = now;
        }
    }

    /// What can be gone by, or nothing while the cluster does not tell all of it.
    pub(super) fn seen(&self) -> Option<Seen> {
        let [validating, mutating] = &self.configurations;
        let is_current = self.secret.is_current && validating.is_current && mutating.is_current;
        is_current.then(|| Seen {
            secret: self.secret.object.clone(),
            configurations: [validating.object.clone(), mutating.object.clone()],
            trusted: Trusted {
                bundles: self.bundles(),
                since: self.since,
            },
        })
    }

    fn bundles(&self) -> Vec<Bundle> {
        let configurations = self.configurations.iter();
        let there = configurations.filter_map(|told| told.object.as_ref());
        let webhooks = there.flat_map(|configuration| &configuration.webhooks);
        webhooks.map(|(_, bundle)| bundle.clone()).collect()
    }
}

impl<T> Told<T> {
    fn nothing() -> Self {
        Self {
            object: None,
            is_current: false,
        }
    }

    /// There is one at most: it is followed by its name.
    fn take(&mut self, news: News<T>) {
        match news {
            News::Listed(mut objects) => self.object = objects.pop(),
            News::Applied(object) => self.object = Some(object),
            News::Deleted(_) | News::NotInstalled => self.object = None,
            News::Unanswered => {
                self.is_current = false;
                return;
            }
            // Each can be read in some way.
            News::LeftOut(_) => return,
        }
        self.is_current = true;
    }
}

/// What is kept of the Secret.
pub(super) fn secret(secret: Secret) -> Reading<KeptSecret> {
    let Secret {
        metadata,
        data,
        type_,
        ..
    } = secret;
    let contents = data.into_iter().flatten();
    let contents = contents.map(|(key, value)| (key, value.0)).collect();
    let labels = metadata.labels.clone().unwrap_or_default();
    let annotations = metadata.annotations.clone().unwrap_or_default();
    Ok(Some(KeptSecret {
        kept: Kept::read(&labels, &annotations, &contents),
        kind: type_,
        metadata,
    }))
}

/// What is kept of a configuration whose webhooks may lead to that Service.
pub(super) fn configuration(
    object: &DynamicObject,
    namespace: &str,
    service: &str,
) -> Configuration {
    let is_ours = |client: &Value| {
        client["service"]["name"] == service && client["service"]["namespace"] == namespace
    };
    let webhooks = object.data["webhooks"].as_array().into_iter().flatten();
    let clients = webhooks.map(|webhook| &webhook["clientConfig"]).enumerate();
    let ours = clients.filter(|(_, client)| is_ours(client));
    let bundle = |client: &Value| {
        let text = client["caBundle"].as_str().unwrap_or_default();
        Bundle::read(BASE64_STANDARD.decode(text).unwrap_or_default())
    };
    Configuration {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        version: object.metadata.resource_version.clone().unwrap_or_default(),
        webhooks: ours
            .map(|(index, client)| (index, bundle(client)))
            .collect(),
    }
}
