//! The objects that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use crate::mesh::line;

use super::NamespacedName;

/// How much of a reason is kept and told: it may quote the object.
const REASON_CHARACTERS: usize = 200;

/// Objects of a kind that cannot be read, and why.
#[derive(Default)]
pub(super) struct LeftOut {
    objects: BTreeMap<NamespacedName, String>,
    /// How many there were when this was asked last.
    told: usize,
}

impl LeftOut {
    /// Leaves an object out, and names it in the log unless it has for the same reason.
    pub(super) fn put(&mut self, called: &str, name: NamespacedName, reason: &str) {
        let reason = line::one_line(reason, REASON_CHARACTERS);
        if self.objects.get(&name) == Some(&reason) {
            return;
        }
        tracing::warn!(
            object = format!("{}/{}", name.namespace, name.name),
            error = reason,
            "one of the cluster's {called} cannot be read and is left out"
        );
        self.objects.insert(name, reason);
    }

    /// It can be read now, or is gone.
    pub(super) fn remove(&mut self, name: &NamespacedName) {
        self.objects.remove(name);
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, listed: &BTreeSet<NamespacedName>) {
        self.objects.retain(|name, _| listed.contains(name));
    }

    /// How many there are, if that is another number than when this was asked last.
    pub(super) fn changed(&mut self) -> Option<usize> {
        let count = self.objects.len();
        let changed = count != self.told;
        self.told = count;
        changed.then_some(count)
    }
}
