//! Biases of single tokens.

use std::collections::BTreeMap;

use crate::{Logits, LogitsProcessor, TokenId};

/// The bias that means "never".
const BAN: f32 = -100.0;

/// Adds a bias to the scores of some tokens; −100 bans a token outright.
#[derive(Debug, Clone)]
pub struct LogitBias {
    bias: Vec<(TokenId, f32)>,
}

impl LogitBias {
    /// Biases by token, each −100 to 100.
    pub fn new(bias: &BTreeMap<TokenId, f32>) -> Self {
        Self {
            bias: bias.iter().map(|(&token, &bias)| (token, bias)).collect(),
        }
    }
}

impl LogitsProcessor for LogitBias {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        for &(token, bias) in &self.bias {
            if bias <= BAN {
                logits.ban(token);
            } else {
                logits.update(token, |score| score + bias);
            }
        }
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
