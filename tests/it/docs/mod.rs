//! The pages in `docs/checks` tell the truth: there is one a check, their examples are judged as
//! they say, their fixes mend, and what they say to put into a policy is a policy.

mod page;

use std::collections::BTreeSet;

use serde_json::Value;
use tunnelguard::mesh::FieldPath;
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::policy::evaluator::in_force;
use tunnelguard::policy::finding::Brief;
use tunnelguard::policy::{Check, CheckId, Finding, PolicySet, Severity, checks};
use tunnelguard::source::{self, Problem, Reading, SourceFile};
use tunnelguard::state;

use crate::support::{Files, context, corporate, edited, entry, judged, mesh, repository, text_of};
use page::{Block, Page};

const SECTIONS: [&str; 5] = ["Why", "Bad", "Good", "Fix", "Exempt"];

#[test]
fn every_check_has_a_page_with_its_sections() {
    for (check, page) in pages() {
        let heading = page.text.lines().next().unwrap_or_default();
        let expected = format!("# {}: {}", check.id, check.title);
        assert_eq!(heading, expected, "{}:1", page.path);
        assert_eq!(page.sections(), SECTIONS, "{}", page.path);
        assert_eq!(
            check.page, page.text,
            "{} is what explain prints",
            page.path
        );
        for section in ["Bad", "Good"] {
            let example = page.blocks_of(section).next();
            assert!(example.is_some(), "{}: no example in {section}", page.path);
        }
        for block in &page.blocks {
            let known = match (block.section.as_str(), block.words.first()) {
                ("Bad" | "Good", Some(word)) => *word == block.section.to_lowercase(),
                (_, word) => word.is_none(),
            };
            assert!(known, "{}: what is {:?}?", block.place, block.words);
        }
    }
}

#[test]
fn every_page_has_a_check_and_the_index_lists_it() {
    let known: BTreeSet<String> = pages()
        .map(|(check, _)| format!("{}.md", check.id))
        .collect();
    let directory = std::fs::read_dir(repository("docs/checks")).unwrap();
    let mut found: BTreeSet<String> = directory
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    found.remove("README.md");
    assert_eq!(found, known, "docs/checks has a page a check and no other");

    let index = text_of("docs/checks/README.md");
    for check in checks::ALL {
        let link = format!("({}.md)", check.id);
        let line = index.lines().find(|line| line.contains(&link));
        let line = line.unwrap_or_else(|| panic!("docs/checks/README.md has no {link}"));
        assert!(
            line.contains(check.title),
            "docs/checks/README.md: {line:?} does not say {:?}",
            check.title
        );
    }
}

#[test]
fn bad_examples_are_found() {
    let policies = corporate();
    for (check, page) in pages() {
        for block in page.blocks_of("Bad") {
            let found = lint(block, &block.objects(), &policies);
            let found: Vec<String> = found.iter().map(|(_, finding)| brief(finding)).collect();
            let own = check.id.to_string();
            let raised = found.iter().any(|finding| finding.starts_with(&own));
            assert!(raised, "{}: no {own} but {found:?}", block.place);
        }
    }
}

#[test]
fn good_examples_are_silent() {
    let policies = corporate();
    for (_, page) in pages() {
        for block in page.blocks_of("Good") {
            let found = lint(block, &block.objects(), &policies);
            let found: Vec<String> = found.iter().map(|(_, finding)| brief(finding)).collect();
            assert!(found.is_empty(), "{}: {found:?}", block.place);
        }
    }
}

#[test]
fn safe_fixes_of_bad_examples_mend_them() {
    let policies = corporate();
    let mut mended = BTreeSet::new();
    for (check, page) in pages() {
        for block in page.blocks_of("Bad") {
            let mut objects = block.objects();
            let mut made = BTreeSet::new();
            for (index, finding) in lint(block, &objects.clone(), &policies) {
                let fix = finding.fix.as_ref().filter(|fix| fix.is_safe());
                if let (Some(index), Some(fix)) = (index, fix) {
                    objects[index] = edited(&objects[index], &fix.edits);
                    made.insert(finding.check);
                }
            }
            let after = lint(block, &objects, &policies);
            let left = after.iter().find(|(_, left)| made.contains(&left.check));
            assert!(left.is_none(), "{}: {left:?}", block.place);
            mended.extend(made.into_iter().filter(|made| *made == check.id));
        }
    }
    // The checks whose pages promise a safe fix; without this a silent loss would go unnoticed.
    for id in 1..=4 {
        let check = checks::ALL.iter().find(|check| check.id.0 == id).unwrap();
        assert!(mended.contains(&check.id), "{}: no safe fix seen", check.id);
    }
}

#[test]
fn what_exempt_says_is_a_policy() {
    for (check, page) in pages() {
        for block in page.blocks_of("Exempt") {
            let policy = whole(&block.text);
            let files = Files::new(&[("policy.yaml", &policy)]);
            let loaded = state::load(&[files.path().to_owned()]);
            let fault = loaded.err().map(|error| error.to_string());
            assert!(fault.is_none(), "{}: {}", block.place, fault.unwrap());
            let own = check.id.to_string();
            assert!(policy.contains(&own), "{}: no {own}", block.place);
        }
    }
}

/// Every check, with its page.
fn pages() -> impl Iterator<Item = (&'static Check, Page)> {
    let checks = checks::ALL.iter();
    checks.map(|check| (*check, Page::read(&format!("docs/checks/{}.md", check.id))))
}

/// What `lint` reports about an example.
fn lint(block: &Block, objects: &[Value], policies: &PolicySet) -> Vec<(Option<usize>, Finding)> {
    let today = jiff::civil::date(2026, 1, 1);
    let mesh = mesh(objects);
    let outbound = block.outbound();
    let context = context(policies, &mesh, outbound);
    let judged = judged(objects, policies, outbound).into_iter();
    let reported = judged.filter_map(|(index, finding)| {
        let entry = index.map(|index| entry(&objects[index]));
        let left = in_force(vec![finding], entry.as_ref(), &context, today);
        Some((index, left.into_iter().next()?))
    });
    let unreadable = block.reading().problems.into_iter().map(unreadable);
    reported.chain(unreadable).collect()
}

/// What `lint` makes of a text that is no YAML.
fn unreadable(problem: Problem) -> (Option<usize>, Finding) {
    let finding = Finding {
        check: CheckId(0),
        severity: Severity::Error,
        path: FieldPath::root(),
        port: None,
        what: problem.message,
        edit: String::new(),
        brief: Brief::default(),
        proxies: Vec::new(),
        fix: None,
    };
    (None, finding)
}

fn brief(finding: &Finding) -> String {
    format!("{} {}: {}", finding.check, finding.path, finding.message())
}

/// A fragment of a policy's `spec` as a whole document.
fn whole(fragment: &str) -> String {
    if fragment.contains("apiVersion:") {
        return fragment.to_owned();
    }
    let lines = fragment.lines().map(|line| format!("  {line}\n"));
    let spec: String = lines.collect();
    format!(
        "apiVersion: tunnelguard.dev/v1alpha1\nkind: ConnectProxyPolicy\n\
         metadata: {{name: page}}\nspec:\n{spec}"
    )
}

impl Block {
    fn objects(&self) -> Vec<Value> {
        let documents = self.reading().documents.into_iter();
        documents.map(|document| document.value).collect()
    }

    fn reading(&self) -> Reading {
        let reading = source::read(&SourceFile::from_text(&self.place, &self.text));
        assert!(reading.skipped.is_none(), "{}: a template", self.place);
        reading
    }

    /// What its fence says the mesh is set to.
    fn outbound(&self) -> OutboundPolicy {
        let mut settings = self.words.iter().skip(1);
        let Some(setting) = settings.next() else {
            return OutboundPolicy::default();
        };
        let mode = setting.strip_prefix("outbound=").map(str::parse);
        match mode {
            Some(Ok(mode)) => mode,
            _ => panic!("{}: what is {setting:?}?", self.place),
        }
    }
}
