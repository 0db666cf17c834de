//! What a request cost.

/// Token counts of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, the end token included.
    pub completion_tokens: usize,
    /// Prompt tokens whose keys and values were in the cache already.
    pub cached_tokens: usize,
}

impl Usage {
    /// Prompt and completion together.
    pub fn total_tokens(&self) -> usize {
        self.prompt_tokens + self.completion_tokens
    }
}
