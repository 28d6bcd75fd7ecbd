//! Namespaces by their labels, as overrides select them.

use std::collections::BTreeMap;

use crate::mesh::Labels;

use super::spec::{LabelExpression, LabelOperator, LabelSelector};

/// The label that every namespace carries: its name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespaces of a cluster, with their labels.
pub type Namespaces = BTreeMap<Box<str>, Labels>;

/// A namespace, as far as it is known: its name always, its labels where the cluster has told them.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels; none without a cluster, and for a namespace that is not in view yet.
    pub labels: Option<&'a Labels>,
}

impl<'a> Namespace<'a> {
    /// The value of a label; `None` where that is not known.
    fn label(self, key: &str) -> Option<Option<&'a str>> {
        match key {
            NAME_LABEL => Some(Some(self.name)),
            key => self
                .labels
                .map(|labels| labels.get(key).map(|value| &**value)),
        }
    }
}

impl LabelSelector {
    /// Whether it selects a namespace, by Kubernetes' rules: an empty selector selects every one, NotIn
    /// and DoesNotExist hold for a label that is absent. What asks for a label that is not known selects
    /// nothing: neither it nor its opposite is guessed.
    pub fn selects(&self, namespace: Namespace<'_>) -> bool {
        let equal =
            |(key, wanted): (&String, &String)| namespace.label(key) == Some(Some(wanted.as_str()));
        self.match_labels.iter().all(equal)
            && self.match_expressions.iter().all(|x| holds(x, namespace))
    }

    /// Whether it selects whatever the other selects, because it asks for no more.
    pub fn covers(&self, other: &Self) -> bool {
        let (labels, expressions) = (&other.match_labels, &other.match_expressions);
        let mut own_labels = self.match_labels.iter();
        own_labels.all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|x| expressions.contains(x))
    }
}

fn holds(expression: &LabelExpression, namespace: Namespace<'_>) -> bool {
    let Some(value) = namespace.label(&expression.key) else {
        return false;
    };
    let listed = |value: &str| expression.values.iter().any(|listed| listed == value);
    match expression.operator {
        LabelOperator::In => value.is_some_and(listed),
        LabelOperator::NotIn => !value.is_some_and(listed),
        LabelOperator::Exists => value.is_some(),
        LabelOperator::DoesNotExist => value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::{LabelSelector, Namespace};
    use crate::mesh::Labels;

    fn selector(text: &str) -> LabelSelector {
        serde_saphyr::from_str(text).unwrap()
    }

    /// A selector, and whether it selects: prod, labelled `tier: prod`; dev, without labels; new, whose
    /// labels are not known.
    #[test]
    fn selectors_are_kubernetes_own() {
        let labelled = Labels::from([("tier".into(), "prod".into())]);
        let none = Labels::new();
        let namespaces = [
            ("prod", Some(&labelled)),
            ("dev", Some(&none)),
            ("new", None),
        ];
        for (text, expected) in [
            ("{}", [true, true, true]),
            ("{matchLabels: {tier: prod}}", [true, false, false]),
            ("{matchLabels: {tier: dev}}", [false, false, false]),
            (
                "{matchLabels: {kubernetes.io/metadata.name: new}}",
                [false, false, true],
            ),
            (
                "{matchLabels: {kubernetes.io/metadata.name: prod, tier: prod}}",
                [true, false, false],
            ),
            (
                "{matchLabels: {kubernetes.io/metadata.name: new, tier: prod}}",
                [false, false, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: In, values: [a, prod]}]}",
                [true, false, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: In, values: [a]}]}",
                [false, false, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: NotIn, values: [prod]}]}",
                [false, true, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: NotIn, values: [a]}]}",
                [true, true, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: Exists}]}",
                [true, false, false],
            ),
            (
                "{matchExpressions: [{key: tier, operator: DoesNotExist}]}",
                [false, true, false],
            ),
            (
                "{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [dev]}]}",
                [true, false, true],
            ),
            (
                "{matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]}",
                [true, true, true],
            ),
            (
                "{matchExpressions: [{key: kubernetes.io/metadata.name, operator: DoesNotExist}]}",
                [false, false, false],
            ),
            (
                "{matchLabels: {tier: prod}, matchExpressions: [{key: tier, operator: NotIn, values: [prod]}]}",
                [false, false, false],
            ),
        ] {
            let selector = selector(text);
            let selects =
                namespaces.map(|(name, labels)| selector.selects(Namespace { name, labels }));
            assert_eq!(selects, expected, "{text}");
        }
    }

    #[test]
    fn a_selector_covers_one_that_asks_for_more() {
        let tier = "{matchLabels: {tier: prod}}";
        let both = "{matchLabels: {tier: prod, team: a}}";
        let exists = "{matchExpressions: [{key: tier, operator: Exists}]}";
        for (earlier, later, covers) in [
            ("{}", tier, true),
            ("{}", "{}", true),
            (tier, tier, true),
            (tier, both, true),
            (both, tier, false),
            (tier, "{}", false),
            ("{matchLabels: {tier: dev}}", both, false),
            (exists, exists, true),
            (exists, "{}", false),
            (
                exists,
                "{matchExpressions: [{key: team, operator: Exists}]}",
                false,
            ),
        ] {
            let (one, other) = (selector(earlier), selector(later));
            assert_eq!(one.covers(&other), covers, "{earlier} {later}");
        }
    }
}
