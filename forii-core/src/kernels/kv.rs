//! The paged key/value cache: fixed blocks of tokens, each layer's content chosen by its model.
//! Which tensors lie behind a layer, and in which order, is the kernels' own business.

use burn::tensor::{DType, Tensor};

use super::Compute;
use crate::error::LoadError;

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

impl KvShape {
    /// Bytes that one block of [`BLOCK_LEN`] tokens takes in all layers together, in half precision
    /// as the CPU keeps it. The reference path keeps single precision: twice as much.
    pub fn bytes_per_block(&self) -> usize {
        self.layers
            .iter()
            .map(|layer| 2 * layer.block_elements() * size_of::<half::f16>())
            .sum()
    }
}

impl KvLayerShape {
    /// Numbers that the keys of one block take; its values take as many.
    pub(super) fn block_elements(&self) -> usize {
        match self {
            Self::Heads {
                num_kv_heads,
                head_dim,
            } => BLOCK_LEN * num_kv_heads * head_dim,
        }
    }
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

/// One layer's blocks. The tensors are taken out for a step's write and put back.
///
/// On the CPU both are F16: keys `[num_blocks, num_kv_heads, head_dim, BLOCK_LEN]`, so that one
/// dimension of a block's keys fills a register, and values `[num_blocks, num_kv_heads, BLOCK_LEN,
/// head_dim]`. On the reference path both are F32 `[num_blocks · BLOCK_LEN, num_kv_heads · head_dim]`.
#[derive(Debug)]
pub struct KvLayer {
    pub(super) shape: KvLayerShape,
    pub(super) k: Option<Tensor<1>>,
    pub(super) v: Option<Tensor<1>>,
}

impl KvCache {
    /// Reserves `num_blocks` blocks in every layer. On the CPU a block takes memory only once it has
    /// been written to.
    ///
    /// # Errors
    /// [`LoadError::Setting`] where the system has no room for so many.
    pub fn new(compute: &Compute, shape: &KvShape, num_blocks: usize) -> Result<Self, LoadError> {
        let layer = |layer: &KvLayerShape| {
            let len = num_blocks.checked_mul(layer.block_elements())?;
            Some(KvLayer {
                shape: *layer,
                k: Some(zeros(compute, len)?),
                v: Some(zeros(compute, len)?),
            })
        };
        let layers = shape
            .layers
            .iter()
            .map(layer)
            .collect::<Option<_>>()
            .ok_or_else(|| LoadError::Setting {
                setting: "cache_bytes",
                problem: format!(
                    "no memory for {num_blocks} blocks of {} bytes",
                    shape.bytes_per_block()
                ),
            })?;
        Ok(Self { layers, num_blocks })
    }
}

/// `len` zeros, or nothing where memory is short.
fn zeros(compute: &Compute, len: usize) -> Option<Tensor<1>> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return super::cpu::lazy_zeros(len);
    }
    Some(Tensor::zeros([len], (compute.device(), DType::F32)))
}
