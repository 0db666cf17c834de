//! What one step computes.

use super::sequence::{Sequence, SequenceId};

/// The work of one step, in the order of the packed batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// One entry per sequence.
    pub entries: Vec<PlanEntry>,
}

/// A run of one sequence's tokens to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanEntry {
    /// The sequence.
    pub sequence: SequenceId,
    /// The first token to compute: those before it are in the cache.
    pub start: usize,
    /// One past the last token to compute.
    pub end: usize,
    /// Whether the last token's scores are wanted: it is the sequence's newest.
    pub samples: bool,
}

impl PlanEntry {
    pub(super) fn new(sequence: &Sequence, end: usize) -> Self {
        Self {
            sequence: sequence.id(),
            start: sequence.computed,
            end,
            samples: end == sequence.tokens.len(),
        }
    }

    /// Tokens to compute; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.end - self.start
    }
}

impl StepPlan {
    /// Tokens of the step.
    pub fn num_tokens(&self) -> usize {
        self.entries.iter().map(PlanEntry::len).sum()
    }

    /// Takes a sequence out again. Returns the tokens it had.
    pub(super) fn remove(&mut self, id: SequenceId) -> usize {
        match self.entries.iter().position(|entry| entry.sequence == id) {
            Some(index) => self.entries.remove(index).len(),
            None => 0,
        }
    }
}
