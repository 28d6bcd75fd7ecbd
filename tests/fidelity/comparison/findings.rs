//! What the checks say of a shape, against what was measured: an error if and only if a dial of a
//! declared proxy fails, or another is hijacked.

use tunnelguard::mesh::service_entry::Registry;
use tunnelguard::mesh::simulation::is_tunnelled;
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{Dial, MeshView, Outcome, ServiceEntry, Speech};
use tunnelguard::policy::evaluator::evaluate_mesh;
use tunnelguard::policy::proxy::Proxy;
use tunnelguard::policy::{Finding, Severity, evaluate};

use super::Comparison;
use super::dials::shown;
use super::measure::Measured;
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
            // What one client is shown, its author keeps from the others.
            let is_reached = one.owners.is_empty()
                && measured.iter().any(|other| {
                    (!other.owners.is_empty() || other.met == Met::Tunnel)
                        && other.dial.address == one.dial.address
                        && other.dial.port == one.dial.port
                        && other.dial.speech == one.dial.speech
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
    /// nor objects in its namespace or exported to it by name, unless these are entries. What others do to
    /// themselves is not an entry's fault.
    pub(super) fn is_spoken_of(&self, client: &Dial, mesh: &MeshView) -> bool {
        let namespace = &*client.namespace;
        let mut objects = self.shape.objects.iter();
        let has_own = objects.any(|object| {
            let own = object["metadata"]["namespace"].as_str();
            let exported = object["spec"]["exportTo"].as_array();
            own.unwrap_or("default") == namespace
                || exported.is_some_and(|to| to.iter().any(|to| to == namespace))
        });
        let has_entry = mesh.entries().any(|entry| {
            *entry.namespace == *namespace || entry.export_to.iter().any(|to| **to == *namespace)
        });
        let is_selected = client
            .labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty());
        !is_selected && (has_entry || !has_own)
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
    fn concerns(&self, entry: &ServiceEntry, one: &Measured) -> bool {
        let claims = |proxy: &Proxy| self.claims(entry, one, proxy);
        let is_service = entry.registry == Registry::Kubernetes;
        let is_listed = is_service && entry.lists(one.dial.address);
        is_listed || one.is_of(entry) || self.declared(one).any(claims)
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
        if is_nobodys || !self.is_harm(one, mesh) || !self.is_spoken_of(&one.dial, mesh) {
            return None;
        }
        let mut concerned = of_entries
            .iter()
            .filter(|(entry, _)| self.concerns(entry, one));
        if concerned.any(|(entry, _)| self.is_tunnelled(entry, mesh)) {
            return None;
        }
        let mut errors = of_entries.iter().filter(|(_, of)| has_error(of, one));
        let found = errors.any(|(entry, _)| self.concerns(entry, one))
            || (one.owners.is_empty() && has_error(of_mesh, one));
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
            let open = one.predicted == Outcome::Unknown && is_of_port;
            open || hijacked || (self.is_harm(one, mesh) && self.concerns(entry, one))
        });
        let (name, check) = (&entry.name, error.check);
        (!harm).then(|| {
            format!(
                "{name}: {check} says, and nothing shows it: {}",
                error.message()
            )
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

/// Whether an error is about the dial's port.
fn has_error(findings: &[Finding], one: &Measured) -> bool {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors.any(|finding| finding.port == Some(one.dial.port))
}
