//! Labels of a workload, and whether a selector selects them.

use std::collections::BTreeMap;

use super::field::Field;
use super::lenient::Problem;

/// Label → value.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// Reads labels.
pub(crate) fn read(labels: &Field<'_, '_>) -> Result<Labels, Problem> {
    let labels = labels.entries()?.filter_map(|(key, value)| {
        let value = value.text().transpose()?;
        Some(value.map(|value| (key.into(), value.into())))
    });
    labels.collect()
}

/// Reads a `workloadSelector`, whose labels are in `field`; `None` where it is not set.
pub(crate) fn read_selector(
    selector: &Field<'_, '_>,
    field: &str,
) -> Result<Option<Labels>, Problem> {
    selector.read(|selector| read(&selector.get(field)?))
}

/// Whether a selector's labels are all among those of a workload.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    let mut wanted = selector.iter();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
}
