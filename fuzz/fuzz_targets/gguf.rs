//! Any bytes as a GGUF file: no panic, no hang, and never more memory at one time than four times
//! the file (and two kilobytes for messages).
#![no_main]

use std::path::Path;

use bytes::Bytes;
use forii_core::checkpoint::{Checkpoint, GgufCheckpoint, Weights};
use forii_core::error::LoadError;
use forii_fuzz::{Counting, bounded};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Messages, and what does not depend on the file.
const SLACK: usize = 2048;

const LAYER: [&str; 18] = [
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "pre_feedforward_layernorm.weight",
    "post_feedforward_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.q_proj.bias",
    "self_attn.k_proj.weight",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.weight",
    "self_attn.v_proj.bias",
    "self_attn.o_proj.weight",
    "self_attn.o_proj.bias",
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "mlp.no_such.weight",
];

fn read(file: Bytes) -> Result<usize, LoadError> {
    let checkpoint = GgufCheckpoint::from_bytes(Path::new("fuzzed.gguf"), file)?;
    let mut bytes_seen = checkpoint.chat_template().map_or(0, str::len);
    bytes_seen += checkpoint
        .vocab()
        .map_or(0, |vocab| vocab.tokens.len() + vocab.merges.len());
    let weights = Weights::new(&checkpoint);
    let hidden = weights.config().hidden_size;
    let mut see = |name: &str| {
        if let Ok(view) = checkpoint.tensor(name) {
            bytes_seen += view.data.len();
            let blocks = view.shape.iter().product::<usize>() / view.format.block_len();
            assert_eq!(view.data.len(), blocks * view.format.block_bytes());
        }
        // Errors are the point; what is read is dropped at once.
        drop(weights.vector(name, hidden));
        checkpoint.release(name);
    };
    for name in ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"] {
        see(name);
    }
    for layer in 0..weights.config().num_hidden_layers {
        for name in LAYER {
            see(&format!("model.layers.{layer}.{name}"));
        }
    }
    Ok(bytes_seen)
}

fuzz_target!(|data: &[u8]| {
    let file = Bytes::copy_from_slice(data);
    bounded(4 * data.len() + SLACK, || {
        if let Err(error) = read(file) {
            assert!(error.to_string().contains("fuzzed.gguf"), "{error}");
        }
    });
});
