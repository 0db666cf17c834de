//! What a caller asks for.

use forii_sampling::SamplingParams;

use super::{Message, Tool};

/// A chat request. Start from [`ChatRequest::new`] and set what differs from the defaults.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Tools that the chat template shows to the model.
    pub tools: Vec<Tool>,
    /// How tokens are chosen. `None` takes the model's own defaults.
    pub sampling: Option<SamplingParams>,
    /// The longest answer in tokens; to the end of the context where `None`.
    pub max_tokens: Option<usize>,
    /// Up to four strings that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Further variables for the chat template.
    pub template_variables: serde_json::Map<String, serde_json::Value>,
}

impl ChatRequest {
    /// A request with the model's default settings.
    pub fn new(messages: impl Into<Vec<Message>>) -> Self {
        Self {
            messages: messages.into(),
            tools: Vec::new(),
            sampling: None,
            max_tokens: None,
            stop: Vec::new(),
            template_variables: serde_json::Map::new(),
        }
    }

    /// A request with one user message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new([Message::user(text)])
    }

    /// Sets how tokens are chosen.
    #[must_use]
    pub fn sampling(mut self, params: SamplingParams) -> Self {
        self.sampling = Some(params);
        self
    }

    /// Sets the longest answer in tokens.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Sets the strings that end the answer.
    #[must_use]
    pub fn stop<S: Into<String>>(mut self, stop: impl IntoIterator<Item = S>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }
}
