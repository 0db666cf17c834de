//! Qwen 3: the plain decoder with a norm on each query and key head, and no biases unless the
//! checkpoint has them (`attention_bias`).

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::Compute;
use crate::nn::attention::AttentionOptions;

use super::decoder::Decoder;
use super::{Architecture, Model};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    names: &["qwen3"],
    load,
};

fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    let self_attn = weights.at("model.layers.0.self_attn");
    let attention = AttentionOptions {
        qkv_bias: self_attn.has("q_proj.bias"),
        o_bias: self_attn.has("o_proj.bias"),
        qk_norm: true,
    };
    Ok(Box::new(Decoder::load(weights, compute, attention)?))
}
