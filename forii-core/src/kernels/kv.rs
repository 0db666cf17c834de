//! The paged key/value cache: fixed blocks of tokens, each layer's content chosen by its model.
//! Which tensors lie behind a layer, and in which order, is the kernels' own business.

use burn::tensor::Tensor;

use super::Compute;

/// Tokens in one cache block.
pub const BLOCK_LEN: usize = 16;

/// What each layer keeps per token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvShape {
    /// One entry per layer.
    pub layers: Vec<KvLayerShape>,
}

/// What one layer keeps per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvLayerShape {
    /// A key and a value for each head.
    Heads {
        /// Key and value heads.
        num_kv_heads: usize,
        /// Width of one head.
        head_dim: usize,
    },
}

/// The cache of all layers. Owned by the engine's runner and passed to each step; a layer never
/// hands out a clone of its tensors across a write, or the write would copy the whole pool.
#[derive(Debug)]
pub struct KvCache {
    /// One entry per layer.
    pub layers: Vec<KvLayer>,
    /// Blocks in each layer.
    pub num_blocks: usize,
}

impl KvCache {
    /// An empty cache of `num_blocks` blocks in each layer.
    pub fn new(compute: &Compute, shape: &KvShape, num_blocks: usize) -> Self {
        let layers = shape.layers.iter().map(|&shape| {
            let KvLayerShape::Heads { num_kv_heads, head_dim } = shape;
            let pool = || Some(Tensor::zeros([num_blocks * BLOCK_LEN * num_kv_heads * head_dim], compute.device()));
            KvLayer { shape, k: pool(), v: pool() }
        });
        Self { layers: layers.collect(), num_blocks }
    }
}

/// One layer's blocks. The tensors are taken out for a step's write and put back.
#[derive(Debug)]
pub struct KvLayer {
    pub(super) shape: KvLayerShape,
    pub(super) k: Option<Tensor<1>>,
    pub(super) v: Option<Tensor<1>>,
}
