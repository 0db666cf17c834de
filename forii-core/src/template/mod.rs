//! Chat templates: compile a model's Jinja source once, render conversations to prompts.

use std::ops::Range;

/// A rendered prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Byte ranges of `text`, ascending and disjoint, that look like special tokens but came from a
    /// user's text: the tokenizer must not parse them as special.
    pub literal: Vec<Range<usize>>,
}
