//! What the Dockerfile says fits what else says it: it is built by `make image`, and by no test.

use crate::support::text_of;

#[test]
fn it_is_built_by_the_rust_that_is_asked_for_and_runs_as_the_chart_says() {
    let (docker, cargo) = (text_of("Dockerfile"), text_of("Cargo.toml"));
    let value = |name: &str| {
        let rest = cargo.split_once(&format!("\n{name} = \"")).expect(name).1;
        rest.split('"').next().expect("a value")
    };
    for line in [
        format!(
            "FROM rust:{}.0-slim-bookworm AS build",
            value("rust-version")
        ),
        format!("ARG VERSION={}", value("version")),
        "FROM scratch".to_owned(),
        "USER 65532:65532".to_owned(),
        "EXPOSE 10250 8081".to_owned(),
        "ENTRYPOINT [\"/tunnelguard\"]".to_owned(),
    ] {
        assert!(docker.lines().any(|one| one == line), "no {line}");
    }
    let values = text_of("manifests/chart/values.yaml");
    for port in ["port: 10250", "healthPort: 8081"] {
        assert!(values.lines().any(|line| line == port), "no {port}");
    }
}

/// What the sources include from elsewhere is let through to the build.
#[test]
fn what_is_included_is_sent_to_the_build() {
    let ignored = text_of(".dockerignore");
    let let_through: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let mut included = 0;
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(crate::support::repository("")).unwrap();
        for rest in text.split("include_str!(").skip(1) {
            let written = rest.split('"').nth(1).expect("a path");
            let target = normal(&file.parent().unwrap().join(written));
            included += 1;
            let is_let_through = let_through
                .iter()
                .any(|pattern| match pattern.split_once('*') {
                    Some((before, after)) => {
                        let rest = target.strip_prefix(before);
                        let rest = rest.and_then(|rest| rest.strip_suffix(after));
                        rest.is_some_and(|rest| !rest.contains('/'))
                    }
                    None => target == *pattern || target.starts_with(&format!("{pattern}/")),
                });
            assert!(
                is_let_through,
                ".dockerignore keeps {target} from the build"
            );
        }
    }
    assert!(included > 20, "{included}");
}

fn sources() -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![crate::support::repository("src")];
    while let Some(directory) = directories.pop() {
        for file in std::fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// A path without `..`.
fn normal(path: &std::path::Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str().unwrap().split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
