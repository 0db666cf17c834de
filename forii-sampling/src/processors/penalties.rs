//! Penalties on tokens that were there before.

use crate::{Logits, LogitsProcessor, TokenId, TokenMask};

/// Divides the positive and multiplies the negative scores of every token of prompt and answer (Keskar et
/// al., 2019).
#[derive(Debug, Clone)]
pub struct RepetitionPenalty {
    penalty: f32,
    seen: TokenMask,
}

impl RepetitionPenalty {
    /// The factor, and the prompt, whose tokens count as seen.
    pub fn new(penalty: f32, vocab_size: usize, prompt: &[TokenId]) -> Self {
        let mut seen = TokenMask::empty(vocab_size);
        prompt.iter().for_each(|&token| seen.insert(token));
        Self { penalty, seen }
    }
}

impl LogitsProcessor for RepetitionPenalty {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        let penalty = self.penalty;
        for token in self.seen.iter() {
            // A tiny penalty may carry a score past the end of f32: it stays the highest finite number.
            logits.update(token, |x| {
                if x > 0.0 {
                    (x / penalty).min(f32::MAX)
                } else {
                    x * penalty
                }
            });
        }
    }

    fn accept(&mut self, token: TokenId) {
        self.seen.insert(token);
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}

/// OpenAI's penalties over the generated tokens: `score −= frequency · count + presence · (count > 0)`.
#[derive(Debug, Clone)]
pub struct OccurrencePenalty {
    frequency: f32,
    presence: f32,
    seen: TokenMask,
    counts: Vec<u32>,
}

impl OccurrencePenalty {
    /// The penalty per occurrence, and the one for any occurrence.
    pub fn new(frequency: f32, presence: f32, vocab_size: usize) -> Self {
        Self {
            frequency,
            presence,
            seen: TokenMask::empty(vocab_size),
            counts: vec![0; vocab_size],
        }
    }
}

impl LogitsProcessor for OccurrencePenalty {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        for token in self.seen.iter() {
            let count = self.counts[token as usize] as f32;
            logits.update(token, |score| score - self.frequency * count - self.presence);
        }
    }

    fn accept(&mut self, token: TokenId) {
        if let Some(count) = self.counts.get_mut(token as usize) {
            *count += 1;
            self.seen.insert(token);
        }
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
