//! The labels of the cluster's namespaces.

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};

use crate::discovery::watch::{Kind, News, Reading};
use crate::mesh::Labels;
use crate::policy::namespaces::Namespaces;

/// A namespace's name, and its labels.
pub(super) type Labelled = (Box<str>, Labels);

/// Namespaces, of which nothing is read but the metadata.
pub(super) fn kind(client: &Client) -> Kind<PartialObjectMeta<Namespace>> {
    Kind::all("Namespaces", Api::all(client.clone()))
}

/// What is kept of a namespace.
pub(super) fn labelled(namespace: PartialObjectMeta<Namespace>) -> Reading<Labelled> {
    let labels = namespace.metadata.labels.into_iter().flatten();
    let labels = labels.map(|(label, value)| (label.into(), value.into()));
    let name = namespace.metadata.name;
    Ok(name.map(|name| (name.into(), labels.collect())))
}

/// What is known after some news, if that is something else: most changes are not about labels.
pub(super) fn after(known: &Namespaces, news: News<Labelled>) -> Option<Namespaces> {
    let changed = match news {
        News::Listed(all) => all.into_iter().collect(),
        News::Applied((name, labels)) => {
            if known.get(&name) == Some(&labels) {
                return None;
            }
            let mut changed = known.clone();
            changed.insert(name, labels);
            changed
        }
        News::Deleted(gone) => {
            let mut changed = known.clone();
            changed.remove(&gone.name)?;
            changed
        }
        // What was seen stays; a cluster without namespaces is none.
        News::NotInstalled | News::Unanswered | News::LeftOut(_) => return None,
    };
    (changed != *known).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::{Labelled, Namespaces, News, after};
    use crate::discovery::watch::NamespacedName;

    fn labelled(text: &str) -> Labelled {
        let (name, tier) = text.split_once(' ').unwrap();
        (name.into(), [("tier".into(), tier.into())].into())
    }

    fn gone(name: &str) -> News<Labelled> {
        News::Deleted(NamespacedName {
            name: name.into(),
            ..NamespacedName::default()
        })
    }

    /// News about namespaces of which a is known to be of tier 1, and what is known then.
    #[test]
    fn only_what_is_new_is_another_view() {
        let known = Namespaces::from([labelled("a 1")]);
        for (news, expected) in [
            (News::Listed(vec![labelled("a 1")]), None),
            (News::Listed(vec![labelled("b 1")]), Some(vec!["b 1"])),
            (News::Listed(vec![]), Some(vec![])),
            (News::Applied(labelled("a 1")), None),
            (News::Applied(labelled("a 2")), Some(vec!["a 2"])),
            (News::Applied(labelled("b 1")), Some(vec!["a 1", "b 1"])),
            (gone("a"), Some(vec![])),
            (gone("b"), None),
            (News::Unanswered, None),
            (News::NotInstalled, None),
        ] {
            let case = format!("{news:?}");
            let expected = expected.map(|all| all.into_iter().map(labelled).collect());
            assert_eq!(after(&known, news), expected, "{case}");
        }
    }
}
