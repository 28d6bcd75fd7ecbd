//! docs/fidelity.md has every shape, so that the page cannot go stale unseen. What it says of them, a
//! whole run of `make fidelity` writes.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{repository, text_of};

#[test]
fn every_shape_is_on_the_page() {
    let files = fs::read_dir(repository("tests/fidelity/shapes")).unwrap();
    let shapes: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let page = text_of("docs/fidelity.md");
    let links = page.split("](../tests/fidelity/shapes/").skip(1);
    let mut told = BTreeSet::new();
    for link in links {
        let (shape, _) = link.split_once(')').unwrap();
        assert!(told.insert(shape.to_owned()), "{shape} is there twice");
    }
    let missing: Vec<_> = shapes.symmetric_difference(&told).collect();
    assert!(
        missing.is_empty(),
        "run `make fidelity`, which writes docs/fidelity.md: {missing:?}"
    );
}
