//! Transcripts: what somebody types, and what comes back.
//!
//! Lines that begin with `#` are prose. `PROMPT$ COMMAND` is typed; what it prints follows, blank lines
//! left out.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Types what a transcript says, and compares what is printed; with `TRANSCRIPT=overwrite` it is
/// written there instead, to be read as a diff.
///
/// # Panics
/// If something else is printed.
pub(crate) fn play_transcript(path: &Path, run: impl FnMut(&str, &str) -> String) {
    let expected = fs::read_to_string(path).expect("a transcript");
    let mut printed = String::new();
    type_again(&expected, run, |line| printed += &format!("{line}\n"));
    if printed == expected {
        return;
    }
    if std::env::var("TRANSCRIPT").is_ok_and(|word| word == "overwrite") {
        fs::write(path, &printed).expect("a transcript");
        return;
    }
    panic!("{}", difference(path, &expected, &printed));
}

/// Runs the commands of a transcript, each with its prompt, and gives the transcript's lines with what
/// is printed now, each as soon as it is known.
pub(crate) fn type_again(
    transcript: &str,
    mut run: impl FnMut(&str, &str) -> String,
    mut line_is: impl FnMut(&str),
) {
    for line in transcript.lines() {
        if let Some((prompt, command)) = prompt_and_command(line) {
            line_is(line);
            let output = run(prompt, command);
            for line in output.lines().filter(|line| !line.trim().is_empty()) {
                line_is(line.trim_end());
            }
        } else if line.is_empty() || line.starts_with('#') {
            line_is(line);
        }
    }
}

/// The parts of a line that is typed.
pub(crate) fn prompt_and_command(line: &str) -> Option<(&str, &str)> {
    let is_prompt = |text: &str| text.chars().all(|letter| letter.is_ascii_lowercase());
    line.split_once("$ ")
        .filter(|(prompt, _)| is_prompt(prompt))
}

/// What a command prints in a shell, and `exit status N` if that is not 0.
pub(crate) fn printed_by(shell: &mut Command, command: &str) -> String {
    // Both streams go to one file, so that they are in order.
    let output = tempfile::NamedTempFile::new().expect("a temporary file");
    let file = File::create(output.path()).expect("a temporary file");
    shell.args(["-c", command]);
    shell.stderr(file.try_clone().expect("a file")).stdout(file);
    let status = shell.status().expect("bash");
    let mut printed = fs::read_to_string(output.path()).expect("UTF-8");
    if let Some(code) = status.code().filter(|code| *code != 0) {
        printed += &format!("\nexit status {code}\n");
    }
    printed
}

/// The first line that differs, and all that is printed.
fn difference(path: &Path, expected: &str, printed: &str) -> String {
    let mut lines = expected.lines().zip(printed.lines()).enumerate();
    let line = lines.find(|(_, (expected, printed))| expected != printed);
    let (number, (expected, got)) = line.unwrap_or_default();
    format!(
        "{}:{}\nexpected: {expected}\nprinted:  {got}\n--- all that is printed\n{printed}",
        path.display(),
        number + 1
    )
}
