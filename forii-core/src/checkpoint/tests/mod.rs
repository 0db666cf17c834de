//! Tests of the readers on small files written here and by other programs, and on broken ones.

mod folder;
mod gguf;
mod golden;
mod malformed_folder;
mod malformed_gguf;
mod writer;

use super::{Checkpoint, Weights};
use crate::error::LoadError;

/// Asks for everything that a decoder model loads, in the shapes that its configuration implies.
fn read_everything(checkpoint: &dyn Checkpoint) -> Result<(), LoadError> {
    let weights = Weights::new(checkpoint);
    let config = weights.config();
    let (hidden, head_dim) = (config.hidden_size, config.head_dim);
    let (q, kv) = (
        config.num_attention_heads * head_dim,
        config.num_key_value_heads * head_dim,
    );
    let gemma3 = config.architecture == "gemma3_text";
    weights.tensor("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
    weights.vector("model.norm.weight", hidden)?;
    if !config.tie_word_embeddings {
        weights.tensor("lm_head.weight", &[config.vocab_size, hidden])?;
    }
    for layer in 0..config.num_hidden_layers {
        let layer = weights.at(&format!("model.layers.{layer}"));
        layer.vector("input_layernorm.weight", hidden)?;
        layer.vector("post_attention_layernorm.weight", hidden)?;
        if gemma3 {
            layer.vector("pre_feedforward_layernorm.weight", hidden)?;
            layer.vector("post_feedforward_layernorm.weight", hidden)?;
        }
        let attention = layer.at("self_attn");
        for (name, rows, cols) in [
            ("q_proj", q, hidden),
            ("k_proj", kv, hidden),
            ("v_proj", kv, hidden),
            ("o_proj", hidden, q),
        ] {
            attention.tensor(&format!("{name}.weight"), &[rows, cols])?;
            if attention.has(&format!("{name}.bias")) {
                attention.vector(&format!("{name}.bias"), rows)?;
            }
        }
        if gemma3 || config.architecture == "qwen3" {
            attention.vector("q_norm.weight", head_dim)?;
            attention.vector("k_norm.weight", head_dim)?;
        }
        let mlp = layer.at("mlp");
        mlp.tensor("gate_proj.weight", &[config.intermediate_size, hidden])?;
        mlp.tensor("up_proj.weight", &[config.intermediate_size, hidden])?;
        mlp.tensor("down_proj.weight", &[hidden, config.intermediate_size])?;
        mlp.release("down_proj.weight");
    }
    Ok(())
}

/// Asserts that an error names the file and each of the expected things.
#[track_caller]
fn assert_names(case: &str, error: &LoadError, file: &str, expected: &[&str]) {
    let text = error.to_string();
    for part in std::iter::once(&file).chain(expected) {
        assert!(text.contains(part), "{case}: '{text}' does not say '{part}'");
    }
    assert!(text.len() < 700, "{case}: {} characters of error", text.len());
}
