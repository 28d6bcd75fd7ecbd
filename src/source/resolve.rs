//! Makes a JSON value of a document's nodes, and beside it the index of where each field stands.
//!
//! Merge keys work as in `go.yaml.in/yaml/v2`: `<<` sets fields at the place where it stands,
//! so it also overwrites what is written above it.

use serde_json::Value;

use super::compose::{Content, Node, Tree};
use super::limits::{AliasBudget, Limits};
use super::position::Span;
use super::problem::Problem;
use super::scalar::{Scalar, resolve as resolve_scalar};
use super::spot::{Field, Fields, Inside, Spot};

/// The value of `tree`. An error is a document that `kubectl` refuses and that has no value
/// here either; what it refuses but can be read all the same goes to `problems`.
pub(super) fn resolve(
    tree: &Tree<'_>,
    budget: &mut AliasBudget,
    problems: &mut Vec<Problem>,
) -> Result<(Value, Spot), Problem> {
    let mut resolver = Resolver {
        tree,
        limits: Limits::new(budget),
        problems,
    };
    resolver.value(tree.root)
}

struct Resolver<'a, 't> {
    tree: &'a Tree<'t>,
    limits: Limits<'a>,
    problems: &'a mut Vec<Problem>,
}

impl<'a, 't> Resolver<'a, 't> {
    fn value(&mut self, index: u32) -> Result<(Value, Spot), Problem> {
        let Node { span, content } = self.node(index);
        let span = *span;
        self.spend(content)?;
        if let Content::Alias(target) = content {
            self.limits.follow(span);
            let (value, spot) = self.value(*target)?;
            self.limits.return_from_alias();
            return Ok((value, Spot { span, ..spot }));
        }
        self.limits.enter(span)?;
        let (value, inside) = match content {
            Content::Sequence(children) => self.sequence(children)?,
            Content::Mapping(children) => {
                let mut fields = Fields::default();
                self.mapping(children, false, &mut fields)?;
                fields.finish(|message, span| self.report(message, span))
            }
            _ => (self.scalar(content, span), Inside::Nothing),
        };
        self.limits.leave();
        Ok((value, Spot { span, inside }))
    }

    fn scalar(&mut self, content: &Content<'_>, span: Span) -> Value {
        let Some(scalar) = content.scalar() else {
            return Value::Null;
        };
        let value = resolve_scalar(&scalar).and_then(|meaning| meaning.value());
        value.unwrap_or_else(|message| {
            self.report(message, span);
            Value::String(scalar.text.to_owned())
        })
    }

    fn sequence(&mut self, children: &[u32]) -> Result<(Value, Inside), Problem> {
        let mut values = Vec::with_capacity(children.len());
        let mut spots = Vec::with_capacity(children.len());
        for child in children {
            let (value, spot) = self.value(*child)?;
            values.push(value);
            spots.push(spot);
        }
        Ok((Value::Array(values), Inside::Sequence(spots)))
    }

    fn mapping(
        &mut self,
        children: &[u32],
        merged: bool,
        fields: &mut Fields,
    ) -> Result<(), Problem> {
        for pair in children.chunks_exact(2) {
            let (key, value) = (pair[0], pair[1]);
            if self.is_merge_key(key) {
                self.merge(value, fields)?;
                continue;
            }
            let key_span = self.node(key).span;
            let (value, spot) = self.value(value)?;
            let Some(key) = self.key(key)? else {
                continue;
            };
            let place = Field {
                key: key.as_str().into(),
                key_span,
                value: spot,
                merged,
            };
            fields.set(key, value, place);
        }
        Ok(())
    }

    /// The field's name; none when there is a problem that concerns this field alone.
    fn key(&mut self, index: u32) -> Result<Option<String>, Problem> {
        let Node { span, content } = self.node(index);
        let content = match content {
            Content::Alias(target) => {
                let repeated = &self.node(*target).content;
                self.limits.follow(*span);
                self.spend(repeated)?;
                self.limits.return_from_alias();
                repeated
            }
            content => {
                self.spend(content)?;
                content
            }
        };
        let Some(scalar) = content.scalar() else {
            let message = "a key must be a string, and this one is a collection";
            return Err(Problem::new(message, *span));
        };
        match resolve_scalar(&scalar).and_then(|meaning| meaning.key()) {
            Ok(key) => Ok(Some(key)),
            Err(message) => {
                self.report(message, *span);
                Ok(None)
            }
        }
    }

    fn is_merge_key(&self, index: u32) -> bool {
        match self.node(index).content.scalar() {
            Some(Scalar { text, plain, tag }) => {
                text == "<<" && (plain && tag.is_none() || tag == Some("merge"))
            }
            None => false,
        }
    }

    /// Sets the fields of the mapping at `index`, or of each in the list there: the first of
    /// them wins.
    fn merge(&mut self, index: u32, fields: &mut Fields) -> Result<(), Problem> {
        let Content::Sequence(children) = &self.node(index).content else {
            return self.merge_one(index, fields);
        };
        for child in children.iter().rev() {
            self.merge_one(*child, fields)?;
        }
        Ok(())
    }

    fn merge_one(&mut self, index: u32, fields: &mut Fields) -> Result<(), Problem> {
        let Node { span, content } = self.node(index);
        if let Content::Alias(target) = content {
            self.limits.follow(*span);
            self.merge_one(*target, fields)?;
            self.limits.return_from_alias();
            return Ok(());
        }
        let Content::Mapping(children) = content else {
            let message = "`<<` takes a mapping or a list of mappings";
            return Err(Problem::new(message, self.limits.place(*span)));
        };
        self.spend(content)?;
        self.limits.enter(*span)?;
        self.mapping(children, true, fields)?;
        self.limits.leave();
        Ok(())
    }

    fn node(&self, index: u32) -> &'a Node<'t> {
        &self.tree.nodes[index as usize]
    }

    fn spend(&mut self, content: &Content<'_>) -> Result<(), Problem> {
        self.limits.spend(match content {
            Content::Scalar { text, .. } => text.len(),
            _ => 0,
        })
    }

    /// What an alias repeats was told where it is written.
    fn report(&mut self, message: String, span: Span) {
        if !self.limits.in_alias() {
            self.problems.push(Problem::new(message, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::source::{Reading, SourceFile, read};
    use serde_json::{Value, json};

    fn reading(text: &str) -> Reading {
        read(&SourceFile::from_text("a.yaml", text))
    }

    fn values(reading: &Reading) -> Vec<&Value> {
        reading.documents.iter().map(|it| &it.value).collect()
    }

    #[test]
    fn problems_of_one_field_leave_the_document() {
        let cases = [
            (
                "a: 1\nb: 2\n\na: 3\n",
                "4:1 `a` on line 4 is set on line 1 already",
                json!({"a": 3, "b": 2}),
            ),
            (
                "h: *.example.com\n",
                "1:4 no anchor `&.example.com` precedes `*.example.com`; a text needs quotes: \"*.example.com\"",
                json!({"h": "*.example.com"}),
            ),
            (
                "a: .inf\n",
                "1:4 `.inf` has no form in JSON",
                json!({"a": ".inf"}),
            ),
            (
                "a: !!int x\n",
                "1:10 `x` is tagged `!!int` but is none",
                json!({"a": "x"}),
            ),
            (
                "ä: {~: 1, b: 2}\n",
                "1:5 a key must be a string, and this one is null",
                json!({"ä": {"b": 2}}),
            ),
        ];
        for (text, problem, value) in cases {
            let reading = reading(text);
            assert_eq!(told(&reading), [problem], "{text}");
            assert_eq!(values(&reading), [&value], "{text}");
        }
        assert_eq!(reading("a: 1\na: 2\na: 3\n").problems.len(), 2);
        assert_eq!(reading("a: &a {b: 1, b: 2}\nc: *a\n").problems.len(), 1);
    }

    #[test]
    fn problems_of_the_whole_leave_nothing() {
        let cases = [
            (
                "[a]: 1\n",
                "1:1 a key must be a string, and this one is a collection",
            ),
            ("<<: 1\n", "1:5 `<<` takes a mapping or a list of mappings"),
            (
                "a: &a 1\nb: {<<: [*a]}\n",
                "2:10 `<<` takes a mapping or a list of mappings",
            ),
        ];
        for (text, problem) in cases {
            let reading = reading(text);
            assert_eq!(told(&reading), [problem], "{text}");
            assert!(reading.documents.is_empty(), "{text}");
        }
    }

    fn told(reading: &Reading) -> Vec<String> {
        let told = reading.problems.iter().map(|problem| {
            let at = &problem.location;
            format!("{}:{} {}", at.line, at.column, problem.message)
        });
        told.collect()
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
            let reading = reading(&format!("{base}{text}\n"));
            assert_eq!(told(&reading), [""; 0], "{text}");
            assert_eq!(values(&reading)[0]["m"], expected, "{text}");
        }
    }
}
