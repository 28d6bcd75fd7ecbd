//! `doctor` without a cluster, and what the documentation shows of it. With one: `make e2e TESTS=doctor`.

use crate::support::{Files, run, text_of};

#[test]
fn a_cluster_that_cannot_be_reached_is_status_2() {
    // Nobody listens on port 1.
    let kubeconfig = "
apiVersion: v1
kind: Config
current-context: away
contexts: [{name: away, context: {cluster: away, user: nobody}}]
clusters: [{name: away, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: nobody, user: {token: t}}]
";
    let files = Files::new(&[("away", kubeconfig), ("broken", "a: [")]);
    for (flags, said) in [
        ("--kubeconfig away", "https://127.0.0.1:1 cannot be reached"),
        ("--kubeconfig away --context other", "other"),
        ("--kubeconfig broken", "no cluster can be asked"),
        ("--kubeconfig nowhere", "nowhere"),
    ] {
        for format in ["human", "json"] {
            let line = format!("doctor {flags} --format {format}");
            let ended = run(files.path(), &line, b"");
            assert_eq!(ended.status, Some(2), "{line}: {ended}");
            assert!(ended.stderr.contains(said), "{line}: {ended}");
            assert_eq!(ended.stdout, "", "{line}");
        }
    }
}

#[test]
fn what_the_documentation_shows_is_what_was_printed() {
    let page = text_of("docs/operations.md");
    let (_, section) = page.split_once("## Is it working?").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("a section behind it");
    let transcript = text_of("tests/e2e/cases/doctor/transcript.txt");
    let shown = section.split("```").skip(1).step_by(2);
    let shown = shown.filter_map(|block| block.strip_prefix("console\n"));
    let shown: Vec<&str> = shown.collect();
    assert!(shown.len() >= 3, "healthy, and dead in both ways");
    for block in shown {
        assert!(transcript.contains(block), "in no transcript:\n{block}");
    }
}
