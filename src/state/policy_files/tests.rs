use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{PolicyFiles, REACH};
use crate::policy::PolicySet;
use crate::state::PolicyFileError;

fn policy(name: &str, port: &str) -> String {
    format!(
        "apiVersion: tunnelguard.dev/v1alpha1\n\
         kind: ConnectProxyPolicy\n\
         metadata: {{name: {name}}}\n\
         spec: {{proxies: [{{name: p, addresses: [10.20.0.5], ports: [{port}]}}]}}\n"
    )
}

/// What was made of an edit: `a:1 b:2` for policies with the ports of their proxies, or the first
/// fault, with `root` taken away.
fn shown(loaded: Result<PolicySet, PolicyFileError>, root: &Path) -> String {
    match loaded {
        Ok(set) => {
            let proxies = set.proxies.all().iter();
            let shown = proxies.map(|proxy| format!("{}:{}", proxy.policy, proxy.ports[0]));
            shown.collect::<Vec<_>>().join(" ")
        }
        Err(PolicyFileError(faults)) => faults[0].replace(&format!("{}/", root.display()), ""),
    }
}

/// What the next `looks` looks say, each in turn; empty for nothing.
fn looks(files: &mut PolicyFiles, root: &Path, looks: usize) -> Vec<String> {
    let said = (0..looks).map(|_| files.changed().map(|loaded| shown(loaded, root)));
    said.map(Option::unwrap_or_default).collect()
}

#[test]
fn an_edit_counts_once_and_when_it_stays() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    write("a.yaml", &policy("a", "1"));
    let mut files = PolicyFiles::new(vec![root.to_owned()]);
    assert_eq!(shown(files.load(), root), "a:1");
    assert_eq!(looks(&mut files, root, 3), ["", "", ""], "nothing happened");

    // (what is done, what the three looks after it say)
    type Edit<'e> = &'e dyn Fn();
    let edits: [(&str, Edit<'_>, [&str; 3]); 12] = [
        (
            "another port",
            &|| write("a.yaml", &policy("a", "2")),
            ["", "a:2", ""],
        ),
        (
            "the same text anew",
            &|| write("a.yaml", &policy("a", "2")),
            ["", "", ""],
        ),
        (
            "a second file",
            &|| write("b.yml", &policy("b", "3")),
            ["", "a:2 b:3", ""],
        ),
        (
            "a file that is none",
            &|| write("notes.txt", "x"),
            ["", "", ""],
        ),
        (
            "the same name again",
            &|| write("b.yml", &policy("a", "3")),
            [
                "",
                "b.yml:3:18: metadata.name: a.yaml:3:18 has a policy \"a\" already; rename or remove one",
                "",
            ],
        ),
        (
            "mended",
            &|| write("b.yml", &policy("b", "3")),
            ["", "a:2 b:3", ""],
        ),
        (
            "one goes",
            &|| fs::remove_file(root.join("b.yml")).unwrap(),
            ["", "a:2", ""],
        ),
        (
            "cut short",
            &|| write("a.yaml", &policy("a", "2")[..90]),
            ["", "a.yaml:4:7: unclosed bracket '{'", ""],
        ),
        (
            "emptied",
            &|| write("a.yaml", ""),
            ["", "ROOT: there is no ConnectProxyPolicy in it", ""],
        ),
        (
            "removed",
            &|| fs::remove_file(root.join("a.yaml")).unwrap(),
            ["", "ROOT: there is no ConnectProxyPolicy in it", ""],
        ),
        (
            "back",
            &|| write("c.json", &policy("c", "9")),
            ["", "c:9", ""],
        ),
        (
            "too large",
            &|| write("c.json", &" ".repeat(REACH.bytes + 1)),
            ["", "c.json: more than 16 MiB to read; name fewer files", ""],
        ),
    ];
    for (name, edit, said) in edits {
        edit();
        let expected = said.map(|text| text.replace("ROOT", &root.display().to_string()));
        assert_eq!(looks(&mut files, root, 3), expected, "{name}");
    }
}

#[test]
fn what_is_still_being_written_is_not_reported() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.yaml");
    fs::write(&path, policy("a", "1")).unwrap();
    let mut files = PolicyFiles::new(vec![path.clone()]);
    assert_eq!(shown(files.load(), root.path()), "a:1");
    let text = policy("a", "2");
    let mut file = fs::File::create(&path).unwrap();
    for part in text.as_bytes().chunks(40) {
        assert_eq!(looks(&mut files, root.path(), 1), [""]);
        file.write_all(part).unwrap();
    }
    assert_eq!(looks(&mut files, root.path(), 3), ["", "a:2", ""]);
    // There and back again between two looks, and seen on the way.
    fs::write(&path, policy("a", "3")).unwrap();
    assert_eq!(looks(&mut files, root.path(), 1), [""]);
    fs::write(&path, &text).unwrap();
    assert_eq!(looks(&mut files, root.path(), 3), ["", "", ""]);
    // A bad edit taken back is told, since it was told.
    fs::write(&path, "kind: [").unwrap();
    assert!(looks(&mut files, root.path(), 2)[1].starts_with("p.yaml:"));
    fs::write(&path, &text).unwrap();
    assert_eq!(looks(&mut files, root.path(), 3), ["", "a:2", ""]);
}

#[test]
fn a_file_that_vanishes_is_an_error_until_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.yaml");
    fs::write(&path, policy("a", "1")).unwrap();
    let mut files = PolicyFiles::new(vec![path.clone()]);
    assert_eq!(shown(files.load(), root.path()), "a:1");
    fs::remove_file(&path).unwrap();
    let missing = "p.yaml: no such file or directory";
    assert_eq!(looks(&mut files, root.path(), 3), ["", missing, ""]);
    fs::write(&path, policy("a", "1")).unwrap();
    assert_eq!(looks(&mut files, root.path(), 3), ["", "a:1", ""]);
}

#[test]
fn stdin_is_read_once_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.yaml");
    fs::write(&path, policy("a", "1")).unwrap();
    let stdin = || PathBuf::from("-");
    let text = policy("b", "2");

    let mut files = PolicyFiles::new(vec![stdin()]);
    assert!(!files.can_change());
    assert_eq!(shown(files.load_with(text.as_bytes()), root.path()), "b:2");
    assert_eq!(looks(&mut files, root.path(), 3), ["", "", ""]);

    let mut files = PolicyFiles::new(vec![stdin(), path.clone()]);
    assert!(files.can_change());
    assert_eq!(
        shown(files.load_with(text.as_bytes()), root.path()),
        "a:1 b:2"
    );
    fs::write(&path, policy("a", "3")).unwrap();
    assert_eq!(looks(&mut files, root.path(), 3), ["", "a:3 b:2", ""]);
    assert_eq!(shown(files.load_with(&b"gone"[..]), root.path()), "a:3 b:2");

    let mut files = PolicyFiles::new(vec![stdin()]);
    let nothing = "-: there is no ConnectProxyPolicy in it";
    assert_eq!(shown(files.load_with(&b""[..]), root.path()), nothing);
}

/// A file named twice, by itself or by its directory, is one file; each path has to bring a policy.
#[test]
fn each_policy_counts_once() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    fs::write(root.join("a.yaml"), policy("a", "1")).unwrap();
    fs::write(root.join("b.yaml"), "# nothing\n").unwrap();
    let both = format!("{}---\n{}", policy("c", "3"), policy("c", "4"));
    fs::create_dir(root.join("twice")).unwrap();
    fs::write(root.join("twice/c.yaml"), both).unwrap();
    symlink("../a.yaml", root.join("twice/a.yaml")).unwrap();
    for (paths, expected) in [
        (&["a.yaml", "a.yaml"][..], "a:1"),
        (&["a.yaml", "twice/../a.yaml", "twice/a.yaml"], "a:1"),
        (
            &["a.yaml", "b.yaml"],
            "ROOT/b.yaml: there is no ConnectProxyPolicy in it",
        ),
        (
            &["a.yaml", "twice"],
            "twice/c.yaml:8:18: metadata.name: ROOT/twice/c.yaml:3:18 has a policy \"c\" already; rename or remove one",
        ),
    ] {
        let paths = paths.iter().map(|path| root.join(path)).collect();
        let said = shown(PolicyFiles::new(paths).load(), root);
        assert_eq!(said, expected.replace("ROOT/", ""), "{expected}");
    }
}

/// A directory as kubelet mounts a ConfigMap: links to `..data/…`, which is a link to a directory
/// with the time in its name.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    /// Writes a new version in the steps of `AtomicWriter.Write`, calling `between` after each.
    fn write(&self, stamp: &str, files: &[(&str, String)], mut between: impl FnMut()) {
        let directory = self.0.join(stamp);
        fs::create_dir(&directory).unwrap();
        for (path, text) in files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            between();
        }
        let visible = |path: &str| path.split('/').next().unwrap().to_owned();
        for (path, _) in files {
            let link = self.0.join(visible(path));
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(visible(path)), link).unwrap();
            }
            between();
        }
        let old = fs::read_link(self.0.join("..data")).ok();
        symlink(stamp, self.0.join("..data_tmp")).unwrap();
        between();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
        between();
        for entry in fs::read_dir(self.0).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("..") && files.iter().all(|(path, _)| visible(path) != name) {
                fs::remove_file(self.0.join(name)).unwrap();
            }
        }
        between();
        if let Some(old) = old {
            fs::remove_dir_all(self.0.join(old)).unwrap();
        }
    }
}

#[test]
fn a_mounted_config_map_is_read_once_and_its_swap_noticed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mount = Mount(root);
    let first = [("a.yaml", policy("a", "1")), ("b.yaml", policy("b", "2"))];
    mount.write("..2026_01_01", &first, || ());
    let mut files = PolicyFiles::new(vec![root.to_owned()]);
    assert_eq!(shown(files.load(), root), "a:1 b:2");
    assert_eq!(looks(&mut files, root, 2), ["", ""]);

    let nothing = format!("{}: there is no ConnectProxyPolicy in it", root.display());
    for (stamp, version, expected) in [
        (
            "..2026_01_02",
            &[("a.yaml", policy("a", "3")), ("b.yaml", policy("b", "2"))][..],
            "a:3 b:2",
        ),
        ("..2026_01_03", &[("c.yaml", policy("c", "4"))], "c:4"),
        // As a volume's `items` may have it, in one directory and in two.
        (
            "..2026_01_04",
            &[
                ("d/e.yaml", policy("e", "5")),
                ("d/f/g.yaml", policy("g", "6")),
            ],
            "e:5 g:6",
        ),
        ("..2026_01_05", &[], nothing.as_str()),
        ("..2026_01_06", &[("a.yaml", policy("a", "7"))], "a:7"),
    ] {
        // A look after every step: whatever it sees, what is reported is the new version, once.
        let mut said = Vec::new();
        mount.write(stamp, version, || said.extend(looks(&mut files, root, 1)));
        said.extend(looks(&mut files, root, 3));
        said.retain(|text| !text.is_empty());
        assert_eq!(said, [expected], "{stamp}");
    }
}
