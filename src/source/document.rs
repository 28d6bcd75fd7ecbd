//! From one source to its documents: what can be read is given, what cannot is told.

use serde_json::Value;

use super::compose::compose;
use super::file::SourceFile;
use super::limits::AliasBudget;
use super::list::flatten;
use super::position::Cursor;
use super::problem::Problem;
use super::resolve::resolve;
use super::split::{Chunk, split};
use super::spot::Spot;

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
