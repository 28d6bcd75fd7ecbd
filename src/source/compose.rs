//! Builds the nodes of one document from the parser's events, aliases still unfollowed.
//!
//! Following them is [`super::resolve`]'s work: only there is it known what they cost.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};

use super::limits::MAX_DEPTH;
use super::position::{Cursor, Span};
use super::problem::Problem;
use super::scalar::Scalar;
use super::split::Chunk;
use super::syntax::explain;

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

impl Content<'_> {
    pub(super) fn scalar(&self) -> Option<Scalar<'_>> {
        let Content::Scalar { text, plain, tag } = self else {
            return None;
        };
        Some(Scalar {
            text,
            plain: *plain,
            tag: tag.as_deref(),
        })
    }
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
            Err(error) => {
                let fault = explain(&error, chunk.text);
                let span = composer.span(fault.range.start, fault.range.end);
                return Err(Problem::new(fault.message, span));
            }
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
        if let Some(scalar) = self.colon_at_the_end(&frame) {
            self.nodes[frame.node as usize] = scalar;
            return;
        }
        let node = &mut self.nodes[frame.node as usize];
        // The parser ends a block collection where the next thing begins, blank lines and
        // comments later.
        node.span.end = match frame.flow {
            true => (self.chunk.start + end) as u32,
            false => node.span.start.max(last_end),
        };
        node.content = content(frame.children);
    }

    /// Go takes the item of `[2001:db8::]` for a text, this parser for the field `2001:db8:`
    /// without a value.
    fn colon_at_the_end(&self, frame: &Frame) -> Option<Node<'t>> {
        let [key, value] = frame.children.as_slice() else {
            return None;
        };
        let [key, value] = [key, value].map(|child| &self.nodes[*child as usize]);
        let Content::Scalar {
            text,
            plain: true,
            tag: None,
        } = &key.content
        else {
            return None;
        };
        let end = key.span.end as usize - self.chunk.start;
        let behind = self.chunk.text.get(end..)?.as_bytes();
        let in_braces = self.nodes[frame.node as usize].span.start != key.span.start;
        if in_braces
            || !frame.flow
            || !value.span.is_empty()
            || !matches!(behind, [b':', b',' | b']', ..])
        {
            return None;
        }
        let content = Content::Scalar {
            text: format!("{text}:").into(),
            plain: true,
            tag: None,
        };
        let span = Span {
            end: key.span.end + 1,
            ..key.span
        };
        Some(Node { span, content })
    }

    fn alias(&mut self, anchor: usize, start: usize, end: usize) -> Result<(), Problem> {
        let Some(target) = self.anchors.get(&anchor).copied() else {
            self.unresolved_alias("", start, end);
            return Ok(());
        };
        if let Content::Open = self.nodes[target as usize].content {
            let message = "this alias stands inside the value it repeats";
            return Err(Problem::new(message, self.span(start, end)));
        }
        self.push(Content::Alias(target), start, end, 0);
        Ok(())
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

    fn span(&mut self, start: usize, end: usize) -> Span {
        self.cursor
            .span(self.chunk.start + start, self.chunk.start + end)
    }
}

/// What stands behind `!!`, or nothing for a tag of another family.
fn tag_name(tag: &Tag) -> Box<str> {
    tag.core_suffix().unwrap_or_default().into()
}
