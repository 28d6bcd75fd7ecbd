//! Says of the parser's errors what its words leave open, and points at the culprit.

use std::ops::Range;

use granit_parser::{ErrorKind, ScanError};

use super::limits::too_deep;

/// A syntax error, in the text of one document.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) range: Range<usize>,
}

/// The `error` that parsing `text` ended with.
pub(super) fn explain(error: &ScanError, text: &str) -> Fault {
    use ErrorKind as Kind;
    let at = error.marker().byte_offset().unwrap_or_default();
    let mut start = at;
    let message = match error.kind() {
        Kind::RecursionLimitExceeded => too_deep(),
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabInPlainScalar
        | Kind::TabAtBlockScalarStart => {
            start = indenting_tab(text, at).unwrap_or(at);
            "a tab in the indentation; YAML is indented with spaces".to_owned()
        }
        // Go reads the first of the two, so a cluster has it as it is meant.
        Kind::InvalidQuotedScalarIndent => {
            "a quoted text goes on left of where YAML allows it, or a quote above is open"
                .to_owned()
        }
        Kind::ExpectedDocumentStart => {
            "belongs to nothing above: indented too little, or `---` is missing".to_owned()
        }
        _ => error.info(),
    };
    let next = text.get(start..).and_then(|rest| rest.chars().next());
    let length = next.filter(|char| !matches!(char, '\r' | '\n'));
    let end = start + length.map_or(0, char::len_utf8);
    let range = start..end;
    Fault { message, range }
}

/// The first tab before a line's text, in the line of `at` or behind it: the parser stops before
/// a tab that continues a value, and behind one that begins a line.
fn indenting_tab(text: &str, at: usize) -> Option<usize> {
    let mut offset = text.get(..at)?.rfind('\n').map_or(0, |at| at + 1);
    for line in text.get(offset..)?.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return Some(offset + tab);
        }
        offset += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Fault, explain};
    use granit_parser::Parser;

    #[test]
    fn errors_are_told_where_they_are() {
        let tab = "a tab in the indentation; YAML is indented with spaces";
        let cases = [
            ("a:\n\tb: 1\n", tab, 3..4),
            ("a:\n  b: 1\n\tc: 2\n", tab, 10..11),
            ("a:\n  - 1\n \t- 2\n", tab, 10..11),
            ("a: |\n\tb\n", tab, 5..6),
            (
                "a: \"b\nc: 1\n",
                "a quoted text goes on left of where YAML allows it, or a quote above is open",
                6..7,
            ),
            (
                " a: 1\nb: 2\n",
                "belongs to nothing above: indented too little, or `---` is missing",
                6..7,
            ),
            ("a: [1", "unclosed bracket '['", 3..4),
            (
                "a: b: c",
                "mapping values are not allowed in this context",
                4..5,
            ),
            ("a: @b", "unexpected character: `@'", 3..4),
        ];
        for (text, message, range) in cases {
            let error = Parser::new_from_str(text).find_map(Result::err);
            let fault = error.map(|error| explain(&error, text));
            let message = message.to_owned();
            assert_eq!(fault, Some(Fault { message, range }), "{text:?}");
        }
    }
}
