//! Text that others wrote, as one line of bounded length.

/// `text` on one line of at most `longest` characters: control characters become blanks, and what
/// is cut off is an ellipsis.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.take(longest).collect();
    if text.chars().nth(longest).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn lines_are_clean_and_bounded() {
        for (text, longest, line) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöüß", 3, "äö…"),
            ("a\nb\u{1b}[0m\u{9b}", 20, "a b [0m "),
        ] {
            assert_eq!(one_line(text, longest), line, "{text:?}");
        }
    }
}
