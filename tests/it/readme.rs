//! Proves that the README's commands do what it shows: each is run, and what it prints is compared
//! to the letter where the README shows it. What `make demo-mesh` shows is compared with the transcript
//! that its test is held to.

use std::process::Command;

const README: &str = include_str!("../../README.md");
const STORY: &str = include_str!("../fidelity/story/transcript.txt");
const PREFIX: &str = "$ cargo run --release -- ";

/// The README's console blocks, without their fences.
fn console_blocks() -> impl Iterator<Item = &'static str> {
    let blocks = README.split("```console\n").skip(1);
    blocks.filter_map(|rest| rest.split("```\n").next())
}

/// The commands of the console blocks, each with the output shown below it. Where the prompt has a name
/// it is the story's.
fn commands() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in console_blocks()
        .filter(|block| block.starts_with("$ "))
        .flat_map(str::lines)
    {
        if line.starts_with("$ ") {
            commands.push((line.to_owned(), String::new()));
            continue;
        }
        let (_, output) = commands.last_mut().expect("output below a command");
        output.push_str(line);
        output.push('\n');
    }
    commands
}

#[test]
fn commands_print_what_the_readme_shows() {
    let mut shown = 0;
    let mut served = Vec::new();
    for (command, expected) in commands() {
        let Some(arguments) = command.strip_prefix(PREFIX) else {
            assert_eq!(
                command, "$ make test",
                "a command that this test does not know"
            );
            continue;
        };
        // Serving is proved by the webhook's tests, with these very arguments.
        if arguments.starts_with("serve") {
            served.push(arguments.to_owned());
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_tunnelguard"))
            .args(arguments.split(' '))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.stderr.is_empty(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!stdout.is_empty(), "{command} prints nothing");
        if !expected.is_empty() {
            assert_eq!(stdout, expected, "{command}");
            shown += 1;
        }
    }
    assert!(shown >= 2, "the README shows what lint and trace print");
    let with_policy = "serve --policy examples/policies/corporate.yaml";
    assert_eq!(served, ["serve", with_policy]);
}

#[test]
fn the_story_is_told_as_it_is_played() {
    let mut played = STORY.lines();
    let mut told = 0;
    for line in console_blocks()
        .filter(|block| !block.starts_with("$ "))
        .flat_map(str::lines)
        .filter(|line| !line.is_empty())
    {
        let found = played.any(|played| played == line);
        assert!(found, "not there, or in another order: {line}");
        told += 1;
    }
    assert!(told >= 8, "the README tells the heart of it");
}

#[test]
fn links_lead_somewhere() {
    let targets = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|target| !target.starts_with("http")) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
        assert!(
            path.exists(),
            "README links to {target}, which does not exist"
        );
    }
}
