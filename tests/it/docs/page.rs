//! A page as its reader sees it: sections, and YAML blocks with the words on their fences.

use crate::support::text_of;

/// A page of `docs/checks`.
pub(super) struct Page {
    /// In the repository.
    pub(super) path: String,
    pub(super) text: String,
    /// The YAML ones.
    pub(super) blocks: Vec<Block>,
}

/// A fenced block of YAML.
pub(super) struct Block {
    /// `file:line` of its fence.
    pub(super) place: String,
    /// The heading it stands under.
    pub(super) section: String,
    /// What follows `yaml` on the fence.
    pub(super) words: Vec<String>,
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(path: &str) -> Self {
        let text = text_of(path);
        let blocks = blocks(path, &text);
        Self {
            path: path.to_owned(),
            text,
            blocks,
        }
    }

    /// Its headings of the second level.
    pub(super) fn sections(&self) -> Vec<&str> {
        let lines = self.text.lines();
        lines.filter_map(|line| line.strip_prefix("## ")).collect()
    }

    pub(super) fn blocks_of(&self, section: &str) -> impl Iterator<Item = &Block> {
        let blocks = self.blocks.iter();
        blocks.filter(move |block| block.section == section)
    }
}

fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = "";
    // Inside a fence: whether it is YAML's.
    let mut inside: Option<bool> = None;
    for (index, line) in text.lines().enumerate() {
        match (inside, line.strip_prefix("```")) {
            (Some(_), Some(_)) => inside = None,
            (Some(true), None) => {
                let block = blocks.last_mut().expect("its fence was seen");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(fence)) => {
                let mut words = fence.split_whitespace().map(str::to_owned);
                let is_yaml = words.next().as_deref() == Some("yaml");
                inside = Some(is_yaml);
                if is_yaml {
                    blocks.push(Block {
                        place: format!("{path}:{}", index + 1),
                        section: section.to_owned(),
                        words: words.collect(),
                        text: String::new(),
                    });
                }
            }
            (None, None) => section = line.strip_prefix("## ").unwrap_or(section),
            (Some(false), None) => {}
        }
    }
    assert!(inside.is_none(), "{path}: a fence is left open");
    blocks
}
