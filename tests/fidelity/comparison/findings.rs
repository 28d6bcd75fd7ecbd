//! What the checks say of a shape, against what was measured: an error if and only if a dial of a
//! declared proxy fails, or another is hijacked.

use tunnelguard::mesh::service_entry::Registry;
use tunnelguard::mesh::simulation::is_tunnelled;
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{Dial, Mesh, MeshView, Outcome, ServiceEntry, Speech, simulate};
use tunnelguard::policy::evaluator::evaluate_mesh;
use tunnelguard::policy::proxy::Proxy;
use tunnelguard::policy::{Finding, Severity, evaluate};

use super::Comparison;
use super::dials::shown;
use super::measure::Measured;
use super::repairs::{is_kept_for, reviewed};
use crate::lab::Met;

impl Comparison<'_> {
    /// Compares them.
    pub(super) fn findings(&mut self, mesh: &MeshView, measured: &[Measured]) {
        let context = self.context(mesh);
        let of_entries: Vec<(&ServiceEntry, Vec<Finding>)> = mesh
            .entries()
            .map(|entry| (entry, evaluate(entry, context)))
            .collect();
        let all: Vec<Finding> = of_entries.iter().flat_map(|(_, of)| of.clone()).collect();
        let of_mesh = evaluate_mesh(context, &all);
        let mut wrong = Vec::new();
        for one in measured {
            let mut same = measured.iter().filter(|other| {
                other.dial.address == one.dial.address
                    && other.dial.port == one.dial.port
                    && other.dial.speech == one.dial.speech
            });
            // What one client is shown, its author keeps from the others; and what is left to chance for one
            // is nothing to say of another.
            let is_reached = same.any(|other| {
                let is_taken = !other.owners.is_empty() || other.met == Met::Tunnel;
                (one.owners.is_empty() && is_taken) || other.predicted == Outcome::Unknown
            });
            if !is_reached {
                wrong.extend(self.unfound(one, mesh, &of_entries, &of_mesh));
            }
        }
        for (entry, findings) in &of_entries {
            wrong.extend(self.unfounded(mesh, entry, findings, measured));
            wrong.extend(self.unwarned(entry, findings));
        }
        self.record.findings += all.len() + of_mesh.len();
        wrong.into_iter().for_each(|one| self.disagree(one));
    }

    /// The declared proxies that a dial is one of, made as their policy says.
    fn declared(&self, one: &Measured) -> impl Iterator<Item = &Proxy> {
        let Dial {
            address,
            port,
            speech,
            ..
        } = one.dial.clone();
        let proxies = self.policies.proxies.on_port(port);
        proxies.filter(move |proxy| {
            let as_declared = match &speech {
                Speech::Connect => !proxy.tls,
                Speech::Tls(_) => proxy.tls,
                Speech::ConnectHttp10 => false,
            };
            as_declared && proxy.is_at(address)
        })
    }

    /// Whether a dial fails that is one of a declared proxy. What depends on more than the objects tell
    /// is nothing that a check can say.
    fn is_harm(&self, one: &Measured, mesh: &MeshView) -> bool {
        let is_told = one.predicted != Outcome::Unknown;
        let is_proxys = self.declared(one).next().is_some() || self.is_fronted(one, mesh);
        is_told && one.met != Met::Tunnel && is_proxys
    }

    /// Whether a dial gets 404 at a Service that stands before a declared proxy: nothing else is asked of
    /// Services (TG016).
    fn is_fronted(&self, one: &Measured, mesh: &MeshView) -> bool {
        let is_parsed = matches!(one.met, Met::Refused(_));
        is_parsed
            && mesh.entries().any(|entry| {
                let port = entry.port(one.dial.port);
                entry.registry == Registry::Kubernetes
                    && entry.lists(one.dial.address)
                    && entry.is_visible_from(&one.dial.namespace)
                    && port
                        .is_some_and(|port| !self.policies.proxies.claimed(entry, port).is_empty())
            })
    }

    /// Whether checks speak of a client: of one that has nothing of its own, neither labels that select it
    /// nor objects in its namespace or exported to it by name, unless there are entries among these. What
    /// others do to themselves is not an entry's fault.
    pub(super) fn is_spoken_of(&self, client: &Dial, mesh: &MeshView) -> bool {
        let namespace = &*client.namespace;
        let has_entry = mesh.entries().any(|entry| is_kept_for(entry, namespace));
        let is_selected = client
            .labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty());
        !is_selected && (has_entry || !self.has_others(namespace))
    }

    /// Whether a namespace has objects that are no entries, or is exported some by name.
    pub(super) fn has_others(&self, namespace: &str) -> bool {
        let mut others = self.shape.objects.iter();
        others.any(|object| {
            let own = object["metadata"]["namespace"].as_str();
            let exported = object["spec"]["exportTo"].as_array();
            let is_its = own.unwrap_or("default") == namespace
                || exported.is_some_and(|to| to.iter().any(|to| to == namespace));
            is_its && object["kind"] != "ServiceEntry"
        })
    }

    /// Whether a DestinationRule makes the sidecars send the CONNECT to an entry's hosts: then no
    /// application is to dial it.
    fn is_tunnelled(&self, entry: &ServiceEntry, mesh: &MeshView) -> bool {
        let environment = self.environment();
        let mut hosts = entry.hosts.iter();
        hosts.all(|host| is_tunnelled(mesh, host, &entry.namespace, &environment))
    }

    /// Whether a dial is an entry's concern: its filter chain took it, or it claims the proxy, whoever
    /// takes that one's dials.
    fn concerns(&self, entry: &ServiceEntry, one: &Measured, mesh: &MeshView) -> bool {
        let claims = |proxy: &Proxy| self.claims(entry, one, proxy);
        let is_service = entry.registry == Registry::Kubernetes;
        let is_listed = is_service && entry.lists(one.dial.address);
        is_listed
            || one.is_of(entry)
            || is_unrouted(entry, one, mesh)
            || self.declared(one).any(claims)
    }

    fn claims(&self, entry: &ServiceEntry, one: &Measured, proxy: &Proxy) -> bool {
        entry.port(one.dial.port).is_some_and(|port| {
            let claimed = self.policies.proxies.claimed(entry, port);
            claimed.into_iter().any(|known| known == proxy)
        })
    }

    /// Harm without an error.
    fn unfound(
        &self,
        one: &Measured,
        mesh: &MeshView,
        of_entries: &[(&ServiceEntry, Vec<Finding>)],
        of_mesh: &[Finding],
    ) -> Option<String> {
        // What only a Sidecar's own outbound policy closes is no entry's doing, nor what its listener
        // answers for a proxy that no entry claims.
        let is_claimed = || {
            let mut entries = mesh.entries();
            entries.any(|entry| {
                self.declared(one)
                    .any(|proxy| self.claims(entry, one, proxy))
            })
        };
        let is_nobodys =
            (one.owners.is_empty() && one.is_scoped) || (one.is_by_egress && !is_claimed());
        // Nor is what a namespace's own rules do to its clients the fault of an entry elsewhere.
        let mut owners = mesh.entries().filter(|entry| one.is_of(entry));
        let is_foreign = |entry: &ServiceEntry| !is_kept_for(entry, &one.dial.namespace);
        let is_its_own = self.has_others(&one.dial.namespace)
            && !one.owners.is_empty()
            && owners.all(is_foreign);
        if is_nobodys
            || is_its_own
            || !self.is_harm(one, mesh)
            || !self.is_spoken_of(&one.dial, mesh)
        {
            return None;
        }
        let mut concerned = of_entries
            .iter()
            .filter(|(entry, _)| self.concerns(entry, one, mesh));
        if concerned.any(|(entry, _)| self.is_tunnelled(entry, mesh)) {
            return None;
        }
        // Where a namespace's own entry of a host hides one that lets everyone else's CONNECT pass, a warning
        // that it passes only because of that one is all there is to say.
        let mut entries = mesh.entries();
        let has_own = entries.any(|entry| *entry.namespace == *one.dial.namespace);
        let least = |entry: &ServiceEntry| match has_own && entry.namespace != one.dial.namespace {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let mut told = of_entries
            .iter()
            .filter(|(entry, of)| speaks(of, one, least(entry)));
        let found = told.any(|(entry, _)| self.concerns(entry, one, mesh))
            || (one.owners.is_empty() && speaks(of_mesh, one, Severity::Error));
        let (dial, met) = (shown(&one.dial), &one.met);
        (!found).then(|| {
            format!(
                "{dial} met {met} (as predicted: {:?}), and no finding says so",
                one.predicted
            )
        })
    }

    /// An error without harm.
    fn unfounded(
        &self,
        mesh: &MeshView,
        entry: &ServiceEntry,
        findings: &[Finding],
        measured: &[Measured],
    ) -> Option<String> {
        let mut findings = findings.iter();
        let error = findings.find(|finding| finding.severity == Severity::Error)?;
        let harm = measured.iter().any(|one| {
            let hijacked = matches!(one.met, Met::Hijacked(_)) && one.is_of(entry);
            // Nor can an error be held against what is not predicted, whoever's listener takes it.
            let is_of_port = error.port.is_none_or(|port| port == one.dial.port);
            let open = is_of_port
                && (one.predicted == Outcome::Unknown || self.is_elsewhere(entry, one, mesh));
            open || hijacked || (self.is_harm(one, mesh) && self.concerns(entry, one, mesh))
        });
        let (name, check) = (&entry.name, error.check);
        (!harm).then(|| {
            format!(
                "{name}: {check} says, and nothing shows it: {}",
                error.message()
            )
        })
    }

    /// Whether an entry takes what clients of the other family dial, whom the shape does not have.
    fn is_elsewhere(&self, entry: &ServiceEntry, one: &Measured, mesh: &MeshView) -> bool {
        reviewed(mesh, &one.dial).iter().skip(1).any(|dial| {
            let prediction = simulate(mesh, dial, &self.environment());
            let is_own = prediction.by.is_some_and(|by| by.entry == entry);
            is_own && prediction.outcome.badness() != Some(0)
        })
    }

    /// What istiod refuses is at least warned about, where it is a proxy's.
    fn unwarned(&self, entry: &ServiceEntry, findings: &[Finding]) -> Option<String> {
        // Of Services istiod has nothing to say, and what nobody sees is nobody's proxy.
        let is_hidden = entry.export_to.iter().any(|to| **to == *"~");
        if entry.registry == Registry::Kubernetes || is_hidden {
            return None;
        }
        let rejected = validate(entry).into_iter().next()?;
        let mut ports = entry.ports.iter();
        let is_proxys = ports.any(|port| !self.policies.proxies.claimed(entry, port).is_empty());
        (is_proxys && findings.is_empty()).then(|| {
            let (name, rule) = (&entry.name, rejected.rule);
            format!("{name}: istiod refuses it ({rule}), and no finding says so")
        })
    }
}

/// Whether an entry's HTTP port has a part in a listener that answers 404, and no route by which that would be
/// seen: of the routes of a host, another entry's TCP port takes its own away.
fn is_unrouted(entry: &ServiceEntry, one: &Measured, mesh: &MeshView) -> bool {
    let is_parsed = |entry: &ServiceEntry| {
        let port = entry.port(one.dial.port)?;
        Some(port.protocol.is_http() || port.protocol.is_sniffed())
    };
    let mut rivals = entry.hosts.iter().flat_map(|host| mesh.with_host(host));
    matches!(one.met, Met::Refused(_))
        && is_parsed(entry) == Some(true)
        && rivals.any(|rival| {
            rival.entry.namespace == entry.namespace && is_parsed(rival.entry) == Some(false)
        })
}

/// Whether a finding at least that severe is about the dial's port.
fn speaks(findings: &[Finding], one: &Measured, least: Severity) -> bool {
    let mut severe = findings.iter().filter(|finding| finding.severity >= least);
    // One finding may speak of several ports.
    severe.any(|finding| {
        let mut concerned = finding.proxies.iter().map(|concerned| Some(concerned.port));
        finding.port == Some(one.dial.port) || concerned.any(|port| port == Some(one.dial.port))
    })
}
