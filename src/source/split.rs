//! Cuts a text into documents before any of them is parsed, so that a broken one cannot take its
//! neighbours with it.
//!
//! YAML allows `---` and `...` at the beginning of a line nowhere but between documents, and
//! `kubectl` cuts at `---` in the same way. JSON values that follow each other
//! (`kubectl get -o json` run twice into one file) are cut behind their closing brace.

/// The text of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'t> {
    pub(super) text: &'t str,
    /// Where `text` begins in the whole.
    pub(super) start: usize,
}

impl<'t> Chunk<'t> {
    fn new(whole: &'t str, start: usize, end: usize) -> Self {
        let text = &whole[start..end];
        // A mark in the middle comes from `cat a.yaml b.yaml`.
        match text.strip_prefix('\u{feff}') {
            None => Self { text, start },
            Some(text) => Self {
                text,
                start: start + '\u{feff}'.len_utf8(),
            },
        }
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Cuts `text` into documents, comments and empty ones included.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    for chunk in at_markers(text) {
        behind_braces(text, chunk, &mut chunks);
    }
    chunks
}

fn at_markers(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut begin = 0;
    let mut offset = 0;
    // `%YAML` lines belong to the document behind the `---` that follows them.
    let mut directives = false;
    let mut body = false;
    for line in text.split_inclusive('\n') {
        let next = offset + line.len();
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if is_marker(line, "---") {
            if offset > begin && (body || !directives) {
                chunks.push(Chunk::new(text, begin, offset));
                begin = offset;
            }
            body = true;
        } else if is_marker(line, "...") {
            chunks.push(Chunk::new(text, begin, next));
            begin = next;
            (directives, body) = (false, false);
        } else if line.starts_with('%') && !body {
            directives = true;
        } else if !matches!(line.trim_start().as_bytes().first(), None | Some(b'#')) {
            body = true;
        }
        offset = next;
    }
    if begin < text.len() {
        chunks.push(Chunk::new(text, begin, text.len()));
    }
    chunks
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Cuts between `}` and `{` at the outermost level, where YAML can have no such thing.
fn behind_braces<'t>(text: &'t str, chunk: Chunk<'t>, chunks: &mut Vec<Chunk<'t>>) {
    let mut rest = chunk;
    while let Some(length) = object_length(rest.text) {
        let behind = &rest.text[length..];
        if !behind.trim_start().starts_with('{') {
            break;
        }
        let cut = rest.start + length;
        chunks.push(Chunk::new(text, rest.start, cut));
        rest = Chunk::new(text, cut, rest.end());
    }
    chunks.push(rest);
}

/// How many bytes the JSON object takes that `text` begins with; none when it is no such thing.
fn object_length(text: &str) -> Option<usize> {
    let blank = text.len() - text.trim_start().len();
    if !text[blank..].starts_with('{') {
        return None;
    }
    let mut depth = 0usize;
    let mut quoted = false;
    let mut bytes = text.bytes().enumerate().skip(blank);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => _ = bytes.next(),
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::split;
    use proptest::prelude::*;

    #[test]
    fn cuts_between_documents_only() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a", &["a"]),
            ("a\n---\nb\n", &["a\n", "---\nb\n"]),
            ("---\na\n--- # two\nb", &["---\na\n", "--- # two\nb"]),
            ("a\r\n---\r\nb", &["a\r\n", "---\r\nb"]),
            ("--- a\n--- b", &["--- a\n", "--- b"]),
            ("a: |\n  ---\n  b", &["a: |\n  ---\n  b"]),
            ("---a\n----\n", &["---a\n----\n"]),
            ("a\n...\nb", &["a\n...\n", "b"]),
            ("%YAML 1.2\n---\na", &["%YAML 1.2\n---\na"]),
            (
                "# c\n%YAML 1.2\n\n---\na\n---\nb",
                &["# c\n%YAML 1.2\n\n---\na\n", "---\nb"],
            ),
            ("# c\n---\na", &["# c\n", "---\na"]),
            ("a\n\u{feff}---\nb", &["a\n", "---\nb"]),
            ("{\"a\":1}{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":\"}{\"}\n{}\n", &["{\"a\":\"}{\"}", "\n{}\n"]),
            ("{\"a\":\"\\\"}{\"}", &["{\"a\":\"\\\"}{\"}"]),
            ("{a: {}} # {}\n", &["{a: {}} # {}\n"]),
            ("{a: it\"s}\n", &["{a: it\"s}\n"]),
            ("}{", &["}{"]),
        ];
        for (text, expected) in cases {
            let parts: Vec<&str> = split(text).iter().map(|chunk| chunk.text).collect();
            assert_eq!(&parts, expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_are_pieces_of_the_text_in_order(text in "[-.%{}\"\\\\a \r\n#\u{feff}é]{0,60}") {
            let mut end = 0;
            for chunk in split(&text) {
                prop_assert!(chunk.start >= end);
                prop_assert_eq!(&text[chunk.start..chunk.end()], chunk.text);
                end = chunk.end();
            }
            prop_assert_eq!(end, text.len());
        }
    }
}
