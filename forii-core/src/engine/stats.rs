//! What the engine is doing, readable from any thread without waiting for a step.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::scheduler::Counts;

/// A snapshot of an engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Sequences in the batch.
    pub running: usize,
    /// Sequences that wait for a place.
    pub waiting: usize,
    /// Cache blocks that hold nothing.
    pub free_blocks: usize,
    /// Cache blocks that nobody holds but whose content a later prompt may reuse.
    pub cached_blocks: usize,
    /// Cache blocks in all.
    pub total_blocks: usize,
    /// Times a sequence lost its blocks and computed them again.
    pub preemptions: u64,
    /// Prompt tokens computed since the start.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache since the start.
    pub cached_tokens: u64,
    /// Tokens generated since the start.
    pub generated_tokens: u64,
    /// Steps since the start.
    pub steps: u64,
    /// Time spent in steps since the start, in nanoseconds.
    pub step_nanoseconds: u64,
}

/// The numbers behind [`EngineStats`]. Each is exact; together they may be a step apart.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    running: AtomicUsize,
    waiting: AtomicUsize,
    free_blocks: AtomicUsize,
    cached_blocks: AtomicUsize,
    total_blocks: AtomicUsize,
    preemptions: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    steps: AtomicU64,
    step_nanoseconds: AtomicU64,
}

impl Gauges {
    pub(super) fn set_counts(&self, counts: &Counts) {
        self.running.store(counts.running, Relaxed);
        self.waiting.store(counts.waiting, Relaxed);
        self.free_blocks.store(counts.free_blocks, Relaxed);
        self.cached_blocks.store(counts.cached_blocks, Relaxed);
        self.total_blocks.store(counts.total_blocks, Relaxed);
        self.preemptions.store(counts.preemptions, Relaxed);
    }

    pub(super) fn add_step(&self, generated: usize, elapsed: std::time::Duration) {
        self.generated_tokens.fetch_add(generated as u64, Relaxed);
        self.steps.fetch_add(1, Relaxed);
        self.step_nanoseconds
            .fetch_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn add_prompt(&self, tokens: usize, cached: usize) {
        self.prompt_tokens
            .fetch_add(tokens.saturating_sub(cached) as u64, Relaxed);
        self.cached_tokens.fetch_add(cached as u64, Relaxed);
    }

    pub(super) fn read(&self) -> EngineStats {
        EngineStats {
            running: self.running.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            free_blocks: self.free_blocks.load(Relaxed),
            cached_blocks: self.cached_blocks.load(Relaxed),
            total_blocks: self.total_blocks.load(Relaxed),
            preemptions: self.preemptions.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            cached_tokens: self.cached_tokens.load(Relaxed),
            generated_tokens: self.generated_tokens.load(Relaxed),
            steps: self.steps.load(Relaxed),
            step_nanoseconds: self.step_nanoseconds.load(Relaxed),
        }
    }
}
