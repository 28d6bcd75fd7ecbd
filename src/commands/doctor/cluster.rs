//! The cluster that is looked at: nothing in it is changed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use clap::Args;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use k8s_openapi::List;
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, Status};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::discovery::watch::told_with_cause;
use crate::policy::spec;

use super::Installed;
use super::attempts::{Attempt, POLICY_FILES};
use super::facts::{Answer, Facts, Seen, Tried};
use super::rights::rights;

/// How long an answer is waited for: more than the 34 s that a write may take
/// (requestTimeoutUpperBound, k8s.io/apiserver/pkg/endpoints/handlers/rest.go).
const PATIENCE: Duration = Duration::from_secs(40);

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct ClusterArguments {
    /// The kubeconfig [default: what KUBECONFIG names, else ~/.kube/config, else the cluster that it runs in].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// A cluster that can be asked.
pub(super) struct Cluster {
    client: Client,
    server: String,
}

/// What is read of a list of anything.
#[derive(Deserialize)]
struct Items {
    items: Vec<Value>,
}

impl ClusterArguments {
    /// # Errors
    /// No kubeconfig can be used, and this is no Pod.
    pub(super) async fn connect(&self) -> anyhow::Result<Cluster> {
        let mut config = self.config().await.context("no cluster can be asked")?;
        config.read_timeout = Some(PATIENCE);
        let server = config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        let client = Client::try_from(config).context("the cluster cannot be asked")?;
        Ok(Cluster { client, server })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match kubeconfig {
            Ok(kubeconfig) => kubeconfig,
            // In a Pod, and nothing was said about another cluster.
            Err(_) if self.kubeconfig.is_none() && self.context.is_none() && in_pod() => {
                return Ok(Config::incluster()?);
            }
            Err(error) => return Err(error.into()),
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?)
    }
}

/// Set by the kubelet in every Pod.
fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

impl Cluster {
    /// Asks for everything.
    ///
    /// # Errors
    /// The API server cannot be reached, or does not know who asks.
    pub(super) async fn facts(&self, installed: &Installed) -> anyhow::Result<Facts> {
        const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
        let (version, now) = self.version().await?;
        let Installed {
            namespace,
            service,
            webhook_configuration: configuration,
            ca_secret,
            try_in,
            ..
        } = installed;
        let own = format!("/api/v1/namespaces/{namespace}");
        let definition = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.{}",
            spec::PLURAL,
            spec::GROUP
        );
        let policies = format!("/apis/{}/{}", spec::API_VERSION, spec::PLURAL);
        let slices = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}"
        );
        let lease =
            format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tunnelguard");
        // The chart has one name for it everywhere.
        let deployment = format!("/apis/apps/v1/namespaces/{namespace}/deployments/tunnelguard");
        let mutating = format!("{REGISTRATION}/mutatingwebhookconfigurations/{configuration}");
        let validating = format!("{REGISTRATION}/validatingwebhookconfigurations/{configuration}");
        let slices: Seen<List<_>> = self.get(&slices).await?;
        let policies: Seen<Items> = self.get(&policies).await?;
        Ok(Facts {
            now,
            server: self.server.clone(),
            version,
            entry_versions: self.entry_versions().await?,
            definition: self.get(&definition).await?,
            policies: policies.map(|list| list.items),
            policy_files: self
                .get(&format!("{own}/configmaps/{POLICY_FILES}"))
                .await?,
            mutating: self.get(&mutating).await?,
            validating: self.get(&validating).await?,
            deployment: self.get(&deployment).await?,
            authority: self.get(&format!("{own}/secrets/{ca_secret}")).await?,
            service: self.get(&format!("{own}/services/{service}")).await?,
            slices: slices.map(|list| list.items),
            lease: self.get(&lease).await?,
            rights: self.rights(installed).await?,
            namespace: self.get(&format!("/api/v1/namespaces/{try_in}")).await?,
        })
    }

    /// Creates something in a dry run.
    ///
    /// # Errors
    /// The API server cannot be reached.
    pub(super) async fn attempt(&self, attempt: Attempt) -> anyhow::Result<Tried> {
        // Whatever is not known to this cluster's definition is dropped, as it is for most clients.
        let path = format!(
            "{}?dryRun=All&fieldManager=tunnelguard-doctor",
            attempt.path
        );
        let answer = self.post(&path, &attempt.object).await?;
        let (code, warnings) = (answer.status(), warnings(answer.headers()));
        let body = answer.into_body().collect_bytes().await?;
        let answer = if code.is_success() {
            let object = serde_json::from_slice(&body)?;
            Answer::Created { object, warnings }
        } else {
            let status: Result<Status, _> = serde_json::from_slice(&body);
            let message = status.ok().and_then(|status| status.message);
            let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
            let code = code.as_u16();
            Answer::Refused { code, message }
        };
        Ok(Tried { attempt, answer })
    }

    /// The API server's version and time.
    async fn version(&self) -> anyhow::Result<(Info, Timestamp)> {
        let request = Request::get("/version").body(Body::empty())?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status() != StatusCode::OK {
            bail!("{} answers {} to /version", self.server, answer.status());
        }
        let date = answer.headers().get(header::DATE);
        let date = date.and_then(|date| rfc2822::parse(date.to_str().ok()?).ok());
        let now = date.map_or_else(Timestamp::now, |date| date.timestamp());
        let body = answer.into_body().collect_bytes().await?;
        let version = serde_json::from_slice(&body);
        let version = version.with_context(|| format!("{} is no API server", self.server))?;
        Ok((version, now))
    }

    /// In which versions ServiceEntries are served, as the API server prefers them.
    async fn entry_versions(&self) -> anyhow::Result<Seen<Vec<String>>> {
        const GROUP: &str = "/apis/networking.istio.io";
        #[derive(Deserialize)]
        struct Resources {
            resources: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            name: String,
        }
        let group: Seen<APIGroup> = self.get(GROUP).await?;
        let group = match group {
            Seen::Found(group) => group,
            Seen::Absent => return Ok(Seen::Absent),
            Seen::Untold(why) => return Ok(Seen::Untold(why)),
        };
        let mut versions = Vec::new();
        for version in group.versions {
            let served: Seen<Resources> = self.get(&format!("{GROUP}/{}", version.version)).await?;
            let served = served.found().map(|served| &served.resources);
            let mut served = served.into_iter().flatten();
            if served.any(|resource| resource.name == "serviceentries") {
                versions.push(version.version);
            }
        }
        Ok(match versions.is_empty() {
            true => Seen::Absent,
            false => Seen::Found(versions),
        })
    }

    async fn rights(
        &self,
        installed: &Installed,
    ) -> anyhow::Result<Vec<(super::rights::Right, Seen<bool>)>> {
        const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let mut answered = Vec::new();
        for right in rights(installed) {
            let spec: SubjectAccessReviewSpec = right.question(installed);
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
            });
            let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/json");
            let request = request.body(review.to_string().into_bytes())?;
            let review: Seen<SubjectAccessReview> = self.asked(request).await?;
            let allowed = review.map(|review| review.status.is_some_and(|status| status.allowed));
            let refused = matches!(allowed, Seen::Untold(_));
            answered.push((right, allowed));
            // The others would be refused likewise.
            if refused {
                break;
            }
        }
        Ok(answered)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Seen<T>> {
        self.asked(Request::get(path).body(Vec::new())?).await
    }

    async fn asked<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
    ) -> anyhow::Result<Seen<T>> {
        match self.client.request(request).await {
            Ok(found) => Ok(Seen::Found(found)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Seen::Absent),
            Err(kube::Error::Api(status)) if status.code == 401 => {
                bail!("{} does not know who asks: {}", self.server, status.message)
            }
            Err(error @ (kube::Error::Api(_) | kube::Error::SerdeError(_))) => {
                Ok(Seen::Untold(told_with_cause(&error)))
            }
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Response<Body>> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(object.to_string().into_bytes()))?;
        let answer = self.client.send(request).await;
        answer.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &kube::Error) -> anyhow::Error {
        let why = told_with_cause(error);
        anyhow::anyhow!("{} cannot be reached: {why}", self.server)
    }
}

/// The texts of `Warning: 299 - "…"` (RFC 9111 §5.5, as the API server writes them).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(header::WARNING).iter();
    let texts = all.filter_map(|value| {
        let value = str::from_utf8(value.as_bytes()).ok()?;
        let quoted = value.split_once('"')?.1.rsplit_once('"')?.0;
        Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    texts.collect()
}
