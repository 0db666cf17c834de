//! From a step plan to scores: packs the batch, runs the model, reads the result back.

use crate::kernels::{Batch, KvCache, Span};
use crate::models::Model;
use crate::scheduler::{Scheduler, StepPlan};

/// The model and its cache.
pub(super) struct Runner {
    model: Box<dyn Model>,
    cache: KvCache,
    vocab_size: usize,
}

impl Runner {
    pub(super) fn new(model: Box<dyn Model>, cache: KvCache, vocab_size: usize) -> Self {
        Self {
            model,
            cache,
            vocab_size,
        }
    }

    /// Scores per sampled token.
    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Computes a planned step. Returns the scores of each entry that samples, `[samples, vocab]`,
    /// in the plan's order.
    pub(super) fn forward(&mut self, plan: &StepPlan, scheduler: &Scheduler) -> Vec<f32> {
        let mut batch = pack(plan, scheduler);
        if batch.outputs.is_empty() {
            // A piece of a long prompt: only its keys and values matter, not its scores.
            batch.outputs.push(batch.tokens.len() as u32 - 1);
            self.model.hidden(&batch, &mut self.cache);
            return Vec::new();
        }
        let scores = self.model.forward(&batch, &mut self.cache);
        let data = scores.into_data();
        data.try_into_vec::<f32>()
            .unwrap_or_else(|error| panic!("a model gives f32 scores: {error:?}"))
    }
}

/// The tokens of a plan side by side, with the block table of each sequence.
fn pack(plan: &StepPlan, scheduler: &Scheduler) -> Batch {
    let mut batch = Batch::default();
    for entry in &plan.entries {
        let Some(sequence) = scheduler.sequence(entry.sequence) else {
            continue;
        };
        let first = batch.tokens.len();
        let table = batch.block_tables.len();
        batch
            .tokens
            .extend_from_slice(&sequence.tokens()[entry.start..entry.end]);
        batch
            .positions
            .extend((entry.start..entry.end).map(|position| position as u32));
        batch
            .block_tables
            .extend(sequence.blocks().iter().map(|block| block.0));
        batch.spans.push(Span {
            tokens: first..batch.tokens.len(),
            context: entry.start,
            table: table..batch.block_tables.len(),
        });
        if entry.samples {
            batch.outputs.push(batch.tokens.len() as u32 - 1);
        }
    }
    batch
}
