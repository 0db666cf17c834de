//! Multi-head attention with grouped keys and values, rotary positions and the paged cache.

use burn::tensor::Tensor;

use crate::checkpoint::Weights;
use crate::checkpoint::config::{LayerType, ModelConfig};
use crate::error::LoadError;
use crate::kernels::{self, AttentionParams, Batch, Compute, HeadNorms, KvLayer, Rotation};

use super::{Linear, RmsNorm};

/// What a model family adds to plain attention.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttentionOptions {
    /// `q_proj`, `k_proj` and `v_proj` have biases.
    pub qkv_bias: bool,
    /// `o_proj` has a bias.
    pub o_bias: bool,
    /// `q_norm` and `k_norm` normalise each head.
    pub qk_norm: bool,
}

/// One layer's attention.
#[derive(Debug, Clone)]
pub struct Attention {
    compute: Compute,
    qkv_proj: Linear,
    o_proj: Linear,
    /// `q_norm` and `k_norm`.
    norms: Option<(RmsNorm, RmsNorm)>,
    params: AttentionParams,
}

impl Attention {
    /// Reads `q_proj`, `k_proj`, `v_proj`, `o_proj` and what `options` names, of layer `layer_idx`.
    ///
    /// # Errors
    /// [`LoadError`] where a tensor is absent or has another shape.
    pub fn load(
        compute: &Compute,
        weights: &Weights<'_>,
        config: &ModelConfig,
        layer_idx: usize,
        options: AttentionOptions,
    ) -> Result<Self, LoadError> {
        let (hidden, head_dim) = (config.hidden_size, config.head_dim);
        let q_dim = config.num_attention_heads * head_dim;
        let kv_dim = config.num_key_value_heads * head_dim;
        let qkv = [("q_proj", q_dim), ("k_proj", kv_dim), ("v_proj", kv_dim)];
        let norm = |name| RmsNorm::load(compute, weights, name, head_dim, config.rms_norm_eps);
        Ok(Self {
            compute: compute.clone(),
            qkv_proj: Linear::load_stacked(compute, weights, &qkv, hidden, options.qkv_bias)?,
            o_proj: Linear::load(compute, weights, "o_proj", [hidden, q_dim], options.o_bias)?,
            norms: if options.qk_norm {
                Some((norm("q_norm")?, norm("k_norm")?))
            } else {
                None
            },
            params: params(config, layer_idx),
        })
    }

    /// `[n, hidden_size] → [n, hidden_size]`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        rotation: &Rotation,
        cache: &mut KvLayer,
        batch: &Batch,
    ) -> Tensor<2> {
        self.o_proj.forward(self.attend(x, rotation, cache, batch))
    }

    /// `residual + forward(x, …)`.
    pub fn forward_add(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        rotation: &Rotation,
        cache: &mut KvLayer,
        batch: &Batch,
    ) -> Tensor<2> {
        self.o_proj
            .forward_add(self.attend(x, rotation, cache, batch), residual)
    }

    /// `[n, hidden_size] → [n, num_heads · head_dim]`.
    fn attend(&self, x: Tensor<2>, rotation: &Rotation, cache: &mut KvLayer, batch: &Batch) -> Tensor<2> {
        let qkv = self.qkv_proj.forward(x);
        let norms = self.norms.as_ref().map(|(q, k)| HeadNorms {
            q: &q.weight,
            k: &k.weight,
            eps: q.eps,
        });
        kernels::attention(&self.compute, qkv, rotation, norms, &self.params, cache, batch)
    }
}

/// The constants of layer `layer_idx`.
fn params(config: &ModelConfig, layer_idx: usize) -> AttentionParams {
    let sliding = config.layer_types.get(layer_idx) == Some(&LayerType::Sliding);
    let scalar = config.query_pre_attn_scalar.unwrap_or(config.head_dim as f32);
    AttentionParams {
        num_heads: config.num_attention_heads,
        num_kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        scale: scalar.powf(-0.5),
        window: if sliding { config.sliding_window } else { None },
        softcap: config.attn_logit_softcapping,
    }
}
