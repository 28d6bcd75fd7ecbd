//! Text that others wrote, fit to stand in a message: on one line, of bounded length, and without
//! what a terminal obeys. The API server drops a warning with a control character without a word.

/// How much of a value a message shows: the longest protocol has ten characters.
pub(crate) const VALUE_CHARACTERS: usize = 24;

/// How much of a name a message shows: a DNS label has at most 63 characters (RFC 1123).
pub(crate) const NAME_CHARACTERS: usize = 63;

/// A namespace has at most 63 characters and a name 253 (RFC 1123); `/` and `*` are two more.
pub(crate) const OBJECT_CHARACTERS: usize = 63 + 253 + 2;

/// `text` on one line of at most `longest` characters: what a terminal would obey becomes blanks,
/// and what is cut off is an ellipsis.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let clean = text.chars().map(|c| if is_obeyed(c) { ' ' } else { c });
    let mut line: String = clean.take(longest).collect();
    if text.chars().nth(longest).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// A name or value inside a sentence: bare where it is one plain word, else as [`quoted`].
pub(crate) fn shown(text: &str, longest: usize) -> String {
    match !text.is_empty() && text.chars().all(is_plain) {
        true => one_line(text, longest),
        false => quoted(text, longest),
    }
}

/// `text` between quotes, of which at most `longest` characters stand there; what cannot be seen
/// is escaped.
pub(crate) fn quoted(text: &str, longest: usize) -> String {
    let mut quoted = String::from('"');
    let mut length = 0;
    for char in text.chars() {
        let escaped = match char {
            '\'' => "'".to_owned(),
            char => char.escape_debug().to_string(),
        };
        length += escaped.chars().count();
        if length > longest {
            quoted.push('…');
            break;
        }
        quoted.push_str(&escaped);
    }
    quoted.push('"');
    quoted
}

/// Control characters, those that turn the direction of the text, and those that end a line.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// What needs no quotes to be told apart from the sentence around it.
fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-._~*:/[]+%@".contains(char)
}

#[cfg(test)]
mod tests {
    use super::{one_line, quoted, shown};

    #[test]
    fn lines_are_clean_and_bounded() {
        for (text, longest, line) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöüß", 3, "äö…"),
            ("a\nb\u{1b}[0m\u{9b}", 20, "a b [0m "),
            ("a\u{202e}b\u{2028}c\u{2069}", 20, "a b c "),
        ] {
            assert_eq!(one_line(text, longest), line, "{text:?}");
        }
    }

    #[test]
    fn words_are_bare_and_all_else_is_quoted() {
        for (text, bare, quotes) in [
            ("HTTP", "HTTP", r#""HTTP""#),
            ("a/b~c", "a/b~c", r#""a/b~c""#),
            ("*.proxy.corp", "*.proxy.…", r#""*.proxy.c…""#),
            ("", r#""""#, r#""""#),
            ("HTTP ", r#""HTTP ""#, r#""HTTP ""#),
            ("it's", r#""it's""#, r#""it's""#),
            ("a\"b", r#""a\"b""#, r#""a\"b""#),
            ("a, b", r#""a, b""#, r#""a, b""#),
            ("\u{1b}[31mred", r#""\u{1b}[31…""#, r#""\u{1b}[31…""#),
            ("\u{9b}\u{202e}", r#""\u{9b}…""#, r#""\u{9b}…""#),
            ("ＨＴＴＰ", "\"ＨＴＴＰ\"", "\"ＨＴＴＰ\""),
        ] {
            assert_eq!(shown(text, 9), bare, "{text:?}");
            assert_eq!(quoted(text, 9), quotes, "{text:?}");
        }
    }
}
