//! Makes a JSON value of a document's nodes, and beside it the index of where each field stands.
//!
//! Merge keys work as in `go.yaml.in/yaml/v2`: `<<` sets fields at the place where it stands,
//! so it also overwrites what is written above it.

use serde_json::{Map, Value};

use super::compose::{Content, MAX_DEPTH, Node, Tree};
use super::document::Problem;
use super::position::Span;
use super::scalar::{Scalar, resolve as resolve_scalar};

/// Where a value stands, and the values in it.
#[derive(Debug, Default)]
pub(super) struct Spot {
    pub(super) span: Span,
    pub(super) inside: Inside,
}

#[derive(Debug, Default)]
pub(super) enum Inside {
    #[default]
    Nothing,
    Sequence(Vec<Spot>),
    /// Sorted by key, each key once.
    Mapping(Vec<Field>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: Box<str>,
    pub(super) key_span: Span,
    pub(super) value: Spot,
    /// Set by a merge key, hence no duplicate of one that is written out.
    merged: bool,
}

/// What the aliases of one file may add to it. Go allows 400,000 nodes a document; for the whole
/// file, because 10,000 small documents would otherwise buy as many times the memory.
pub(super) struct AliasBudget {
    nodes: usize,
    bytes: usize,
}

impl Default for AliasBudget {
    fn default() -> Self {
        Self {
            nodes: 400_000,
            bytes: 16 << 20,
        }
    }
}

/// The value of `tree`. An error is a document that `kubectl` refuses and that has no value
/// here either; what it refuses but can be read all the same goes to `problems`.
pub(super) fn resolve(
    tree: &Tree<'_>,
    budget: &mut AliasBudget,
    problems: &mut Vec<Problem>,
) -> Result<(Value, Spot), Problem> {
    let mut resolver = Resolver {
        tree,
        budget,
        problems,
        aliases: 0,
        outermost: Span::default(),
        depth: 0,
    };
    resolver.value(tree.root)
}

struct Resolver<'a, 't> {
    tree: &'a Tree<'t>,
    budget: &'a mut AliasBudget,
    problems: &'a mut Vec<Problem>,
    /// How many aliases are being followed. Within one, problems are old news.
    aliases: usize,
    /// The first of them: where to look for what they make of the document.
    outermost: Span,
    depth: usize,
}

/// A mapping being filled.
#[derive(Default)]
struct Fields {
    values: Map<String, Value>,
    /// In the order of the text, duplicates included.
    spots: Vec<Field>,
}

impl<'a> Resolver<'a, '_> {
    fn value(&mut self, index: u32) -> Result<(Value, Spot), Problem> {
        let node = &self.tree.nodes[index as usize];
        self.spend(index)?;
        if let Content::Alias(target) = &node.content {
            self.enter_alias(node.span);
            let (value, spot) = self.value(*target)?;
            self.aliases -= 1;
            let span = node.span;
            return Ok((value, Spot { span, ..spot }));
        }
        self.enter(node.span)?;
        let (value, inside) = match &node.content {
            Content::Sequence(children) => self.sequence(children)?,
            Content::Mapping(children) => {
                let mut fields = Fields::default();
                self.mapping(children, false, &mut fields)?;
                self.finish(fields)
            }
            _ => (self.scalar(index), Inside::Nothing),
        };
        self.depth -= 1;
        let span = node.span;
        Ok((value, Spot { span, inside }))
    }

    /// Nesting that aliases add escapes the parser's own limit.
    fn enter(&mut self, span: Span) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        let aliased = self.aliases > 0;
        Err(Problem::new(
            message,
            if aliased { self.outermost } else { span },
        ))
    }

    fn enter_alias(&mut self, span: Span) {
        if self.aliases == 0 {
            self.outermost = span;
        }
        self.aliases += 1;
    }

    /// Counts a node that an alias repeats.
    fn spend(&mut self, index: u32) -> Result<(), Problem> {
        if self.aliases == 0 {
            return Ok(());
        }
        let bytes = match &self.tree.nodes[index as usize].content {
            Content::Scalar { text, .. } => text.len(),
            _ => 0,
        };
        let nodes = self.budget.nodes.checked_sub(1);
        let bytes = self.budget.bytes.checked_sub(bytes);
        let (Some(nodes), Some(bytes)) = (nodes, bytes) else {
            let message = "this file's aliases repeat too much: it would grow out of bounds";
            return Err(Problem::new(message, self.outermost));
        };
        *self.budget = AliasBudget { nodes, bytes };
        Ok(())
    }

    fn scalar(&mut self, index: u32) -> Value {
        let Some((scalar, span)) = self.scalar_at(index) else {
            return Value::Null;
        };
        let value = resolve_scalar(&scalar).and_then(|meaning| meaning.value());
        value.unwrap_or_else(|message| {
            self.report(message, span);
            Value::String(scalar.text.to_owned())
        })
    }

    /// The scalar at `index`, or the one that the alias there repeats.
    fn scalar_at(&self, index: u32) -> Option<(Scalar<'a>, Span)> {
        let tree: &'a Tree<'_> = self.tree;
        let node = &tree.nodes[index as usize];
        match &node.content {
            Content::Alias(target) => self.scalar_at(*target),
            Content::Scalar { text, plain, tag } => {
                let scalar = Scalar {
                    text,
                    plain: *plain,
                    tag: tag.as_deref(),
                };
                Some((scalar, node.span))
            }
            _ => None,
        }
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
            let key_span = self.tree.nodes[key as usize].span;
            let (value, spot) = self.value(value)?;
            let Some(key) = self.key(key)? else {
                continue;
            };
            fields.spots.push(Field {
                key: key.as_str().into(),
                key_span,
                value: spot,
                merged,
            });
            fields.values.insert(key, value);
        }
        Ok(())
    }

    /// The field's name; none when there is a problem that concerns this field alone.
    fn key(&mut self, index: u32) -> Result<Option<String>, Problem> {
        let Node { span, content } = &self.tree.nodes[index as usize];
        let span = *span;
        match content {
            Content::Alias(target) => {
                self.enter_alias(span);
                self.spend(*target)?;
                self.aliases -= 1;
            }
            _ => self.spend(index)?,
        }
        let Some((scalar, _)) = self.scalar_at(index) else {
            let message = "a key must be a string, and this one is a collection";
            return Err(Problem::new(message, span));
        };
        match resolve_scalar(&scalar).and_then(|meaning| meaning.key()) {
            Ok(key) => Ok(Some(key)),
            Err(message) => {
                self.report(message, span);
                Ok(None)
            }
        }
    }

    fn is_merge_key(&self, index: u32) -> bool {
        match &self.tree.nodes[index as usize].content {
            Content::Scalar { text, plain, tag } => {
                text == "<<" && (*plain && tag.is_none() || tag.as_deref() == Some("merge"))
            }
            _ => false,
        }
    }

    /// Sets the fields of the mapping at `index`, or of each in the list there: the first of
    /// them wins.
    fn merge(&mut self, index: u32, fields: &mut Fields) -> Result<(), Problem> {
        let tree: &'a Tree<'_> = self.tree;
        match &tree.nodes[index as usize].content {
            Content::Sequence(children) => {
                for child in children.iter().rev() {
                    self.merge_one(*child, fields)?;
                }
                Ok(())
            }
            _ => self.merge_one(index, fields),
        }
    }

    fn merge_one(&mut self, index: u32, fields: &mut Fields) -> Result<(), Problem> {
        let tree: &'a Tree<'_> = self.tree;
        let node = &tree.nodes[index as usize];
        let target = match &node.content {
            Content::Alias(target) => *target,
            _ => index,
        };
        let Content::Mapping(children) = &tree.nodes[target as usize].content else {
            let message = "`<<` takes a mapping or a list of mappings";
            return Err(Problem::new(message, node.span));
        };
        let outside = self.aliases;
        if target != index {
            self.enter_alias(node.span);
        }
        self.spend(target)?;
        self.enter(node.span)?;
        self.mapping(children, true, fields)?;
        self.depth -= 1;
        self.aliases = outside;
        Ok(())
    }

    /// Sorts the fields for lookup. Of duplicates the last counts, as in the value.
    fn finish(&mut self, fields: Fields) -> (Value, Inside) {
        let mut spots = fields.spots;
        spots.sort_by(|one, other| one.key.cmp(&other.key));
        self.report_duplicates(&spots);
        spots.reverse();
        spots.dedup_by(|later, kept| later.key == kept.key);
        spots.reverse();
        spots.shrink_to_fit();
        (Value::Object(fields.values), Inside::Mapping(spots))
    }

    fn report_duplicates(&mut self, sorted: &[Field]) {
        let mut previous: Option<&Field> = None;
        for field in sorted.iter().filter(|field| !field.merged) {
            if let Some(first) = previous.filter(|previous| previous.key == field.key) {
                let (line, key) = (first.key_span.line, &field.key);
                let again = field.key_span.line;
                let message = format!("`{key}` on line {again} is set on line {line} already");
                self.report(message, field.key_span);
            }
            previous = Some(field);
        }
    }

    fn report(&mut self, message: String, span: Span) {
        if self.aliases == 0 {
            self.problems.push(Problem::new(message, span));
        }
    }
}

impl Field {
    /// Of the fields written in one mapping, the first.
    pub(super) fn first(fields: &[Self]) -> Option<&Self> {
        fields.iter().min_by_key(|field| field.key_span.start)
    }
}
