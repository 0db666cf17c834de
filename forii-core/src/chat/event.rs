//! What a stream yields.

use super::Usage;

/// One event of a chat stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// The prompt has been read and the first token is on its way.
    Started {
        /// Tokens of the rendered prompt.
        prompt_tokens: usize,
        /// Of these, found in the cache.
        cached_tokens: usize,
    },
    /// A piece of the answer.
    Delta {
        /// The piece.
        delta: Delta,
    },
    /// The answer is complete. The last event.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

/// A piece of an answer. Text never splits a character.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delta {
    /// A piece of the answer's text.
    Text(String),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// The token limit or the end of the context was reached.
    Length,
}
