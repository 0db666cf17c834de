//! Llama (also SmolLM2 and TinyLlama) and Mistral: the plain decoder, with biases where the
//! checkpoint has them (`attention_bias`, `mlp_bias`). Mistral's window is in `layer_types`.

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::Compute;
use crate::nn::attention::AttentionOptions;

use super::decoder::{Decoder, DecoderOptions};
use super::{Architecture, Model};

pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["llama", "mistral"], load };

fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    let layer = weights.at("model.layers.0");
    let options = DecoderOptions {
        attention: AttentionOptions {
            qkv_bias: layer.has("self_attn.q_proj.bias"),
            o_bias: layer.has("self_attn.o_proj.bias"),
            qk_norm: false,
        },
        mlp_bias: layer.has("mlp.down_proj.bias"),
    };
    Ok(Box::new(Decoder::load(weights, compute, options)?))
}
