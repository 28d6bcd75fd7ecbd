//! Rust source as the paths it names, without comments, strings and tests. No parser: just enough
//! to tell `use crate::{mesh, report::self}` from prose about it.

/// A file of `src/`.
pub(super) struct Source {
    /// In the repository.
    pub(super) path: String,
    uses: Vec<Use>,
}

/// A path named in code.
pub(super) struct Use {
    pub(super) line: usize,
    /// With groups taken apart, and `super` followed up to the crate's root.
    pub(super) path: String,
}

impl Source {
    /// Nothing for a file of tests.
    pub(super) fn new(path: &str, text: &str) -> Option<Self> {
        let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut module: Vec<&str> = inside.split('/').collect();
        if module.contains(&"tests") {
            return None;
        }
        if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
            module.pop();
        }
        let code = without_tests(&without_prose(text));
        let mut uses = named(&code);
        for used in &mut uses {
            used.path = from_root(&used.path, module.len());
        }
        Some(Self {
            path: path.to_owned(),
            uses,
        })
    }

    /// The folder below `src/`; none for the crate's roots.
    pub(super) fn layer(&self) -> Option<&str> {
        let (layer, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        Some(layer)
    }

    pub(super) fn uses(&self) -> impl Iterator<Item = &Use> {
        self.uses.iter()
    }
}

impl Use {
    /// Which module of the crate's root it names.
    pub(super) fn layer(&self) -> Option<String> {
        let inside = self.path.strip_prefix("crate::")?;
        Some(inside.split("::").next()?.to_owned())
    }
}

/// `super::super::x`, in a module that deep, is `crate::x`.
fn from_root(path: &str, depth: usize) -> String {
    let above = path.split("::").take_while(|word| *word == "super");
    if depth == 0 || above.count() != depth {
        return path.to_owned();
    }
    path.replacen(&"super::".repeat(depth), "crate::", 1)
}

/// The code with comments, strings and characters blanked, line by line as it was.
fn without_prose(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let named = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match prose(rest, named) {
            0 => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            length => length,
        };
        let (blanked, behind) = rest.split_at(length);
        code.extend(blanked.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = behind;
    }
    code
}

/// How many bytes of prose `text` begins with. Behind a name, `r"` begins no raw string.
fn prose(text: &str, named: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    if text.starts_with('\'') {
        // 'a' and '\n' are characters, 'a without a quote behind it is a lifetime.
        let mut behind = text.chars().skip(1);
        let escaped = behind.next() == Some('\\');
        return match escaped || behind.next() == Some('\'') {
            true => quoted(text, '\''),
            false => 0,
        };
    }
    let hashes = text.strip_prefix('r').map(|rest| {
        let bare = rest.trim_start_matches('#');
        (rest.len() - bare.len(), bare.starts_with('"'))
    });
    match hashes {
        Some((hashes, true)) if !named => {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = hashes + 2;
            let found = text[begin..].find(&end);
            found.map_or(text.len(), |at| begin + at + end.len())
        }
        _ => 0,
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Without the items behind `#[cfg(test)]`: up to the end of their braces, or their semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, test) = rest.split_at(at);
        let length = item_length(test);
        kept.push_str(before);
        kept.extend(test[..length].chars().filter(|c| *c == '\n'));
        rest = &test[length..];
    }
    kept.push_str(rest);
    kept
}

fn item_length(item: &str) -> usize {
    let mut depth = 0;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' => {}
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    item.len()
}

/// Every path in the code.
fn named(code: &str) -> Vec<Use> {
    let mut uses = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let begin = &rest[at..];
        let line = 1 + code[..code.len() - begin.len()].matches('\n').count();
        let mut paths = Vec::new();
        let length = path("", begin, &mut paths);
        uses.extend(paths.into_iter().map(|path| Use { line, path }));
        rest = &begin[length.max(1)..];
    }
    uses
}

/// Reads one path, or a group of them behind `prefix`; how many bytes it took.
fn path(prefix: &str, code: &str, paths: &mut Vec<String>) -> usize {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_');
    let length = end.unwrap_or(code.len());
    let whole = format!("{prefix}{}", &code[..length]);
    let Some(behind) = code[length..].strip_prefix("::") else {
        paths.push(whole);
        return length;
    };
    let begin = length + 2;
    let prefix = format!("{whole}::");
    match behind.chars().next() {
        Some('{') => begin + group(&prefix, behind, paths),
        Some(c) if c.is_alphabetic() || c == '_' => begin + path(&prefix, behind, paths),
        _ => {
            paths.push(whole);
            begin
        }
    }
}

/// `{a, b::c}`, braces included.
fn group(prefix: &str, code: &str, paths: &mut Vec<String>) -> usize {
    let mut at = 1;
    while let Some(next) = code[at..].chars().next() {
        match next {
            '}' => return at + 1,
            c if c.is_alphabetic() || c == '_' => at += path(prefix, &code[at..], paths),
            c => at += c.len_utf8(),
        }
    }
    code.len()
}
