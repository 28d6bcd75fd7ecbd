//! Draws a finding as rustc draws its own: the title, the place, the source line with what is
//! meant underlined, and the ways out.
//!
//! The renderer looks at every character of the text it gets, for every finding. So it gets one
//! line, and of a line that is a whole minified file only the part around the place.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet as Lines};

use crate::source::Location;

/// Lines longer than this are cut. Wider than any terminal, so nothing is lost to the eye.
const LONG_LINE: usize = 1000;

/// As long as a C1 control character is in UTF-8, so that places in the line stay.
const STAND_IN: char = '·';

/// What is kept of a cut line before and behind the place's beginning.
const BEFORE: usize = 60;
const BEHIND: usize = 140;

/// How bad a finding is, for the word and the colour it is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `error`, red.
    Error,
    /// `warning`, yellow.
    Warning,
}

/// A finding to be drawn. Its texts may come from anywhere: control characters, as terminals
/// obey them, are shown instead of sent.
#[derive(Clone, Copy, Debug)]
pub struct Snippet<'a> {
    /// The file's name.
    pub source_name: &'a str,
    /// The file's whole text; empty when it could not be read.
    pub source_text: &'a str,
    /// The place meant. Of several lines the first is drawn.
    pub location: &'a Location,
    /// How bad it is.
    pub severity: Severity,
    /// The check's name, `TG001`; none when empty.
    pub id: &'a str,
    /// What is found.
    pub title: &'a str,
    /// What to say about the place itself; nothing when empty.
    pub label: &'a str,
    /// What to do, each as a `= help:` line.
    pub help: &'a [String],
}

impl Snippet<'_> {
    /// The drawing, with a line feed at its end; `styled` with terminal colours.
    pub fn draw(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut title = level.primary_title(visible(self.title));
        if !self.id.is_empty() {
            title = title.id(visible(self.id));
        }
        let excerpt = Excerpt::new(self.source_text, &self.location.byte_range);
        let mut group = Group::with_title(title);
        if excerpt.is_cut || self.source_text.is_empty() {
            // Only here, as the renderer takes the lines below for another place.
            let origin = Origin::path(visible(self.source_name))
                .line(self.location.line)
                .char_column(self.location.column);
            group = group.element(origin);
        }
        if !self.source_text.is_empty() {
            group = group.element(self.lines(&excerpt));
        }
        let help = self
            .help
            .iter()
            .map(|help| Level::HELP.message(visible(help)));
        let report = [group.elements(help)];
        let renderer = match styled {
            true => Renderer::styled(),
            false => Renderer::plain(),
        };
        renderer.render(&report) + "\n"
    }

    fn lines<'b>(&'b self, excerpt: &'b Excerpt) -> Lines<'b, annotate_snippets::Annotation<'b>> {
        let label = (!self.label.is_empty()).then(|| visible(self.label));
        let annotation = AnnotationKind::Primary
            .span(excerpt.span.clone())
            .label(label);
        Lines::source(excerpt.text.as_str())
            .line_start(self.location.line)
            .fold(false)
            .path((!excerpt.is_cut).then(|| visible(self.source_name)))
            .annotation(annotation)
    }
}

/// The part of a text that is drawn.
struct Excerpt {
    text: String,
    /// The place in `text`.
    span: Range<usize>,
    is_cut: bool,
}

impl Excerpt {
    /// Takes any range: one that is out of bounds or within a character is moved.
    fn new(text: &str, range: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(range.start);
        // No line's end is looked for further away: a file may be one line.
        let first = text.floor_char_boundary(start.saturating_sub(LONG_LINE));
        let last = text.ceil_char_boundary(start.saturating_add(LONG_LINE));
        let (before, behind) = (&text[first..start], &text[start..last]);
        let line_start = before.rfind('\n').map(|at| first + at + 1);
        let line_end = behind.find('\n').map(|at| start + at);
        let line_start = line_start.or((first == 0).then_some(0));
        let line_end = line_end.or((last == text.len()).then_some(last));
        let is_cut = line_start.is_none() || line_end.is_none();
        let (from, to) = match (line_start, line_end) {
            (Some(line_start), Some(line_end)) => (line_start, line_end),
            (line_start, line_end) => (
                text.ceil_char_boundary(start.saturating_sub(BEFORE))
                    .max(line_start.unwrap_or(0)),
                text.floor_char_boundary(start + BEHIND)
                    .min(line_end.unwrap_or(last)),
            ),
        };
        let dots = |cut: bool| if cut { "…" } else { "" };
        let before = dots(is_cut && line_start != Some(from));
        let behind = dots(is_cut && line_end != Some(to));
        let line = text[from..to].trim_end_matches('\r');
        let to = from + line.len();
        let place = |at: usize| before.len() + at.clamp(from, to) - from;
        Self {
            text: format!("{before}{}{behind}", shown(line)),
            span: place(start)..place(text.ceil_char_boundary(range.end).max(start)),
            is_cut,
        }
    }
}

/// Makes of a source line what the renderer does not: the C1 control characters visible.
fn shown(line: &str) -> String {
    let show = |char: char| if is_c1(char) { STAND_IN } else { char };
    line.chars().map(show).collect()
}

/// Makes visible what a terminal would obey. The renderer sees to the source lines and the title,
/// and to nothing else.
fn visible(text: &str) -> String {
    let show = |char: char| match char {
        '\n' => '\n',
        // The pictures of the control characters stand in their order.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + char as u32).unwrap_or(STAND_IN),
        '\u{7f}' => '\u{2421}',
        // These turn the direction of the text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => STAND_IN,
        _ if is_c1(char) => STAND_IN,
        _ => char,
    };
    text.chars().map(show).collect()
}

fn is_c1(char: char) -> bool {
    matches!(char, '\u{80}'..='\u{9f}')
}

#[cfg(test)]
mod tests {
    use super::{Severity, Snippet};
    use crate::source::Location;
    use proptest::prelude::*;

    fn draw(text: &str, location: &Location, help: &[&str], styled: bool) -> String {
        let help: Vec<String> = help.iter().map(|help| (*help).to_owned()).collect();
        Snippet {
            source_name: "dir/se.yaml",
            source_text: text,
            location,
            severity: Severity::Warning,
            id: "TG001",
            title: "HTTP on a tunnel port",
            label: "declared here",
            help: &help,
        }
        .draw(styled)
    }

    fn at(line: usize, column: usize, byte_range: std::ops::Range<usize>) -> Location {
        Location {
            line,
            column,
            byte_range,
        }
    }

    #[test]
    fn draws_the_line_with_the_place() {
        let text = "spec:\r\n\tä: HTTP # x\r\nz: 1\r\n";
        let expected = "\
warning[TG001]: HTTP on a tunnel port
 --> dir/se.yaml:2:5
  |
2 |     ä: HTTP # x
  |        ^^^^ declared here
  |
  = help: set it to TCP
  = help: or drop it
";
        let help = ["set it to TCP", "or drop it"];
        let drawn = draw(text, &at(2, 5, 12..16), &help, false);
        assert_eq!(drawn, expected);
        let several_lines = draw(text, &at(2, 5, 12..26), &[], false);
        assert!(several_lines.contains("ä: HTTP # x\n"), "{several_lines}");
        assert!(!several_lines.contains("z: 1"), "{several_lines}");
        assert!(draw(text, &at(2, 5, 12..16), &help, true).contains("\u{1b}["));
    }

    #[test]
    fn a_point_has_one_mark() {
        let drawn = draw("a:\nb: 1\n", &at(1, 3, 2..2), &[], false);
        assert!(drawn.contains("1 | a:\n  |   ^ declared here"), "{drawn}");
    }

    #[test]
    fn without_a_text_only_the_place_is_told() {
        let drawn = draw("", &at(4, 7, 0..0), &["save it as UTF-8"], false);
        let expected = "\
warning[TG001]: HTTP on a tunnel port
--> dir/se.yaml:4:7
 = help: save it as UTF-8
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_minified_file_is_cut_around_the_place() {
        let text = format!(
            "{{{}\"protocol\":\"HTTP\"{}}}",
            "\"a\":1,".repeat(200_000),
            ",\"b\":2".repeat(9)
        );
        let start = text.find("\"HTTP").expect("the test's own text");
        let drawn = draw(&text, &at(1, start + 1, start..start + 6), &[], false);
        assert!(drawn.len() < 1000, "{} bytes", drawn.len());
        assert!(
            drawn.contains(&format!("dir/se.yaml:1:{}", start + 1)),
            "{drawn}"
        );
        let lines: Vec<&str> = drawn.lines().collect();
        let source = lines
            .iter()
            .position(|line| line.contains("\"HTTP\""))
            .expect("the line");
        let place: Vec<char> = lines[source].chars().collect();
        let marks: Vec<usize> = lines[source + 1]
            .char_indices()
            .filter(|it| it.1 == '^')
            .map(|it| it.0)
            .collect();
        let marked: String = marks.iter().map(|at| place[*at]).collect();
        assert_eq!(marked, "\"HTTP\"", "{drawn}");
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        let drawn = draw(
            "a: \u{1b}[31m\u{9b}2J",
            &at(1, 4, 3..8),
            &["\u{1b}[2J\u{9b}"],
            false,
        );
        assert!(!drawn.contains(['\u{1b}', '\u{9b}']), "{drawn:?}");
    }

    proptest! {
        #[test]
        fn never_panics(
            text in "[a\né\r\t\u{feff}\u{1b}]{0,60}",
            start in 0usize..80,
            end in 0usize..80,
            line in 0usize..9,
            repeat in 1usize..60,
        ) {
            let text = text.repeat(repeat);
            _ = draw(&text, &at(line, start, start..end), &["x"], false);
        }
    }
}
