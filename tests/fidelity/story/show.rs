//! `make demo-mesh`: the story on a terminal, and then the lab to play with.

use std::fs;
use std::io::{IsTerminal, stdin, stdout};
use std::thread;

use anstyle::{AnsiColor, Style};

use super::{Story, transcript};
use crate::harness::transcript::{printed_by, prompt_and_command, type_again};
use crate::lab::Lab;

const PROSE: Style = AnsiColor::Cyan.on_default();
const TYPED: Style = Style::new().bold();

/// Tells it. Where somebody is at a terminal, everything stays until the process is ended.
pub(crate) fn show(lab: &Lab, network: &str) {
    let mut story = Story::begin(lab);
    let text = fs::read_to_string(transcript()).expect("a transcript");
    anstream::println!();
    type_again(&text, |prompt, command| story.run(prompt, command), print);
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return;
    }
    forget_markers(&story);
    print_how_to_play(&story, network);
    loop {
        thread::park();
    }
}

fn print(line: &str) {
    let style = match line {
        _ if line.starts_with('#') => PROSE,
        _ if prompt_and_command(line).is_some() => TYPED,
        _ => Style::new(),
    };
    anstream::println!("{style}{line}{style:#}");
}

/// Takes away what was there only to be waited for.
fn forget_markers(story: &Story<'_>) {
    let markers = "kubectl get serviceentries -o name | grep /marker- | xargs kubectl delete";
    printed_by(&mut story.shell("admin"), markers);
}

fn print_how_to_play(story: &Story<'_>, network: &str) {
    println!(
        "\nEverything is left running. In another terminal, as root, to type what is above and more:\n
  ip netns exec {network} bash   # the application's network
  cd {}
  export KUBECONFIG={} PATH={}:$PATH
  kubectl get serviceentries
  curl -s localhost:15000/listeners   # Envoy's
  tail -f guard.log\n
Ctrl-C ends it, with every shell in there, and leaves nothing behind.",
        story.files().display(),
        story.kubeconfig("admin").display(),
        story.bin().display(),
    );
}
