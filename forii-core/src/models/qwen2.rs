//! Qwen 2 and 2.5: the plain decoder with biases on queries, keys and values.

use crate::checkpoint::Weights;
use crate::error::LoadError;
use crate::kernels::Compute;
use crate::nn::attention::AttentionOptions;

use super::decoder::Decoder;
use super::{Architecture, Model};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    names: &["qwen2"],
    load,
};

fn load(weights: &Weights<'_>, compute: &Compute) -> Result<Box<dyn Model>, LoadError> {
    let attention = AttentionOptions {
        qkv_bias: true,
        ..AttentionOptions::default()
    };
    Ok(Box::new(Decoder::load(weights, compute, attention)?))
}
