//! The files a command was given, read: entries, where they stand, and what could not be read.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::mesh::destination_rule::{DestinationRule, is_destination_rule};
use crate::mesh::kubernetes::{is_service, read_service};
use crate::mesh::service_entry::{GROUP, Registry, is_service_entry};
use crate::mesh::sidecar::{Sidecar, is_sidecar};
use crate::mesh::view::Unmodelled;
use crate::mesh::workload_entry::{WorkloadEntry, is_workload_entry};
use crate::mesh::{self, MeshView, ServiceEntry};
use crate::report::ObjectName;
use crate::source::{self, Document, Problem, Skipped, SourceFile};

use super::services::Services;

/// Everything that was read.
pub(super) struct Workspace {
    pub(super) files: Vec<SourceFile>,
    pub(super) entries: Vec<Placed>,
    /// With the index of their file.
    pub(super) problems: Vec<(usize, Problem)>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) mesh: MeshView,
    /// Services, with their endpoints.
    pub(super) services: Vec<Placed>,
    unpaired: Services,
}

/// An entry or a Service, with its document.
pub(super) struct Placed {
    pub(super) file: usize,
    pub(super) document: Document,
    pub(super) entry: ServiceEntry,
}

/// From how many files on progress is shown: fewer are read before a bar could be drawn.
const MANY: usize = 200;

impl Workspace {
    /// Reads files, directories and stdin (`-`).
    ///
    /// # Errors
    /// A path that does not exist. What cannot be read inside is a problem, not an error.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let files = source::collect(paths, io::stdin().lock())?;
        Ok(Self::of(files))
    }

    /// Reads files that are at hand.
    pub(super) fn of(mut files: Vec<SourceFile>) -> Self {
        // Files carry no creation time: their names decide, not the order of the arguments.
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut workspace = Self {
            files: Vec::new(),
            entries: Vec::new(),
            problems: Vec::new(),
            skipped: Vec::new(),
            mesh: MeshView::new(),
            services: Vec::new(),
            unpaired: Services::default(),
        };
        let progress = match files.len() >= MANY && io::stderr().is_terminal() {
            true => indicatif::ProgressBar::new(files.len() as u64),
            false => indicatif::ProgressBar::hidden(),
        };
        for (index, file) in files.iter().enumerate() {
            workspace.read_file(index, file);
            progress.inc(1);
        }
        progress.finish_and_clear();
        let unpaired = std::mem::take(&mut workspace.unpaired);
        workspace.services = unpaired.complete(&mut workspace.mesh);
        workspace.files = files;
        workspace
    }

    fn read_file(&mut self, index: usize, file: &SourceFile) {
        let reading = source::read(file);
        self.problems
            .extend(reading.problems.into_iter().map(|problem| (index, problem)));
        self.skipped.extend(reading.skipped);
        for document in reading.documents {
            self.read_document(index, document);
        }
    }

    fn read_document(&mut self, file: usize, document: Document) {
        let entry = match self.read_object(&document.value) {
            Ok(Some(entry)) => entry,
            Ok(None) => return,
            Err(problem) => {
                let location = document.locate(&problem.path);
                let message = problem.to_string();
                return self.problems.push((file, Problem { message, location }));
            }
        };
        // At once: the order in which objects appear is their age.
        self.mesh.upsert(entry.clone());
        let placed = Placed {
            file,
            document,
            entry,
        };
        match placed.entry.registry {
            Registry::Istio => self.entries.push(placed),
            Registry::Kubernetes => self.unpaired.take_service(placed),
        }
    }

    /// Takes what an object does beside entries and Services, or gives the one that it is.
    fn read_object(&mut self, object: &Value) -> Result<Option<ServiceEntry>, mesh::Problem> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let api_version = text("apiVersion").unwrap_or_default();
        let kind = text("kind").unwrap_or_default();
        if is_unmodelled(api_version, kind) {
            let name = ObjectName::of(object);
            self.mesh.note_unmodelled(name.unmodelled());
        }
        if is_destination_rule(api_version, kind) {
            let rule = DestinationRule::read(object)?;
            self.mesh.upsert_destination_rule(rule);
        }
        if is_sidecar(api_version, kind) {
            self.mesh.upsert_sidecar(Sidecar::read(object)?);
        }
        if is_workload_entry(api_version, kind) {
            let workload = WorkloadEntry::read(object)?;
            self.mesh.upsert_workload_entry(workload);
        }
        self.unpaired.take(api_version, kind, object)?;
        if is_service(api_version, kind) {
            return read_service(object);
        }
        let is_entry = is_service_entry(api_version, kind);
        // Lenient reading of a value that is already in memory cannot fail.
        Ok(is_entry
            .then(|| ServiceEntry::deserialize(object).ok())
            .flatten())
    }
}

/// The kinds that change what a sidecar does with a connection and that the simulation does not
/// know yet: where one is in view, its answer is Unknown.
fn is_unmodelled(api_version: &str, kind: &str) -> bool {
    const OF_ISTIO: [&str; 2] = ["VirtualService", "EnvoyFilter"];
    api_version.starts_with(GROUP) && OF_ISTIO.contains(&kind)
}

impl ObjectName {
    /// The object, as one of a kind that is not modelled.
    pub(super) fn unmodelled(self) -> Unmodelled {
        Unmodelled {
            kind: self.kind.into(),
            namespace: self.namespace.into(),
            name: self.name.into(),
        }
    }

    /// The name of an object, as written or defaulted.
    pub(super) fn of(value: &Value) -> Self {
        let text = |pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let namespace = text("/metadata/namespace");
        Self {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: if namespace.is_empty() {
                "default".to_owned()
            } else {
                namespace
            },
            name: text("/metadata/name"),
        }
    }
}
