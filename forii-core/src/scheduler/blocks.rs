//! The pool of cache blocks: reference counts, and one list of blocks that nobody holds, least
//! recently used first. A free block may still hold a known prefix; it loses it only when reused.

/// A cache block's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Block {
    holders: u32,
    /// Whether the prefix index names this block.
    indexed: bool,
    // Links of the free list; meaningful while `holders` is 0.
    prev: u32,
    next: u32,
}

/// Reference-counted blocks. All operations take constant time.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    head: u32,
    tail: u32,
    num_free: usize,
    num_cached: usize,
}

impl BlockPool {
    /// A pool of free blocks.
    pub fn new(num_blocks: usize) -> Self {
        let mut pool = Self {
            blocks: Vec::new(),
            head: NONE,
            tail: NONE,
            num_free: 0,
            num_cached: 0,
        };
        let len = u32::try_from(num_blocks).unwrap_or(NONE - 1);
        pool.blocks = vec![
            Block {
                holders: 0,
                indexed: false,
                prev: NONE,
                next: NONE
            };
            len as usize
        ];
        for id in 0..len {
            pool.link_back(id);
        }
        pool
    }

    /// Blocks in all.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether the pool has no blocks at all.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Blocks that nobody holds, those with a known prefix included.
    pub fn num_free(&self) -> usize {
        self.num_free
    }

    /// Blocks that nobody holds and the prefix index names.
    pub fn num_cached(&self) -> usize {
        self.num_cached
    }

    /// Takes the least recently used free block. The flag says that the prefix index named it and
    /// must forget it.
    pub fn allocate(&mut self) -> Option<(BlockId, bool)> {
        let id = self.head;
        if id == NONE {
            return None;
        }
        self.unlink(id);
        let block = &mut self.blocks[id as usize];
        block.holders = 1;
        Some((BlockId(id), std::mem::take(&mut block.indexed)))
    }

    /// Adds a holder to a block that is held or free.
    pub fn retain(&mut self, id: BlockId) {
        if self.blocks[id.0 as usize].holders == 0 {
            self.unlink(id.0);
        }
        self.blocks[id.0 as usize].holders += 1;
    }

    /// Removes a holder. The last one's block becomes free: reusable at once where it holds no known
    /// prefix, else after all blocks that were freed earlier.
    pub fn release(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        debug_assert!(block.holders > 0, "{id:?} is released more often than held");
        block.holders = block.holders.saturating_sub(1);
        if block.holders == 0 {
            if block.indexed {
                self.link_back(id.0)
            } else {
                self.link_front(id.0)
            }
        }
    }

    /// Notes that the prefix index names this held block.
    pub fn mark_indexed(&mut self, id: BlockId) {
        debug_assert!(
            self.blocks[id.0 as usize].holders > 0,
            "only a held block is indexed"
        );
        self.blocks[id.0 as usize].indexed = true;
    }

    /// Whether the prefix index names this block.
    pub fn is_indexed(&self, id: BlockId) -> bool {
        self.blocks[id.0 as usize].indexed
    }

    /// Checks the counts against the block tables of everyone who holds blocks.
    ///
    /// # Errors
    /// The first disagreement, in words.
    pub fn check<'a>(&self, tables: impl Iterator<Item = &'a [BlockId]>) -> Result<(), String> {
        let mut holders = vec![0u32; self.blocks.len()];
        for id in tables.flatten() {
            holders[id.0 as usize] += 1;
        }
        for (id, (block, &found)) in self.blocks.iter().zip(&holders).enumerate() {
            if block.holders != found {
                return Err(format!(
                    "block {id} counts {} holders but has {found}",
                    block.holders
                ));
            }
        }
        let mut linked = 0;
        let mut cached = 0;
        let mut id = self.head;
        while id != NONE {
            let block = &self.blocks[id as usize];
            if block.holders != 0 || linked > self.blocks.len() {
                return Err(format!("block {id} is in the free list but held"));
            }
            linked += 1;
            cached += usize::from(block.indexed);
            id = block.next;
        }
        let free = holders.iter().filter(|&&n| n == 0).count();
        if linked != free || free != self.num_free || cached != self.num_cached {
            return Err(format!(
                "{free} blocks are free, {linked} linked, {} counted; {cached} cached, {} counted",
                self.num_free, self.num_cached
            ));
        }
        Ok(())
    }

    fn link_back(&mut self, id: u32) {
        let tail = self.tail;
        self.insert(id, tail, NONE);
    }

    fn link_front(&mut self, id: u32) {
        let head = self.head;
        self.insert(id, NONE, head);
    }

    fn insert(&mut self, id: u32, prev: u32, next: u32) {
        let block = &mut self.blocks[id as usize];
        (block.prev, block.next) = (prev, next);
        self.num_cached += usize::from(block.indexed);
        self.num_free += 1;
        self.set_next(prev, id);
        self.set_prev(next, id);
    }

    fn unlink(&mut self, id: u32) {
        let block = &self.blocks[id as usize];
        let (prev, next) = (block.prev, block.next);
        self.num_cached -= usize::from(block.indexed);
        self.num_free -= 1;
        self.set_next(prev, next);
        self.set_prev(next, prev);
    }

    fn set_next(&mut self, id: u32, next: u32) {
        if id == NONE {
            self.head = next
        } else {
            self.blocks[id as usize].next = next
        }
    }

    fn set_prev(&mut self, id: u32, prev: u32) {
        if id == NONE {
            self.tail = prev
        } else {
            self.blocks[id as usize].prev = prev
        }
    }
}
