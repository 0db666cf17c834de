//! Which tokens of which sequences are computed next, and in which cache blocks they lie. Integers
//! only: no tensors, no text, no clock, so that every rule here is tested without a model.
//!
//! A step is `plan` → (the engine computes and samples) → `commit`. Running sequences decode first;
//! what is left of the token budget prefills prompts in chunks and admits waiting sequences. When
//! blocks run out, the last sequence in order is preempted: its blocks are freed, and it later
//! computes them again.

mod blocks;
mod plan;
mod prefix;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use blocks::{BlockId, BlockPool};
pub use plan::{PlanEntry, StepPlan};
pub use sequence::{CacheKey, NewSequence, Priority, Sequence, SequenceId};

use prefix::PrefixIndex;
use sequence::Order;

use crate::kernels::BLOCK_LEN;

/// The bounds of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens computed in one step, prefill and decode together.
    pub max_batch_tokens: usize,
    /// Sequences that run at once.
    pub max_sequences: usize,
}

/// Counts that [`Scheduler::counts`] gives; all of the moment, not sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequences in the batch.
    pub running: usize,
    /// Sequences that wait, preempted ones included.
    pub waiting: usize,
    /// Blocks that hold nothing.
    pub free_blocks: usize,
    /// Blocks that nobody holds but whose content a later prompt may reuse.
    pub cached_blocks: usize,
    /// Blocks in all.
    pub total_blocks: usize,
    /// Preemptions since the start.
    pub preemptions: u64,
}

/// The sequences of an engine and the blocks they hold.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    pool: BlockPool,
    prefix: PrefixIndex,
    /// In order: the first is served first and preempted last.
    running: Vec<Sequence>,
    waiting: BTreeMap<Order, Sequence>,
    next_id: u64,
    preemptions: u64,
}

impl Scheduler {
    /// A scheduler over `num_blocks` cache blocks of [`BLOCK_LEN`] tokens.
    pub fn new(limits: Limits, num_blocks: usize) -> Self {
        Self {
            limits,
            pool: BlockPool::new(num_blocks),
            prefix: PrefixIndex::default(),
            running: Vec::new(),
            waiting: BTreeMap::new(),
            next_id: 0,
            preemptions: 0,
        }
    }

    /// Queues a sequence. Its prompt must not be empty, and its blocks at full length
    /// ([`blocks_for`]) must not exceed the pool: the caller refuses such requests.
    pub fn add(&mut self, new: NewSequence) -> SequenceId {
        debug_assert!(
            !new.prompt.is_empty(),
            "an empty prompt has no scores to sample from"
        );
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        let sequence = Sequence::new(id, new);
        self.waiting.insert(sequence.order(), sequence);
        id
    }

    /// Chooses the next step's work, or `None` where there is none. Allocates the blocks that the
    /// step writes to; every plan must be committed before the next one is made.
    pub fn plan(&mut self) -> Option<StepPlan> {
        let mut plan = StepPlan::default();
        let mut budget = self.limits.max_batch_tokens;
        self.plan_running(&mut plan, &mut budget, |sequence| sequence.remaining() == 1);
        self.plan_running(&mut plan, &mut budget, |sequence| sequence.remaining() > 1);
        self.admit(&mut plan, &mut budget);
        (!plan.entries.is_empty()).then_some(plan)
    }

    /// Takes over a step's results: what was computed is in the cache now, and each entry that asked
    /// for a sample gets its token, in the order of the plan's sampling entries.
    pub fn commit(&mut self, plan: &StepPlan, sampled: &[u32]) {
        let mut sampled = sampled.iter();
        for entry in &plan.entries {
            let token = if entry.samples { sampled.next() } else { None };
            // A sequence that was finished between plan and commit has left; its result is void.
            let Some(sequence) = self.running.iter_mut().find(|s| s.id() == entry.sequence) else {
                continue;
            };
            sequence.computed = entry.end;
            sequence.index_full_blocks(&mut self.prefix, &mut self.pool);
            sequence.tokens.extend(token);
        }
        debug_assert_eq!(self.check(), Ok(()));
    }

    /// Removes a sequence, running or waiting; its blocks are free at once. Unknown ids are ignored:
    /// a client may cancel what has just ended.
    pub fn finish(&mut self, id: SequenceId) {
        if let Some(index) = self.running.iter().position(|s| s.id() == id) {
            self.running.remove(index).release(&mut self.pool);
        } else if let Some(order) = self.waiting.values().find(|s| s.id() == id).map(Sequence::order) {
            self.waiting.remove(&order);
        }
        debug_assert_eq!(self.check(), Ok(()));
    }

    /// A running sequence.
    pub fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.running.iter().find(|s| s.id() == id)
    }

    /// The counts of this moment.
    pub fn counts(&self) -> Counts {
        Counts {
            running: self.running.len(),
            waiting: self.waiting.len(),
            free_blocks: self.pool.num_free() - self.pool.num_cached(),
            cached_blocks: self.pool.num_cached(),
            total_blocks: self.pool.len(),
            preemptions: self.preemptions,
        }
    }

    /// Checks that every block is held exactly as often as sequences name it, and that the prefix
    /// index and the pool agree. Costs a pass over all blocks; runs after each step in debug builds.
    ///
    /// # Errors
    /// The first disagreement, in words.
    pub fn check(&self) -> Result<(), String> {
        self.pool.check(self.running.iter().map(Sequence::blocks))?;
        if let Some(sequence) = self.waiting.values().find(|s| !s.blocks().is_empty()) {
            return Err(format!("{:?} waits but holds blocks", sequence.id()));
        }
        self.prefix.check(&self.pool)
    }

    /// Plans the running sequences that `wanted` selects, in order, preempting from the end.
    fn plan_running(&mut self, plan: &mut StepPlan, budget: &mut usize, wanted: impl Fn(&Sequence) -> bool) {
        let mut index = 0;
        while index < self.running.len() && *budget > 0 {
            if !wanted(&self.running[index]) {
                index += 1;
                continue;
            }
            let end = self.running[index].computed + self.running[index].remaining().min(*budget);
            let survived = loop {
                if self.running[index].grow(end, &mut self.pool, &mut self.prefix) {
                    break true;
                }
                let victim = self.running.len() - 1;
                *budget += self.preempt(victim, plan);
                if victim == index {
                    break false;
                }
            };
            if survived {
                let entry = PlanEntry::new(&self.running[index], end);
                *budget -= entry.len();
                plan.entries.push(entry);
                index += 1;
            }
        }
    }

    /// Admits waiting sequences in order while batch, budget and blocks allow.
    fn admit(&mut self, plan: &mut StepPlan, budget: &mut usize) {
        while *budget > 0 && self.running.len() < self.limits.max_sequences {
            let Some(mut first) = self.waiting.first_entry() else {
                break;
            };
            // A whole prompt must fit beside what runs: half of one would only be preempted again.
            let sequence = first.get_mut();
            sequence.adopt_prefix(&self.prefix, &mut self.pool);
            let needed = blocks_for(sequence.tokens.len()).saturating_sub(sequence.blocks().len());
            if needed > self.pool.num_free() {
                sequence.release(&mut self.pool);
                break;
            }
            let mut sequence = first.remove();
            let end = sequence.computed + sequence.remaining().min(*budget);
            let grown = sequence.grow(end, &mut self.pool, &mut self.prefix);
            debug_assert!(grown, "enough blocks were free");
            let entry = PlanEntry::new(&sequence, end);
            *budget -= entry.len();
            plan.entries.push(entry);
            let at = self.running.partition_point(|s| s.order() < sequence.order());
            self.running.insert(at, sequence);
        }
    }

    /// Sends a running sequence back to the queue. Returns the tokens it had in this plan.
    fn preempt(&mut self, index: usize, plan: &mut StepPlan) -> usize {
        let mut sequence = self.running.remove(index);
        sequence.release(&mut self.pool);
        self.preemptions += 1;
        let planned = plan.remove(sequence.id());
        self.waiting.insert(sequence.order(), sequence);
        planned
    }
}

/// Blocks that hold `num_tokens` tokens.
pub fn blocks_for(num_tokens: usize) -> usize {
    num_tokens.div_ceil(BLOCK_LEN)
}
