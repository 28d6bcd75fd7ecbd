//! The names of what has a label, so that a selector does not look at everything.

use std::collections::{BTreeMap, BTreeSet};

use crate::mesh::labels::Labels;

type Names = BTreeSet<Box<str>>;
/// Label → value → names.
type OfNamespace = BTreeMap<Box<str>, BTreeMap<Box<str>, Names>>;

/// By namespace and label.
#[derive(Clone, Debug, Default)]
pub(super) struct Labelled(BTreeMap<Box<str>, OfNamespace>);

impl Labelled {
    pub(super) const NONE: Self = Self(BTreeMap::new());

    pub(super) fn link(&mut self, namespace: &str, name: &str, labels: &Labels) {
        for (label, value) in labels {
            let own = self.0.entry(namespace.into()).or_default();
            let values = own.entry(label.clone()).or_default();
            values.entry(value.clone()).or_default().insert(name.into());
        }
    }

    pub(super) fn unlink(&mut self, namespace: &str, name: &str, labels: &Labels) {
        let Some(own) = self.0.get_mut(namespace) else {
            return;
        };
        for (label, value) in labels {
            let Some(values) = own.get_mut(label) else {
                continue;
            };
            if let Some(names) = values.get_mut(value) {
                names.remove(name);
                if names.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                own.remove(label);
            }
        }
        if own.is_empty() {
            self.0.remove(namespace);
        }
    }

    /// The names of those that have one of the selector's labels, that which the fewest have; `None` where it
    /// has no labels and selects all.
    pub(super) fn fewest(&self, namespace: &str, selector: &Labels) -> Option<Vec<&str>> {
        let own = self.0.get(namespace);
        let having = selector.iter().map(|(label, value)| {
            let values = own.and_then(|labels| labels.get(label));
            values.and_then(|values| values.get(value))
        });
        let fewest = having.min_by_key(|names| names.map_or(0, BTreeSet::len))?;
        Some(fewest.into_iter().flatten().map(|name| &**name).collect())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Labelled, Labels};

    fn labels(text: &str) -> Labels {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(label, value)| (label.into(), value.into()))
            .collect()
    }

    #[test]
    fn the_rarest_label_is_gone_by_and_nothing_stays_behind() {
        let all = [
            ("a", "app=api tier=vm"),
            ("b", "app=web tier=vm"),
            ("c", "tier=pod"),
        ];
        let mut labelled = Labelled::default();
        for (name, own) in all {
            labelled.link("prod", name, &labels(own));
        }
        for (namespace, selector, expected) in [
            ("prod", "tier=vm", Some(vec!["a", "b"])),
            ("prod", "app=web tier=vm", Some(vec!["b"])),
            // Whether it has the others, its labels tell.
            ("prod", "app=api tier=pod", Some(vec!["a"])),
            ("prod", "app=other tier=vm", Some(vec![])),
            ("dev", "tier=vm", Some(vec![])),
            ("prod", "", None),
        ] {
            let found = labelled.fewest(namespace, &labels(selector));
            assert_eq!(found, expected, "{namespace} {selector}");
        }
        for (name, own) in all {
            labelled.unlink("prod", name, &labels(own));
        }
        assert!(labelled.is_empty());
    }
}
