//! Gemma 3 (text): norms before and after each block, norms on query and key heads, scaled
//! embeddings, and two kinds of layers that alternate: sliding windows with a short rotary base
//! and full attention with a long one. Norm weights are the final multipliers.

use burn::tensor::Tensor;
use half::bf16;

use crate::checkpoint::Weights;
use crate::checkpoint::config::{LayerType, ModelConfig, RopeConfig, RopeScaling};
use crate::error::LoadError;
use crate::kernels::{Batch, Compute, KvCache, KvLayer, KvShape, Rotation};
use crate::nn::attention::AttentionOptions;
use crate::nn::{Attention, Embedding, Linear, Mlp, RmsNorm, RotaryEmbedding};
use crate::quant::QuantFormat;

use super::decoder::{kv_shape, load_lm_head};
use super::{Architecture, Model, select_rows};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    names: &["gemma3_text"],
    load,
};

fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    Ok(Box::new(Gemma3ForCausalLm::load(weights, compute)?))
}

#[derive(Debug)]
struct Gemma3ForCausalLm {
    embed_tokens: Embedding,
    embed_scale: f32,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// For `LayerType::Full`.
    rotary_emb: RotaryEmbedding,
    /// For `LayerType::Sliding`.
    rotary_emb_local: RotaryEmbedding,
    lm_head: Linear,
    final_logit_softcapping: Option<f32>,
    kv_shape: KvShape,
}

impl Gemma3ForCausalLm {
    fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Self, LoadError> {
        let config = weights.config();
        let model = weights.at("model");
        let shape = [config.vocab_size, config.hidden_size];
        let format = model.tensor("embed_tokens.weight", &shape)?.format;
        // The largest tables first: while one is packed, it is in memory twice.
        let embed_tokens = Embedding::load(compute, &model, "embed_tokens", shape)?;
        let lm_head = load_lm_head(weights, compute, &embed_tokens)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| DecoderLayer::load(&model.at(&format!("layers.{index}")), compute, config, index));
        let rotary_emb =
            |rope| RotaryEmbedding::new(compute, config.head_dim, config.max_position_embeddings, rope);
        let theta = config.rope_local_theta.unwrap_or(config.rope.theta);
        Ok(Self {
            embed_scale: embed_scale(config.hidden_size, format),
            layers: layers.collect::<Result<_, _>>()?,
            norm: RmsNorm::load(compute, &model, "norm", config.hidden_size, config.rms_norm_eps)?,
            rotary_emb: rotary_emb(&config.rope),
            rotary_emb_local: rotary_emb(&RopeConfig {
                theta,
                scaling: RopeScaling::None,
            }),
            lm_head,
            embed_tokens,
            final_logit_softcapping: config.final_logit_softcapping,
            kv_shape: kv_shape(config),
        })
    }
}

/// `sqrt(hidden_size)`, rounded as the model was trained where its table is bfloat16.
fn embed_scale(hidden_size: usize, format: QuantFormat) -> f32 {
    let scale = (hidden_size as f64).sqrt() as f32;
    if format == QuantFormat::BF16 {
        bf16::from_f32(scale).to_f32()
    } else {
        scale
    }
}

impl Model for Gemma3ForCausalLm {
    fn kv_shape(&self) -> KvShape {
        self.kv_shape.clone()
    }

    fn hidden(&self, batch: &Batch, cache: &mut KvCache) -> Tensor<2> {
        let rotation = self.rotary_emb.forward(batch);
        let rotation_local = self.rotary_emb_local.forward(batch);
        let mut hidden_states = self
            .embed_tokens
            .forward(&batch.tokens)
            .mul_scalar(self.embed_scale);
        let count = self.layers.len();
        for (index, (layer, cache)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            let rotation = match layer.layer_type {
                LayerType::Full => &rotation,
                LayerType::Sliding => &rotation_local,
            };
            let outputs = (index + 1 == count).then_some(batch.outputs.as_slice());
            hidden_states = layer.forward(hidden_states, rotation, cache, batch, outputs);
        }
        self.norm.forward(hidden_states)
    }

    fn scores(&self, hidden: Tensor<2>) -> Tensor<2> {
        let scores = self.lm_head.forward(hidden);
        match self.final_logit_softcapping {
            Some(cap) => scores.div_scalar(cap).tanh().mul_scalar(cap),
            None => scores,
        }
    }
}

#[derive(Debug)]
struct DecoderLayer {
    layer_type: LayerType,
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    mlp: Mlp,
    post_feedforward_layernorm: RmsNorm,
}

impl DecoderLayer {
    fn load(
        weights: &Weights<'_>,
        compute: &Compute,
        config: &ModelConfig,
        index: usize,
    ) -> Result<Self, LoadError> {
        let norm = |name| RmsNorm::load(compute, weights, name, config.hidden_size, config.rms_norm_eps);
        let self_attn = weights.at("self_attn");
        let options = AttentionOptions {
            qkv_bias: self_attn.has("q_proj.bias"),
            o_bias: self_attn.has("o_proj.bias"),
            qk_norm: true,
        };
        Ok(Self {
            layer_type: config.layer_types.get(index).copied().unwrap_or(LayerType::Full),
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::load(compute, &self_attn, config, index, options)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            mlp: Mlp::load(compute, &weights.at("mlp"), config)?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        })
    }

    /// `[n, hidden_size] → [n, hidden_size]`, or only the rows of `outputs` where they are given
    /// (in the last layer: nothing reads the other rows once their keys and values are cached).
    fn forward(
        &self,
        hidden_states: Tensor<2>,
        rotation: &Rotation,
        cache: &mut KvLayer,
        batch: &Batch,
        outputs: Option<&[u32]>,
    ) -> Tensor<2> {
        let residual = hidden_states.clone();
        let hidden_states = self.input_layernorm.forward(hidden_states);
        let hidden_states = self.self_attn.forward(hidden_states, rotation, cache, batch);
        let mut hidden_states = residual + self.post_attention_layernorm.forward(hidden_states);
        if let Some(rows) = outputs {
            hidden_states = select_rows(hidden_states, rows);
        }

        let residual = hidden_states.clone();
        let hidden_states = self.pre_feedforward_layernorm.forward(hidden_states);
        let hidden_states = self.mlp.forward(hidden_states);
        residual + self.post_feedforward_layernorm.forward(hidden_states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_bfloat16_embeddings_is_bfloat16() {
        // transformers' own example: sqrt(3072) = 55.4256 becomes 55.5.
        assert_eq!(embed_scale(3072, QuantFormat::BF16), 55.5);
        assert!((embed_scale(3072, QuantFormat::F32) - 55.425_625).abs() < 1e-5);
        assert!((embed_scale(3072, QuantFormat::Q8_0) - 55.425_625).abs() < 1e-5);
    }
}
