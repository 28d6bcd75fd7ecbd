//! From one source to its documents: what can be read is given, what cannot is told.

use serde_json::Value;

use super::compose::compose;
use super::input::SourceFile;
use super::list::flatten;
use super::position::{Cursor, Location, Span};
use super::resolve::{AliasBudget, Spot, resolve};
use super::split::{Chunk, split};

/// What one source holds.
#[derive(Debug, Default)]
pub struct Reading {
    /// The documents, in the order of the text. Items of a `List` are documents of their own.
    pub documents: Vec<Document>,
    /// What is wrong with the text, in its order.
    pub problems: Vec<Problem>,
    /// Set when the source is no YAML but a template of it; then there is nothing else.
    pub skipped: Option<Skipped>,
}

/// A document's value, and where in the text its fields stand ([`Document::locate`]).
#[derive(Debug)]
pub struct Document {
    /// The value as `kubectl` would send it to the API server. Not always an object.
    pub value: Value,
    pub(super) spot: Spot,
}

/// Something wrong with a text. `kubectl` refuses the document it is in, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in half a sentence.
    pub message: String,
    /// Where.
    pub location: Location,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, span: Span) -> Self {
        Self {
            message: message.into(),
            location: span.location(),
        }
    }
}

/// A source that was not judged, which is to be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The source's name.
    pub name: String,
    /// Why, in half a sentence.
    pub reason: String,
}

/// Reads all documents of `source`.
pub fn read(source: &SourceFile) -> Reading {
    let text = match &source.text {
        Ok(text) => text.as_str(),
        Err(problem) => return Reading::broken(problem.clone()),
    };
    if source.in_chart && text.contains("{{") {
        return Reading::skipped(source, "a template of a Helm chart".to_owned());
    }
    let mut reading = Reading::default();
    let mut cursor = Cursor::new(text);
    let mut budget = AliasBudget::default();
    for chunk in split(text) {
        let Err(problem) = reading.take(chunk, &mut cursor, &mut budget) else {
            continue;
        };
        if chunk.text.contains("{{") {
            let line = problem.location.line;
            let reason = format!(
                "a template, by its `{{{{`; as YAML, line {line}: {}",
                problem.message
            );
            return Reading::skipped(source, reason);
        }
        reading.problems.push(problem);
    }
    // Duplicate keys come in the order of their names.
    reading
        .problems
        .sort_by_key(|problem| problem.location.byte_range.start);
    reading
}

impl Reading {
    fn broken(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }

    fn skipped(source: &SourceFile, reason: String) -> Self {
        Self {
            skipped: Some(Skipped {
                name: source.name.clone(),
                reason,
            }),
            ..Self::default()
        }
    }

    fn take<'t>(
        &mut self,
        chunk: Chunk<'t>,
        cursor: &mut Cursor<'t>,
        budget: &mut AliasBudget,
    ) -> Result<(), Problem> {
        let mut found = Vec::new();
        for tree in compose(chunk, cursor, &mut self.problems)? {
            let (value, spot) = resolve(&tree, budget, &mut self.problems)?;
            flatten(value, spot, &mut found);
        }
        let documents = found.into_iter().filter(|(value, _)| !value.is_null());
        self.documents
            .extend(documents.map(|(value, spot)| Document { value, spot }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Reading, read};
    use crate::mesh::FieldPath;
    use crate::source::SourceFile;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn reading(text: &str) -> Reading {
        read(&SourceFile::from_text("a.yaml", text))
    }

    fn values(text: &str) -> Vec<Value> {
        let documents = reading(text).documents.into_iter();
        documents.map(|document| document.value).collect()
    }

    /// Problems as `line:column message`.
    fn problems(text: &str) -> Vec<String> {
        let told = reading(text).problems.into_iter().map(|problem| {
            let at = problem.location;
            format!("{}:{} {}", at.line, at.column, problem.message)
        });
        told.collect()
    }

    #[test]
    fn every_document_is_read() {
        let cases = [
            ("", json!([])),
            ("\u{feff}a: 1", json!([{"a": 1}])),
            ("# only a comment\n", json!([])),
            ("---\n# nothing\n---\n---\na: 1\n---\n", json!([{"a": 1}])),
            ("a: 1\n---\nb: 2\n", json!([{"a": 1}, {"b": 2}])),
            ("a: 1\r\n---\r\nb: 2\r\n", json!([{"a": 1}, {"b": 2}])),
            ("a: 1\r---\rb: 2\r", json!([{"a": 1}, {"b": 2}])),
            (
                "%YAML 1.1\n---\na: 1\n...\nb: 2\n",
                json!([{"a": 1}, {"b": 2}]),
            ),
            ("{\"a\":\t1}\n{\"b\": 2}", json!([{"a": 1}, {"b": 2}])),
            ("{\n\t\"a\": [\n\t\t1\n\t]\n}\n", json!([{"a": [1]}])),
            (
                "a: &x {b: 1}\nc: *x\n",
                json!([{"a": {"b": 1}, "c": {"b": 1}}]),
            ),
            (
                "{1: a, true: b, 1.5: c}",
                json!([{"1": "a", "true": "b", "1.5": "c"}]),
            ),
            (
                "a: |\n  x\nb: >-\n  y\n  z\n",
                json!([{"a": "x\n", "b": "y z"}]),
            ),
            ("a: |\n  x", json!([{"a": "x"}])),
            ("text", json!(["text"])),
        ];
        for (text, expected) in cases {
            assert_eq!(json!(values(text)), expected, "{text:?}");
            assert_eq!(problems(text), [""; 0], "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_hides_no_other() {
        let broken = [
            "a: [1\n",
            "a: \"b\n",
            "a:\n\tb: 1\n",
            "a: b: c\n",
            "- a\nb\n",
            "a: 'x' y\n",
        ];
        for broken in broken {
            for place in 0..3 {
                let mut parts = ["doc: 0\n", "doc: 1\n", "doc: 2\n"];
                parts[place] = broken;
                let text = parts.join("---\n");
                let others: Vec<Value> = (0..3)
                    .filter(|other| *other != place)
                    .map(|n| json!({ "doc": n }))
                    .collect();
                assert_eq!(values(&text), others, "{text}");
                assert_eq!(problems(&text).len(), 1, "{text}");
            }
        }
    }

    #[test]
    fn problems_say_what_and_where() {
        let deep = "[".repeat(10_000);
        let lines = "a1: &a1 {x: 1}\n".to_owned()
            + &(2..400)
                .map(|n| format!("a{n}: &a{n} {{x: *a{}}}\n", n - 1))
                .collect::<String>();
        let merges = lines.replace("x: *", "<<: *");
        let cases = [
            (
                "a:\n\tb: 1\n",
                "2:1 a tab in the indentation; YAML is indented with spaces",
            ),
            (
                "a:\n  b: 1\n\tc: 2\n",
                "3:1 a tab in the indentation; YAML is indented with spaces",
            ),
            (
                "a: 1\nb: 2\n\na: 3\n",
                "4:1 `a` on line 4 is set on line 1 already",
            ),
            (
                "h: *.example.com\n",
                "1:4 no anchor `&.example.com` precedes `*.example.com`; a text needs quotes: \"*.example.com\"",
            ),
            (
                "a: &x [*x]\n",
                "1:8 this alias stands inside the value it repeats",
            ),
            ("a: .nan\n", "1:4 `NaN` has no form in JSON"),
            ("a: !!int x\n", "1:10 `x` is tagged `!!int` but is none"),
            (
                "ä: {~: 1}\n",
                "1:5 a key must be a string, and this one is null",
            ),
            (
                "[a]: 1\n",
                "1:1 a key must be a string, and this one is a collection",
            ),
            ("<<: 1\n", "1:5 `<<` takes a mapping or a list of mappings"),
            (&deep, "1:129 nested deeper than 128 levels"),
            (&lines, "127:17 nested deeper than 128 levels"),
            (&merges, "127:18 nested deeper than 128 levels"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                problems(text),
                [expected],
                "{}",
                &text[..text.len().min(80)]
            );
        }
    }

    #[test]
    fn a_problem_of_one_field_leaves_the_document() {
        let cases = [
            ("a: 1\na: 2\na: 3\n", json!({"a": 3})),
            ("h: *.example.com\n", json!({"h": "*.example.com"})),
            ("a: .inf\n", json!({"a": ".inf"})),
            ("~: 1\nb: 2\n", json!({"b": 2})),
        ];
        for (text, expected) in cases {
            assert_eq!(values(text), [expected], "{text}");
        }
        assert_eq!(problems("a: 1\na: 2\na: 3\n").len(), 2);
    }

    /// Written by `sigs.k8s.io/yaml` v1.6.0 for the same texts.
    #[test]
    fn merge_keys_set_fields_where_they_stand() {
        let base = "b: &b {x: 1, w: 2}\nc: &c {x: 3, z: 4}\n";
        let cases = [
            ("m: {<<: *b, x: 9}", json!({"x": 9, "w": 2})),
            ("m: {x: 9, <<: *b}", json!({"x": 1, "w": 2})),
            ("m: {<<: [*b, *c]}", json!({"x": 1, "w": 2, "z": 4})),
            ("m: {<<: {<<: *b, w: 7}}", json!({"x": 1, "w": 7})),
            ("m: {\"<<\": 1}", json!({"<<": 1})),
        ];
        for (text, expected) in cases {
            let text = format!("{base}{text}\n");
            assert_eq!(problems(&text), [""; 0], "{text}");
            assert_eq!(values(&text)[0]["m"], expected, "{text}");
        }
    }

    #[test]
    fn alias_bombs_are_refused_in_time() {
        let laughs = |n: usize| {
            let line = |n: usize| {
                let alias = format!("*a{},", n.wrapping_sub(1));
                let items = if n == 0 {
                    "x,".repeat(9)
                } else {
                    alias.repeat(9)
                };
                format!("a{n}: &a{n} [{items}]\n")
            };
            (0..n).map(line).collect::<String>()
        };
        let long = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(1 << 20),
            "*a,".repeat(1 << 10)
        );
        let keys = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(1 << 20),
            "{*a : 1},".repeat(1 << 10)
        );
        let many = vec![laughs(5); 100].join("---\n");
        for text in [&laughs(20), &long, &keys, &many] {
            let told = problems(text);
            assert!(
                told.iter().any(|it| it.contains("repeat too much")),
                "{told:?}"
            );
        }
        // As far as Go goes, too.
        assert_eq!(problems(&laughs(5)), [""; 0]);
    }

    #[test]
    fn templates_are_skipped_once() {
        let cases = [
            ("a: {{ .Values.a }}\n", true),
            (
                "{{- if .Values.a }}\na: 1\n{{- end }}\n---\n{{ x }}\n",
                true,
            ),
            ("ok: 1\n---\na: {{ .x }}-b\n", true),
            ("a: \"{{ $labels.pod }}\"\n", false),
            ("a: 1 # {{ x }}\n", false),
            ("a: \"{{ $labels.pod }}\"\n---\nb: [\n", false),
        ];
        for (text, skipped) in cases {
            let reading = reading(text);
            assert_eq!(reading.skipped.is_some(), skipped, "{text}");
            if skipped {
                assert_eq!(
                    reading.documents.len() + reading.problems.len(),
                    0,
                    "{text}"
                );
            }
        }
    }

    const SERVICE_ENTRY: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: &m
  name: proxy # the corporate one
  labels: {a: \"b\", c: 'd'}
spec:
  hosts:
  - proxy.example.com
  ports:
  - number: 3128
    name: http-proxy
    protocol: HTTP
  description: |
    text
  location: MESH_EXTERNAL
---
copy: *m
<<: [{x: 1}, {y: 2}]
";

    /// Reads and asks for places; whether nothing panics is all that is asked.
    fn exercise(bytes: Vec<u8>) {
        let source = SourceFile::from_bytes("a.yaml", bytes);
        let size = source.text.as_ref().map_or(0, String::len);
        let reading = read(&source);
        for document in &reading.documents {
            let paths = [
                FieldPath::root(),
                FieldPath::spec().key("ports").index(0).key("protocol"),
                FieldPath::root().index(1).key("a"),
            ];
            for path in &paths {
                let place = document.locate(path);
                assert!(place.byte_range.end <= size, "{path}: {place:?}");
                assert!(place.line >= 1 && place.column >= 1, "{path}: {place:?}");
            }
        }
        for problem in &reading.problems {
            assert!(problem.location.byte_range.end <= size, "{problem:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            exercise(bytes);
        }

        #[test]
        fn yaml_like_text_does_not_panic(text in "[-a:{}\\[\\],&*!|>'\"#%?<~ \t\r\n\u{feff}é0.]{0,120}") {
            exercise(text.into_bytes());
        }

        #[test]
        fn a_changed_service_entry_does_not_panic(
            edits in proptest::collection::vec((0usize..400, 0usize..4, "[-a:{}\\[\\]&*!|>'\"#<\t\n]{0,3}"), 1..6),
        ) {
            let mut text = SERVICE_ENTRY.to_owned();
            for (at, cut, insert) in edits {
                let at = text.floor_char_boundary(at);
                let end = text.ceil_char_boundary(at + cut);
                text.replace_range(at..end, &insert);
            }
            exercise(text.into_bytes());
        }
    }
}
