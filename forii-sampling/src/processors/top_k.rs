//! Keeps the best tokens by number.

use crate::{Candidate, Logits, LogitsProcessor};

/// Keeps the k tokens of the highest scores, exactly k: the lower id wins a tie for the last place.
#[derive(Debug, Clone)]
pub struct TopK {
    k: usize,
}

impl TopK {
    /// How many tokens to keep, at least 1.
    pub fn new(k: usize) -> Self {
        Self { k: k.max(1) }
    }
}

impl LogitsProcessor for TopK {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        let floor = logits.reached_by(self.k);
        logits.keep_at_least(floor);
        if logits.candidates().is_none_or(|all| all.len() <= self.k) {
            return;
        }
        let mut ranked = std::mem::take(&mut logits.workspace().ranked);
        ranked.clear();
        ranked.extend_from_slice(logits.candidates().unwrap_or_default());
        let last = *ranked.select_nth_unstable_by(self.k - 1, Candidate::rank).1;
        logits.retain(|c| c.rank(&last).is_le());
        logits.workspace().ranked = ranked;
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
