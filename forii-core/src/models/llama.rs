//! Llama (also SmolLM2 and TinyLlama) and Mistral: the plain decoder, with attention
//! biases where the checkpoint has them (`attention_bias`). Mistral's window is in `layer_types`.

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::Compute;
use crate::nn::attention::AttentionOptions;

use super::decoder::Decoder;
use super::{Architecture, Model};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    names: &["llama", "mistral"],
    load,
};

fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    let self_attn = weights.at("model.layers.0.self_attn");
    let attention = AttentionOptions {
        qkv_bias: self_attn.has("q_proj.bias"),
        o_bias: self_attn.has("o_proj.bias"),
        qk_norm: false,
    };
    Ok(Box::new(Decoder::load(weights, compute, attention)?))
}
