//! Bounds what aliases make of a document: a few lines of them stand for a value of any size.

use super::position::Span;
use super::problem::Problem;

/// How deep collections may nest: serde_json's own limit, so what is read can be written and
/// read again; and shallow enough for recursion on any thread's stack.
pub(super) const MAX_DEPTH: usize = 128;

/// What the aliases of one file may add to it. Go allows 400,000 nodes a document; here it is
/// for the whole file, as 10,000 small documents would buy 10,000 times the memory.
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

/// Where in a document's nodes one stands, and what is still allowed there.
pub(super) struct Limits<'a> {
    budget: &'a mut AliasBudget,
    depth: usize,
    /// How many aliases are being followed.
    aliases: usize,
    /// The first of them: where to look for what they make of the document.
    outermost: Span,
}

impl<'a> Limits<'a> {
    pub(super) fn new(budget: &'a mut AliasBudget) -> Self {
        Self {
            budget,
            depth: 0,
            aliases: 0,
            outermost: Span::default(),
        }
    }

    /// Whether what is met here was met before, where it is written.
    pub(super) fn in_alias(&self) -> bool {
        self.aliases > 0
    }

    /// The place to show for what is wrong at `span`: the alias that brought it here.
    pub(super) fn place(&self, span: Span) -> Span {
        if self.in_alias() {
            self.outermost
        } else {
            span
        }
    }

    /// Begins a value. The parser's own limit does not see the nesting that aliases add.
    pub(super) fn enter(&mut self, span: Span) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(Problem::new(too_deep(), self.place(span)))
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Begins what the alias at `span` repeats.
    pub(super) fn follow(&mut self, span: Span) {
        if !self.in_alias() {
            self.outermost = span;
        }
        self.aliases += 1;
    }

    pub(super) fn return_from_alias(&mut self) {
        self.aliases -= 1;
    }

    /// Counts a node of `bytes`, if an alias repeats it.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        if !self.in_alias() {
            return Ok(());
        }
        let nodes = self.budget.nodes.checked_sub(1);
        let bytes = self.budget.bytes.checked_sub(bytes);
        let (Some(nodes), Some(bytes)) = (nodes, bytes) else {
            let message = "this file's aliases repeat too much: it would grow out of bounds";
            return Err(Problem::new(message, self.outermost));
        };
        *self.budget = AliasBudget { nodes, bytes };
        Ok(())
    }
}

pub(super) fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH} levels")
}

#[cfg(test)]
mod tests {
    use crate::source::{SourceFile, read};

    fn problems(text: &str) -> Vec<String> {
        let reading = read(&SourceFile::from_text("a.yaml", text));
        let told = reading.problems.into_iter().map(|problem| {
            let at = problem.location;
            format!("{}:{} {}", at.line, at.column, problem.message)
        });
        told.collect()
    }

    /// Each line nine of the line before.
    fn laughs(lines: usize) -> String {
        let line = |n: usize| {
            let alias = format!("*a{},", n.wrapping_sub(1));
            let items = if n == 0 { "x," } else { &alias };
            format!("a{n}: &a{n} [{}]\n", items.repeat(9))
        };
        (0..lines).map(line).collect()
    }

    #[test]
    fn alias_bombs_are_refused() {
        let long = "x".repeat(1 << 20);
        let values = format!("a: &a {long}\nb: [{}]\n", "*a,".repeat(1 << 10));
        let keys = format!("a: &a {long}\nb: [{}]\n", "{*a : 1},".repeat(1 << 10));
        let many = vec![laughs(5); 100].join("---\n");
        for text in [&laughs(20), &values, &keys, &many] {
            let told = problems(text);
            let refused = told.iter().any(|it| it.contains("repeat too much"));
            assert!(refused, "{told:?}");
        }
        assert_eq!(problems(&laughs(5)), [""; 0], "Go takes this one, too");
    }

    #[test]
    fn nesting_is_bounded_with_and_without_aliases() {
        let chain: String = (2..400)
            .map(|n| format!("a{n}: &a{n} {{x: *a{}}}\n", n - 1))
            .collect();
        let chain = format!("a1: &a1 {{x: 1}}\n{chain}");
        let cases = [
            ("[".repeat(10_000), "1:129"),
            ("- ".repeat(10_000), "1:257"),
            ("{a: ".repeat(10_000), "1:513"),
            (format!("a: {}", "[".repeat(127)) + &"]".repeat(127), ""),
            (
                format!("a: {}", "[".repeat(128)) + &"]".repeat(128),
                "1:131",
            ),
            (chain.replace("x: *", "<<: *"), "127:18"),
            (chain, "127:17"),
        ];
        for (text, place) in cases {
            let expected: Vec<String> = match place {
                "" => Vec::new(),
                place => vec![format!("{place} nested deeper than 128 levels")],
            };
            assert_eq!(problems(&text), expected, "{}", &text[..40]);
        }
    }
}
