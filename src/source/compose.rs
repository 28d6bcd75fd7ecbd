//! Builds the nodes of one document from the parser's events, aliases still unfollowed.
//!
//! Following them is [`super::resolve`]'s work: only there is it known what they cost.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};

use super::document::Problem;
use super::position::{Cursor, Span};
use super::split::Chunk;

/// How deep collections may nest: serde_json's own limit, so what is read can be written and
/// read again; and shallow enough for recursion on any thread's stack.
pub(super) const MAX_DEPTH: usize = 128;

/// The nodes of one document, each named by its index.
pub(super) struct Tree<'t> {
    pub(super) nodes: Vec<Node<'t>>,
    pub(super) root: u32,
}

pub(super) struct Node<'t> {
    pub(super) span: Span,
    pub(super) content: Content<'t>,
}

pub(super) enum Content<'t> {
    Scalar {
        text: Cow<'t, str>,
        plain: bool,
        tag: Option<Box<str>>,
    },
    Sequence(Vec<u32>),
    /// Keys and values in turn.
    Mapping(Vec<u32>),
    /// Stands for a node before it.
    Alias(u32),
    /// A collection whose end has not come yet.
    Open,
}

/// Parses `chunk`. No tree stands for a document without content; a second one can only follow a
/// lone carriage return, which [`super::split`] does not take for a line's end.
pub(super) fn compose<'t>(
    chunk: Chunk<'t>,
    cursor: &mut Cursor<'t>,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Tree<'t>>, Problem> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut trees = Vec::new();
    let mut composer = Composer::new(chunk, cursor, problems);
    for event in Parser::new_from_str_with_options(chunk.text, options) {
        match event {
            Err(error) => return Err(composer.explain(&error)),
            Ok((Event::DocumentEnd, _)) => trees.extend(composer.finish()),
            Ok((event, span)) => {
                let bytes = span.byte_range().unwrap_or_default();
                composer.take(event, bytes.start, bytes.end)?;
            }
        }
    }
    Ok(trees)
}

struct Composer<'a, 't> {
    chunk: Chunk<'t>,
    cursor: &'a mut Cursor<'t>,
    problems: &'a mut Vec<Problem>,
    nodes: Vec<Node<'t>>,
    open: Vec<Frame>,
    anchors: HashMap<usize, u32>,
    root: Option<u32>,
}

/// A collection being filled.
struct Frame {
    node: u32,
    children: Vec<u32>,
    flow: bool,
}

impl<'a, 't> Composer<'a, 't> {
    fn new(chunk: Chunk<'t>, cursor: &'a mut Cursor<'t>, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            chunk,
            cursor,
            problems,
            nodes: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
        }
    }

    fn take(&mut self, event: Event<'t>, start: usize, end: usize) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (text, end) = self.scalar(text, style, start, end);
                let content = Content::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain,
                    tag: tag.as_deref().map(tag_name),
                };
                self.push(content, start, end, anchor);
            }
            Event::SequenceStart(style, anchor, _) | Event::MappingStart(style, anchor, _) => {
                let node = self.push(Content::Open, start, end, anchor);
                self.open.push(Frame {
                    node,
                    children: Vec::new(),
                    flow: style == StructureStyle::Flow,
                });
            }
            Event::SequenceEnd => self.close(end, Content::Sequence),
            Event::MappingEnd => self.close(end, Content::Mapping),
            Event::Alias(anchor) => self.alias(anchor, start, end)?,
            Event::UnresolvedAlias(name) => self.unresolved_alias(&name, start, end),
            _ => {}
        }
        Ok(())
    }

    /// The end of a block scalar is put behind its last character; the parser puts it behind all
    /// blank lines that follow.
    fn scalar(
        &self,
        mut text: Cow<'t, str>,
        style: ScalarStyle,
        start: usize,
        end: usize,
    ) -> (Cow<'t, str>, usize) {
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let source = self.chunk.text.get(start..end).unwrap_or_default();
        if !block {
            return (text, end);
        }
        // Go adds no line feed that the end of the file does not have; this parser does.
        if end == self.chunk.text.len() && !source.ends_with('\n') && text.ends_with('\n') {
            text.to_mut().pop();
        }
        (text, start + source.trim_end().len())
    }

    fn push(&mut self, content: Content<'t>, start: usize, end: usize, anchor: usize) -> u32 {
        let span = self.span(start, end);
        // A text of 64 MiB has fewer nodes than 32 bits count.
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { span, content });
        // 0 is how the parser says that there is no anchor.
        if anchor != 0 {
            self.anchors.insert(anchor, index);
        }
        match self.open.last_mut() {
            Some(frame) => frame.children.push(index),
            None => self.root = Some(index),
        }
        index
    }

    fn close(&mut self, end: usize, content: impl FnOnce(Vec<u32>) -> Content<'t>) {
        let Some(frame) = self.open.pop() else {
            return;
        };
        let last = frame.children.last();
        let last_end = last.map_or(0, |child| self.nodes[*child as usize].span.end);
        let node = &mut self.nodes[frame.node as usize];
        // The parser ends a block collection where the next thing begins, blank lines and
        // comments later.
        node.span.end = match frame.flow {
            true => (self.chunk.start + end) as u32,
            false => node.span.start.max(last_end),
        };
        node.content = content(frame.children);
    }

    fn alias(&mut self, anchor: usize, start: usize, end: usize) -> Result<(), Problem> {
        let target = self.anchors.get(&anchor).copied();
        match target.map(|target| &self.nodes[target as usize].content) {
            Some(Content::Open) => Err(Problem::new(
                "this alias stands inside the value it repeats",
                self.span(start, end),
            )),
            Some(_) => {
                self.push(Content::Alias(target.unwrap_or_default()), start, end, 0);
                Ok(())
            }
            None => {
                self.unresolved_alias("", start, end);
                Ok(())
            }
        }
    }

    /// Mostly a wildcard host without quotes: its text is taken for the value, so that the rest
    /// of the document can be judged.
    fn unresolved_alias(&mut self, name: &str, start: usize, end: usize) {
        let text = format!("*{name}");
        let message =
            format!("no anchor `&{name}` precedes `{text}`; a text needs quotes: \"{text}\"");
        let span = self.span(start, end);
        self.problems.push(Problem::new(message, span));
        let content = Content::Scalar {
            text: text.into(),
            plain: false,
            tag: None,
        };
        self.push(content, start, end, 0);
    }

    fn finish(&mut self) -> Option<Tree<'t>> {
        self.open.clear();
        self.anchors.clear();
        let nodes = std::mem::take(&mut self.nodes);
        let root = self.root.take()?;
        Some(Tree { nodes, root })
    }

    fn explain(&mut self, error: &ScanError) -> Problem {
        use granit_parser::ErrorKind as Kind;
        let at = error.marker().byte_offset().unwrap_or_default();
        let (message, at) = match error.kind() {
            Kind::RecursionLimitExceeded => (format!("nested deeper than {MAX_DEPTH} levels"), at),
            Kind::TabNotAllowed
            | Kind::TabInBlockIndentation
            | Kind::TabInIndentation
            | Kind::TabInPlainScalar
            | Kind::TabAtBlockScalarStart => (
                "a tab in the indentation; YAML is indented with spaces".to_owned(),
                indenting_tab(self.chunk.text, at).unwrap_or(at),
            ),
            Kind::InvalidQuotedScalarIndent => {
                (format!("{}, or a quote left open above", error.info()), at)
            }
            _ => (error.info(), at),
        };
        let rest = self.chunk.text.get(at..).unwrap_or_default();
        let length = rest
            .chars()
            .next()
            .filter(|char| !char.is_control())
            .map_or(0, char::len_utf8);
        Problem::new(message, self.span(at, at + length))
    }

    fn span(&mut self, start: usize, end: usize) -> Span {
        self.cursor
            .span(self.chunk.start + start, self.chunk.start + end)
    }
}

/// The first tab before a line's text, at or behind the line of `at`: the parser stops before
/// one that continues a value, and behind one that begins a line.
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

/// What stands behind `!!`, or nothing for a tag of another family.
fn tag_name(tag: &Tag) -> Box<str> {
    tag.core_suffix().unwrap_or_default().into()
}
