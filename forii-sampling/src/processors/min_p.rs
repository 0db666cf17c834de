//! Keeps the tokens that are not far behind the best one.

use crate::math::exp;
use crate::{Logits, LogitsProcessor};

/// Keeps the tokens with at least this share of the best token's probability.
#[derive(Debug, Clone)]
pub struct MinP {
    share: f32,
}

impl MinP {
    /// The share, above 0, at most 1.
    pub fn new(share: f32) -> Self {
        Self { share }
    }
}

impl LogitsProcessor for MinP {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        let max = logits.max();
        // A floor with some slack passes over most of the vocabulary; the definition itself decides.
        logits.keep_at_least(max + self.share.ln() - 0.01);
        logits.retain(|c| exp(c.score - max) >= self.share);
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
