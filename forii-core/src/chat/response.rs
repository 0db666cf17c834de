//! A whole answer.

use super::{FinishReason, Message, Usage};

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatResponse {
    /// The answers, one for each asked for.
    pub choices: Vec<Choice>,
    /// What the request cost.
    pub usage: Usage,
}

/// One answer of a response.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The assistant's turn, ready to be appended to the history.
    pub message: Message,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl ChatResponse {
    /// The text of the first answer.
    pub fn text(&self) -> &str {
        self.choices
            .first()
            .and_then(|choice| choice.message.content.as_deref())
            .unwrap_or_default()
    }
}
