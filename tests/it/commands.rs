//! The commands that the documentation gives without showing what they print were typed in an end-to-end test.

use std::fs;
use std::path::Path;

use crate::support::{repository, text_of};

const PAGES: [&str; 4] = [
    "README.md",
    "certs/README.md",
    "docs/operations.md",
    "manifests/README.md",
];

/// Where transcripts are; each line `PROMPT$ COMMAND` was typed.
const TRANSCRIPTS: [&str; 3] = ["tests/e2e/cases", "tests/e2e/chart", "tests/fidelity/story"];

/// What begins so is not among them, for a reason.
const NOT_TYPED: [(&str, &str); 3] = [
    (
        "kubectl apply --server-side --validate=strict -f manifests/install.yaml",
        "chart::install_on_an_empty_cluster runs it, before all end-to-end tests",
    ),
    (
        "kubectl --namespace tunnelguard-system port-forward",
        "there is no kubelet to forward to",
    ),
    (
        "kubectl --namespace tunnelguard-system patch secret tunnelguard-ca",
        "self_managed::later types it, as the page has it, for what it removes is there a minute after a rotation began",
    ),
];

#[test]
fn commands_of_the_documentation_are_typed_in_tests() {
    let mut typed = Vec::new();
    for directory in TRANSCRIPTS {
        collect_typed(&repository(directory), &mut typed);
    }
    let mut given = Vec::new();
    for page in PAGES {
        let text = text_of(page);
        let blocks = text.split("\n```").skip(1).step_by(2);
        let blocks = blocks.filter_map(|block| block.strip_prefix("sh\n"));
        for line in blocks.flat_map(str::lines) {
            if ["kubectl ", "helm ", "for "]
                .iter()
                .any(|word| line.starts_with(word))
            {
                given.push((page, line.to_owned()));
            }
        }
    }
    assert!(given.len() > 15, "{given:?}");
    for (page, line) in &given {
        let is_known = NOT_TYPED.iter().any(|(start, _)| line.starts_with(start));
        let is_typed = typed.iter().any(|command| command.starts_with(line));
        assert!(
            is_known != is_typed,
            "{page}: typed in no transcript, or known not to be and typed: {line}"
        );
    }
    for (start, why) in NOT_TYPED {
        let is_given = given.iter().any(|(_, line)| line.starts_with(start));
        assert!(is_given, "no page gives {start} ({why})");
    }
}

fn collect_typed(directory: &Path, typed: &mut Vec<String>) {
    for file in fs::read_dir(directory).expect("a directory") {
        let path = file.expect("a file").path();
        if path.is_dir() {
            collect_typed(&path, typed);
        } else if path.extension().is_some_and(|kind| kind == "txt") {
            let text = fs::read_to_string(&path).expect("a transcript");
            let commands = text.lines().filter_map(|line| line.split_once("$ "));
            typed.extend(commands.map(|(_, command)| command.to_owned()));
        }
    }
}
