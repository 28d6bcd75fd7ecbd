//! `tunnelguard trace`: what a sidecar does with one connection, and because of whom.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use crate::mesh::kubernetes::completed;
use crate::mesh::service_entry::{Registry, Resolution};
use crate::mesh::{Dial, Labels, Mesh, ServiceEntry, Speech, simulate};
use crate::policy::proxy::normal_host;
use crate::report::{TraceReport, trace_human, trace_json};
use crate::state::Snapshot;

use super::arguments::PolicyArguments;
use super::workspace::Workspace;
use super::{Exit, Format, is_styled};

/// The flags of `trace`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What is dialled: IP:PORT, or HOST:PORT where a policy, an entry or a Service tells the host's IP.
    #[arg(value_name = "TARGET")]
    target: String,
    /// The mesh's objects: files, directories, or - for stdin; repeatable.
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Who dials: NAMESPACE, or NAMESPACE/LABEL=VALUE,… where a selector asks for the client's labels.
    #[arg(long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_client)]
    from: Client,
    /// The client speaks TLS to the proxy, with this server name if one is given.
    #[arg(long, value_name = "SNI", num_args = 0..=1, require_equals = true, conflicts_with = "http10")]
    tls: Option<Option<String>>,
    /// The client sends its CONNECT with HTTP/1.0, which sidecars do not take for HTTP.
    #[arg(long)]
    http10: bool,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// Who dials.
#[derive(Clone, Debug)]
struct Client {
    namespace: String,
    labels: Option<Labels>,
}

fn parse_client(text: &str) -> anyhow::Result<Client> {
    let (namespace, labels) = match text.split_once('/') {
        Some((namespace, labels)) => (namespace, Some(parse_labels(labels)?)),
        None => (text, None),
    };
    if namespace.is_empty() {
        bail!("a client needs a namespace: default, or default/app=web");
    }
    Ok(Client {
        namespace: namespace.to_owned(),
        labels,
    })
}

fn parse_labels(text: &str) -> anyhow::Result<Labels> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| match pair.split_once('=') {
        Some((label, value)) => Ok((label.into(), value.into())),
        None => bail!("{pair:?} is no LABEL=VALUE"),
    });
    labels.collect()
}

/// Traces and reports; it succeeds whenever it answers.
pub(super) fn run(
    arguments: &Arguments,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut snapshot = arguments.policy.snapshot()?;
    let workspace = Workspace::read(&arguments.files)?;
    for (file, problem) in &workspace.problems {
        let name = &workspace.files[*file].name;
        let line = problem.location.line;
        writeln!(
            std::io::stderr(),
            "not in view: {name}:{line}: {}",
            problem.message
        )?;
    }
    for skipped in &workspace.skipped {
        writeln!(
            std::io::stderr(),
            "not in view: {}: {}",
            skipped.name,
            skipped.reason
        )?;
    }
    snapshot.mesh = Arc::new(workspace.mesh);
    let dials = dials(arguments, &snapshot)?;
    let environment = snapshot.environment();
    let traces: Vec<TraceReport<'_>> = dials
        .iter()
        .map(|dial| TraceReport {
            dial,
            environment,
            prediction: simulate(&*snapshot.mesh, dial, &environment),
        })
        .collect();
    match format {
        Format::Json => trace_json(&traces, out)?,
        Format::Human => trace_human(&traces, is_styled(), out)?,
    }
    Ok(Exit::Clean)
}

fn dials(arguments: &Arguments, snapshot: &Snapshot) -> anyhow::Result<Vec<Dial>> {
    let target = arguments.target.trim_end_matches('/');
    let target = target.split_once("://").map_or(target, |(_, rest)| rest);
    let Some((host, port)) = target.rsplit_once(':') else {
        bail!("{target:?} has no port: trace {target}:3128");
    };
    let port: u16 = match port.parse() {
        Ok(port) if port > 0 => port,
        _ => bail!("{port:?} is no port between 1 and 65535"),
    };
    let host = host.trim_matches(['[', ']']);
    let speech = match (&arguments.tls, arguments.http10) {
        (Some(name), _) => Speech::Tls(name.as_deref().map(Into::into)),
        (None, true) => Speech::ConnectHttp10,
        (None, false) => Speech::Connect,
    };
    let dials = addresses(host, &arguments.from.namespace, snapshot)?
        .into_iter()
        .map(|address| Dial {
            namespace: arguments.from.namespace.as_str().into(),
            labels: arguments.from.labels.clone(),
            address,
            port,
            speech: speech.clone(),
        });
    Ok(dials.collect())
}

/// Where a headless Service's name leads.
fn headless_endpoints(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> + '_ {
    let applies = entry.registry == Registry::Kubernetes && entry.resolution == Resolution::None;
    let endpoints = entry.endpoints.iter().filter(move |_| applies);
    endpoints.filter_map(|endpoint| endpoint.address.parse().ok())
}

/// A sidecar sees the address, never the name: so a name has to be known here.
fn addresses(host: &str, namespace: &str, snapshot: &Snapshot) -> anyhow::Result<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let normal = normal_host(host);
    let mut addresses = snapshot
        .policies
        .proxies
        .names()
        .get(&normal)
        .cloned()
        .unwrap_or_default();
    if addresses.is_empty() {
        let hosts = completed(&normal, namespace);
        for ranked in hosts.iter().flat_map(|host| snapshot.mesh.with_host(host)) {
            addresses.extend(ranked.entry.usable_addresses());
            addresses.extend(headless_endpoints(ranked.entry));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        bail!(
            "neither a policy nor an object in view tells where {host} leads, and a sidecar decides by the IP: give the IP instead"
        );
    }
    Ok(addresses)
}
