//! Labels of a workload, and whether a selector selects them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Label → value.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// Reads labels. A value that is no string counts as absent: the API server refuses it.
pub(crate) fn read(object: &Value) -> Labels {
    let labels = object.as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| {
        let value = value.as_str()?;
        Some((key.as_str().into(), value.into()))
    });
    labels.collect()
}

/// Reads a `workloadSelector`, whose labels are in `field`; `None` where it is not set.
pub(crate) fn read_selector(selector: &Value, field: &str) -> Option<Labels> {
    selector.is_object().then(|| read(&selector[field]))
}

/// Whether a selector's labels are all among those of a workload.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    let mut wanted = selector.iter();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
}
