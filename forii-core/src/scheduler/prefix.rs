//! Which cache blocks hold which tokens: a chain from block to block, each link named by its parent
//! and its own tokens. Keys are compared whole, never by a hash alone, so two prompts share a block
//! only where they are truly equal and carry the same cache key.

use std::collections::HashMap;

use super::blocks::{BlockId, BlockPool};
use super::sequence::CacheKey;
use crate::kernels::BLOCK_LEN;

/// The tokens of one full block.
pub(super) type BlockTokens = [u32; BLOCK_LEN];

/// A place in a chain: its start (under a cache key) or a block that is or was in the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// Before the first token.
    Start(CacheKey),
    /// After an indexed block. Numbers are never reused, so a link to an evicted block leads
    /// nowhere instead of to another's content.
    After(u64),
}

#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    blocks: HashMap<(Link, BlockTokens), (BlockId, u64)>,
    keys: HashMap<BlockId, (Link, BlockTokens)>,
    next: u64,
}

impl PrefixIndex {
    /// The block that holds these tokens after this link, and the link after it.
    pub(super) fn find(&self, link: &Link, tokens: &BlockTokens) -> Option<(BlockId, Link)> {
        let (block, number) = self.blocks.get(&(link.clone(), *tokens))?;
        Some((*block, Link::After(*number)))
    }

    /// Indexes a full block, unless an equal one is known already. Returns the link after it.
    pub(super) fn insert(
        &mut self,
        link: Link,
        tokens: BlockTokens,
        block: BlockId,
        pool: &mut BlockPool,
    ) -> Link {
        if let Some((_, next)) = self.find(&link, &tokens) {
            return next;
        }
        let number = self.next;
        self.next += 1;
        self.blocks.insert((link.clone(), tokens), (block, number));
        self.keys.insert(block, (link, tokens));
        pool.mark_indexed(block);
        Link::After(number)
    }

    /// Forgets a block that is about to be overwritten.
    pub(super) fn forget(&mut self, block: BlockId) {
        if let Some(key) = self.keys.remove(&block) {
            self.blocks.remove(&key);
        }
    }

    /// Checks both directions of the index against the pool.
    pub(super) fn check(&self, pool: &BlockPool) -> Result<(), String> {
        if self.blocks.len() != self.keys.len() {
            return Err(format!(
                "{} prefixes name {} blocks",
                self.blocks.len(),
                self.keys.len()
            ));
        }
        match self.keys.keys().find(|&&block| !pool.is_indexed(block)) {
            Some(block) => Err(format!("{block:?} is indexed but not marked")),
            None => Ok(()),
        }
    }
}
