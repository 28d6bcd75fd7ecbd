//! Places in a text: kept small inside the span index, spelled out for the reader.

use std::ops::Range;

/// A place in a source's text, as people and editors count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes meant, in the text without its byte-order mark. Empty for a point.
    pub byte_range: Range<usize>,
}

impl Location {
    /// The first character of a text: the place of what concerns the whole of it.
    pub fn start() -> Self {
        Self {
            line: 1,
            column: 1,
            byte_range: 0..0,
        }
    }
}

/// A [`Location`] as the index holds it. A file has as many as it has fields, and no file is
/// longer than 64 MiB, so 32 bits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.end <= self.start
    }

    pub(super) fn location(self) -> Location {
        Location {
            line: self.line as usize,
            column: self.column as usize,
            byte_range: self.start as usize..self.end.max(self.start) as usize,
        }
    }
}

/// Turns byte offsets into lines and columns while moving forward through a text.
///
/// The parser has positions of its own, but relative to one document, and counting a lone
/// carriage return as a line; editors and the drawn snippet do not.
pub(super) struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
    line_start: usize,
    column: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            line: 1,
            line_start: 0,
            column: 1,
        }
    }

    /// The span of `start..end`. Cheap when `start` is not before the last one asked for.
    pub(super) fn span(&mut self, start: usize, end: usize) -> Span {
        self.go_to(start);
        Span {
            start: narrow(self.offset),
            end: narrow(end.clamp(self.offset, self.text.len())),
            line: narrow(self.line),
            column: narrow(self.column),
        }
    }

    fn go_to(&mut self, offset: usize) {
        let offset = self.text.floor_char_boundary(offset);
        if offset < self.offset {
            self.go_back(offset);
            return;
        }
        let passed = &self.text.as_bytes()[self.offset..offset];
        match passed.iter().rposition(|byte| *byte == b'\n') {
            None => self.column += characters(passed),
            Some(last) => {
                self.line += line_feeds(passed);
                self.line_start = self.offset + last + 1;
                self.column = 1 + characters(&passed[last + 1..]);
            }
        }
        self.offset = offset;
    }

    fn go_back(&mut self, offset: usize) {
        let bytes = self.text.as_bytes();
        self.line -= line_feeds(&bytes[offset..self.offset]);
        if offset < self.line_start {
            self.line_start = self.text[..offset].rfind('\n').map_or(0, |at| at + 1);
        }
        self.column = 1 + characters(&bytes[self.line_start..offset]);
        self.offset = offset;
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn line_feeds(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Characters in UTF-8 bytes: every byte but the continuations begins one.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use proptest::prelude::*;

    /// Line and column by definition, from the beginning of the text.
    fn counted(text: &str, offset: usize) -> (u32, u32) {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line as u32, column as u32)
    }

    proptest! {
        #[test]
        fn agrees_with_counting_from_the_beginning(
            text in "[a\né\r\t]{0,40}",
            offsets in proptest::collection::vec(0usize..60, 0..12),
        ) {
            let mut cursor = Cursor::new(&text);
            for offset in offsets {
                let span = cursor.span(offset, offset);
                prop_assert_eq!((span.line, span.column), counted(&text, offset));
            }
        }
    }
}
