//! What the Dockerfile says fits what else says it, and the binary runs as it does in the image. The image itself is
//! built by `make image`, which takes too long for a test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{repository, text_of};

#[test]
fn it_is_built_by_the_rust_that_is_asked_for_and_runs_as_the_chart_says() {
    let docker = text_of("Dockerfile");
    for line in [
        format!(
            "ARG RUST=rust:{}.0-slim-bookworm",
            of_package("rust-version")
        ),
        "FROM --platform=$BUILDPLATFORM $RUST AS build".to_owned(),
        format!("ARG VERSION={}", of_package("version")),
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

/// A value of Cargo.toml, the package's where several have that name.
fn of_package(name: &str) -> String {
    let cargo = text_of("Cargo.toml");
    let rest = cargo.split_once(&format!("\n{name} = \"")).expect(name).1;
    rest.split('"').next().expect("a value").to_owned()
}

/// Registries and scanners go by them.
#[test]
fn its_labels_say_what_it_is() {
    let docker = text_of("Dockerfile");
    let (_, labels) = docker.split_once("\nLABEL ").expect("labels");
    let lines = labels.lines().map(str::trim_start);
    // The last one does not go on.
    let last = lines
        .clone()
        .take_while(|line| line.ends_with('\\'))
        .count();
    let found: Vec<&str> = lines
        .take(last + 1)
        .map(|line| line.trim_end_matches('\\').trim_end())
        .collect();
    for (label, value) in [
        ("title", &*of_package("name")),
        ("licenses", &of_package("license")),
        ("version", "$VERSION"),
        ("revision", "$REVISION"),
    ] {
        let line = format!("org.opencontainers.image.{label}=\"{value}\"");
        assert!(found.contains(&&*line), "no {line}: {found:?}");
    }
    // Its own, not one of the stage that builds; else what is given by --build-arg would not reach it.
    let (_, own) = docker.rsplit_once("\nFROM scratch\n").expect("a stage");
    for argument in ["ARG VERSION=", "ARG REVISION="] {
        assert!(
            own.lines().any(|line| line.starts_with(argument)),
            "no {argument}"
        );
    }
}

/// One architecture more is one in each of these.
#[test]
fn every_architecture_can_be_crossed_over_to_built_for_and_run() {
    let docker = text_of("Dockerfile");
    let step = "RUN export ARCH=$TARGETARCH; image/cross.sh && image/build.sh /image";
    assert!(docker.lines().any(|line| line == step), "no {step}");
    let knowing = [
        ("image/cross.sh", ["x86_64/arm64)", "aarch64/amd64)"]),
        ("image/build.sh", ["amd64)", "arm64)"]),
        ("image/run.sh", ["*3e)", "*b7)"]),
    ];
    for (script, patterns) in knowing {
        let text = text_of(script);
        for pattern in patterns {
            let known = text.lines().any(|line| line.starts_with(pattern));
            assert!(known, "{script}: no {pattern}");
        }
    }
}

/// With nothing but the files of the image, and the C library that the image's binary has in it: read-only, as user
/// 65532, without a capability.
#[test]
fn it_runs_without_anything_else() {
    if let Some(obstacle) = obstacle() {
        let mut terminal = std::io::stderr();
        writeln!(terminal, "image: the binary is not run alone: {obstacle}").unwrap();
        // A machine that is there to run it must not pass for having done so.
        let demanded = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!demanded, "{obstacle}");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_tunnelguard");
    place(Path::new(binary), &root.path().join("tunnelguard"));
    let libraries = text(&output(Command::new("ldd").arg(binary)));
    for library in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let path = root.path().join(library.trim_start_matches('/'));
        place(Path::new(library), &path);
    }
    let run = output(Command::new(repository("image/run.sh")).arg(root.path()));
    assert!(run.status.success(), "{}", text(&run));
}

/// Why a root of its own cannot be made here, if it cannot.
fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("that takes Linux".to_owned());
    }
    for program in ["setpriv", "curl", "ldd"] {
        if Command::new(program).arg("--version").output().is_err() {
            return Some(format!("there is no {program}"));
        }
    }
    let tried = Command::new("unshare").args(["--mount", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("that takes root: {}", text(&output).trim())),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

fn place(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

fn output(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
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
        let file = path.strip_prefix(repository("")).unwrap();
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
    let mut directories = vec![repository("src")];
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
