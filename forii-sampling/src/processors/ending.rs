//! Keeps an answer from ending early.

use crate::{Logits, LogitsProcessor, TokenId};

/// Bans the tokens that end an answer: some for its first tokens, some always.
#[derive(Debug, Clone, Default)]
pub struct EndBan {
    always: Vec<TokenId>,
    at_first: Vec<TokenId>,
    remaining: usize,
}

impl EndBan {
    /// Bans `always` in every row, and `at_first` until `min_tokens` tokens were chosen.
    pub fn new(always: Vec<TokenId>, at_first: Vec<TokenId>, min_tokens: usize) -> Self {
        Self {
            always,
            at_first,
            remaining: min_tokens,
        }
    }

    /// Counts a token of the answer, be it chosen or forced.
    pub(crate) fn count(&mut self) {
        self.remaining = self.remaining.saturating_sub(1);
    }
}

impl LogitsProcessor for EndBan {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        self.always.iter().for_each(|&token| logits.ban(token));
        if self.remaining > 0 {
            self.at_first.iter().for_each(|&token| logits.ban(token));
        }
    }

    fn accept(&mut self, _token: TokenId) {
        self.count();
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
