//! What a kubelet makes of the chart's Deployment: how one replica is started.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::Certificate;
use super::manifests::component;

/// The container of the Deployment's Pods.
#[derive(Clone)]
pub(crate) struct Container {
    arguments: Vec<String>,
    environment: Vec<Value>,
}

impl Container {
    /// As the chart makes it of its defaults.
    pub(crate) fn shipped() -> Self {
        static SHIPPED: LazyLock<Container> = LazyLock::new(|| {
            let parts = component("admission-webhook");
            let mut deployments = parts.iter().filter(|object| object["kind"] == "Deployment");
            Container::of(deployments.next().expect("a Deployment"))
        });
        SHIPPED.clone()
    }

    /// As a Deployment has it.
    pub(crate) fn of(deployment: &Value) -> Self {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().expect("arguments").iter();
        let arguments = arguments.map(|argument| argument.as_str().expect("a text").to_owned());
        let environment = container["env"].as_array().expect("variables");
        Self {
            arguments: arguments.collect(),
            environment: environment.clone(),
        }
    }

    /// The same with a certificate from files and its authority, with the chart's flags for that.
    pub(crate) fn with_files(mut self, certificate: &Certificate) -> Self {
        self.arguments
            .retain(|argument| argument != "--self-managed");
        // The chart's Service.
        let name = "--tls-name=tunnelguard.tunnelguard-system.svc";
        self.arguments.push(name.to_owned());
        for (flag, name) in [
            ("--tls-cert", "tls.crt"),
            ("--tls-key", "tls.key"),
            ("--tls-ca", "ca.crt"),
        ] {
            let file = certificate.file(name).display().to_string();
            self.arguments.push(format!("{flag}={file}"));
        }
        self
    }

    /// Its command, with more flags, or others in place of its own. A Pod has all ports of an address to itself;
    /// here other ones stand in for them.
    pub(crate) fn command(
        &self,
        listen: SocketAddr,
        health: SocketAddr,
        flags: &[&str],
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
        command.env_clear();
        for argument in &self.arguments {
            let (flag, _) = argument.split_once('=').unwrap_or((argument, ""));
            match flag {
                "--listen" => command.arg(format!("{flag}={listen}")),
                "--health-listen" => command.arg(format!("{flag}={health}")),
                _ if flags.contains(&flag) => &mut command,
                _ => command.arg(argument),
            };
        }
        command.args(flags);
        for variable in &self.environment {
            let name = variable["name"].as_str().expect("a name");
            let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
            let value = match (field.as_str(), variable["value"].as_str()) {
                (Some("metadata.name"), _) => pod_at(listen),
                (Some("metadata.namespace"), _) => "tunnelguard-system".to_owned(),
                (_, Some(value)) => value.to_owned(),
                _ => panic!("no kubelet is here for {variable}"),
            };
            command.env(name, value);
        }
        command
    }
}

/// A name for the Pod of that address.
fn pod_at(address: SocketAddr) -> String {
    format!("tunnelguard-{address}").replace(['.', ':'], "-")
}
