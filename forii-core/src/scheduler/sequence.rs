//! One sequence: its tokens, how many of them are in the cache, and the blocks that hold them.

use std::sync::Arc;

use super::blocks::{BlockId, BlockPool};
use super::prefix::{BlockTokens, Link, PrefixIndex};
use crate::kernels::BLOCK_LEN;

/// A sequence's name, unique within its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// Separates prompts that must not share cache blocks; `None` is the key that most share.
pub type CacheKey = Option<Arc<str>>;

/// How early a sequence is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Priority {
    /// Before the others.
    High,
    /// The usual.
    #[default]
    Default,
    /// After the others.
    Low,
}

/// A sequence to be queued.
#[derive(Debug, Clone, Default)]
pub struct NewSequence {
    /// The prompt; not empty.
    pub prompt: Vec<u32>,
    /// How early it is served.
    pub priority: Priority,
    /// Who may share its blocks.
    pub cache_key: CacheKey,
}

/// The order of service: by arrival, a class shifted against the next by a fixed number of
/// arrivals. A sequence is overtaken at most that often, so none starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64, SequenceId);

const ARRIVALS_BETWEEN_CLASSES: u64 = 1024;

/// One sequence.
#[derive(Debug)]
pub struct Sequence {
    id: SequenceId,
    priority: Priority,
    /// Prompt and output.
    pub(super) tokens: Vec<u32>,
    prompt_len: usize,
    /// Tokens whose keys and values are in the cache.
    pub(super) computed: usize,
    /// Tokens found in the cache when the sequence was first admitted.
    cached: Option<usize>,
    blocks: Vec<BlockId>,
    cache_key: CacheKey,
    /// The place in the prefix index after `num_indexed` blocks.
    link: Link,
    num_indexed: usize,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, new: NewSequence) -> Self {
        Self {
            id,
            priority: new.priority,
            prompt_len: new.prompt.len(),
            tokens: new.prompt,
            computed: 0,
            cached: None,
            blocks: Vec::new(),
            link: Link::Start(new.cache_key.clone()),
            cache_key: new.cache_key,
            num_indexed: 0,
        }
    }

    /// Its name.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// Prompt and output so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of the prompt.
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// Prompt tokens that were found in the cache when the sequence was first admitted.
    pub fn cached_tokens(&self) -> usize {
        self.cached.unwrap_or(0)
    }

    /// Its block table: blocks in order of position.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    pub(super) fn order(&self) -> Order {
        Order(
            self.id.0 + self.priority as u64 * ARRIVALS_BETWEEN_CLASSES,
            self.id,
        )
    }

    /// Tokens that are not in the cache yet; at least one, or there would be no scores to sample.
    pub(super) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Takes known blocks for the longest prefix, leaving at least one token to compute.
    pub(super) fn adopt_prefix(&mut self, prefix: &PrefixIndex, pool: &mut BlockPool) {
        debug_assert!(self.blocks.is_empty(), "a prefix is adopted once, on admission");
        let (full, _) = self.tokens[..self.tokens.len() - 1].as_chunks::<BLOCK_LEN>();
        for tokens in full {
            let Some((block, next)) = prefix.find(&self.link, tokens) else {
                break;
            };
            pool.retain(block);
            self.blocks.push(block);
            self.link = next;
        }
        self.num_indexed = self.blocks.len();
        self.computed = self.blocks.len() * BLOCK_LEN;
    }

    /// Allocates blocks for the first `len` tokens. On failure nothing is lost: what was allocated
    /// stays in the table.
    pub(super) fn grow(&mut self, len: usize, pool: &mut BlockPool, prefix: &mut PrefixIndex) -> bool {
        while self.blocks.len() < len.div_ceil(BLOCK_LEN) {
            let Some((block, indexed)) = pool.allocate() else {
                return false;
            };
            if indexed {
                prefix.forget(block);
            }
            self.blocks.push(block);
        }
        self.cached.get_or_insert(self.computed.min(self.prompt_len));
        true
    }

    /// Makes blocks that have become full known to later prompts.
    pub(super) fn index_full_blocks(&mut self, prefix: &mut PrefixIndex, pool: &mut BlockPool) {
        let (full, _): (&[BlockTokens], _) = self.tokens[..self.computed].as_chunks::<BLOCK_LEN>();
        for (tokens, &block) in full.iter().zip(&self.blocks).skip(self.num_indexed) {
            let link = std::mem::replace(&mut self.link, Link::Start(None));
            self.link = prefix.insert(link, *tokens, block, pool);
        }
        self.num_indexed = full.len();
    }

    /// Gives all blocks back and forgets what was computed. The last block goes first, so that the
    /// end of a chain is reused before its beginning.
    pub(super) fn release(&mut self, pool: &mut BlockPool) {
        for block in self.blocks.drain(..).rev() {
            pool.release(block);
        }
        self.computed = 0;
        self.num_indexed = 0;
        self.link = Link::Start(self.cache_key.clone());
    }
}
