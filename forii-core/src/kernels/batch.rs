//! One step's work as integers: the packed tokens of many sequences, no padding. Built by the
//! engine's runner from a step plan; models hand it to attention untouched.

use std::ops::Range;

use super::BLOCK_LEN;

/// Packed tokens of many sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, sequence after sequence, `[n]`.
    pub tokens: Vec<u32>,
    /// The position of each token in its sequence, `[n]`.
    pub positions: Vec<u32>,
    /// One entry per sequence in this step.
    pub spans: Vec<Span>,
    /// Block tables of all spans, one after another: ids of cache blocks in order of position.
    pub block_tables: Vec<u32>,
    /// Indices into `tokens` of the rows whose scores are wanted, ascending; at least one, since not
    /// every device takes tensors without rows.
    pub outputs: Vec<u32>,
}

/// One sequence's part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its tokens: `batch.tokens[tokens]`. Their positions are consecutive.
    pub tokens: Range<usize>,
    /// Tokens of the sequence that are in the cache already: the position of the first new one.
    pub context: usize,
    /// Its block table: `batch.block_tables[table]`, enough blocks for all positions so far.
    pub table: Range<usize>,
}

impl Span {
    /// Tokens of the sequence once this step is done.
    pub fn len_after(&self) -> usize {
        self.context + self.tokens.len()
    }
}

impl Batch {
    /// The cache slot (`block · BLOCK_LEN + offset`) of one position of a span.
    pub fn slot(&self, span: &Span, position: usize) -> usize {
        let block = self.block_tables[span.table.start + position / BLOCK_LEN] as usize;
        block * BLOCK_LEN + position % BLOCK_LEN
    }
}
