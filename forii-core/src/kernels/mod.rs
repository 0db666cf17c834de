//! What a model computes with. This folder is the only one that names a burn backend.
//!
//! Each function here has a plain reference from tensor operations (`reference`) that runs on any
//! device, and fast paths behind one backend-extension trait (`ops`): `cpu` for burn's Flex
//! backend. [`Compute`] says which of them runs.

pub mod batch;
mod compute;
#[cfg(feature = "cpu")]
mod cpu;
mod kv;
mod matrix;
#[cfg(feature = "cpu")]
mod ops;
#[cfg(feature = "cpu")]
mod ops_attention;
mod reference;

/// burn's tensor, in which all of these functions speak.
pub use burn::tensor::Tensor;

pub use batch::{Batch, Span};
pub use compute::{Compute, DeviceKind};
pub use kv::{BLOCK_LEN, KvCache, KvLayer, KvLayerShape, KvShape};
pub use matrix::Matrix;

use crate::checkpoint::config::Activation;

/// `x · wᵀ (+ bias)`: `[n, cols] → [n, rows]`. Bit-equal per row of `x`, whatever `n` is.
pub fn linear(compute: &Compute, x: Tensor<2>, weight: &Matrix, bias: Option<&Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::linear(compute, x, weight, bias, None);
    }
    reference::linear(x, weight, bias, None)
}

/// Made-up activations `[columns, len]`, so that a benchmark need not name burn.
#[doc(hidden)]
pub fn activations(compute: &Compute, columns: usize, len: usize) -> Tensor<2> {
    let values = (0..columns * len).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(
        burn::tensor::TensorData::new::<f32, _>(values, [columns, len]),
        compute.device(),
    )
}

/// `residual + x · wᵀ`: `[n, cols], [n, rows] → [n, rows]`.
pub fn linear_add(compute: &Compute, x: Tensor<2>, weight: &Matrix, residual: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::linear(compute, x, weight, None, Some(residual));
    }
    reference::linear(x, weight, None, Some(residual))
}

/// Rows of a table: `ids [n] → [n, cols]`. Ids must be below `table.rows()`.
pub fn embedding(compute: &Compute, table: &Matrix, ids: &[u32]) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::embedding(compute, table, ids);
    }
    reference::embedding(compute, table, ids)
}

/// RMS norm (arXiv 1910.07467) of each row: `x / sqrt(mean(x²) + eps) · weight`, `[n, d] → [n, d]`.
pub fn rms_norm(compute: &Compute, x: Tensor<2>, weight: &Tensor<1>, eps: f32) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::rms_norm(compute, x, weight, eps);
    }
    reference::rms_norm(x, weight, eps)
}

/// Gated activation: the first half of each row through `act`, times the second half;
/// `[n, 2·f] → [n, f]`.
pub fn gated(compute: &Compute, gate_up: Tensor<2>, act: Activation) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::gated(compute, gate_up, act);
    }
    reference::gated(gate_up, act)
}

/// The constants of one layer's attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionParams {
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; query head `h` reads key head `h / (num_heads / num_kv_heads)`.
    pub num_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// A token sees itself and `window - 1` tokens before it; all of them where `None`.
    pub window: Option<usize>,
    /// Scores become `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
}

/// Weights of the per-head RMS norms on queries and keys (Qwen 3, Gemma 3), each `[head_dim]`.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms<'a> {
    /// For each query head.
    pub q: &'a Tensor<1>,
    /// For each key head.
    pub k: &'a Tensor<1>,
    /// Added to the mean square.
    pub eps: f32,
}

/// Rotary factors of one step, each `[n, head_dim / 2]`: dimension `i` of a head is paired with
/// `i + head_dim / 2` (Hugging Face's `rotate_half`).
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Cosines, times the attention factor.
    pub cos: Tensor<2>,
    /// Sines, times the attention factor.
    pub sin: Tensor<2>,
}

/// Causal attention of a packed batch over the paged cache.
///
/// `qkv` is `[n, (num_heads + 2 · num_kv_heads) · head_dim]`: queries, keys, values side by side.
/// Queries and keys are normalised (where `norms` are given) and rotated, keys and values are
/// written to the cache slots that `batch` names, then each token attends to its own sequence up
/// to itself. Returns `[n, num_heads · head_dim]`. A row depends on its own sequence alone, bit for
/// bit, whatever else is in the batch.
pub fn attention(
    compute: &Compute,
    qkv: Tensor<2>,
    rotation: &Rotation,
    norms: Option<HeadNorms<'_>>,
    params: &AttentionParams,
    layer: &mut KvLayer,
    batch: &Batch,
) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if compute.is_cpu() {
        return cpu::attention(compute, qkv, rotation, norms, params, layer, batch);
    }
    reference::attention(qkv, rotation, norms, params, layer, batch)
}
