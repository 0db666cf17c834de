//! The architectures that the readers know: each one's names in config.json and GGUF, its tensors
//! under Hugging Face's and llama.cpp's names, and what each format does oddly with them.
//! Adding an architecture here is one entry of `FAMILIES`.

/// What the two formats say about one architecture.
#[derive(Debug)]
pub(super) struct Family {
    /// `ModelConfig::architecture`.
    pub(super) architecture: &'static str,
    /// `model_type` in config.json.
    pub(super) model_types: &'static [&'static str],
    /// `general.architecture` in GGUF.
    pub(super) gguf: &'static str,
    /// Tensors of one layer: after `model.layers.N.` in Hugging Face, after `blk.N.` in GGUF.
    layer: &'static [(&'static str, &'static str)],
    /// GGUF holds the rows of q and k in the order of interleaved rotation.
    pub(super) gguf_permutes_qk: bool,
    /// Hugging Face stores norm weights minus one (`x * (1 + w)`); GGUF stores the multiplier.
    pub(super) hf_norms_minus_one: bool,
}

pub(super) static FAMILIES: &[Family] = &[
    Family {
        architecture: "llama",
        // Mistral differs from Llama in its configuration alone.
        model_types: &["llama", "mistral"],
        gguf: "llama",
        layer: LLAMA_LAYER,
        gguf_permutes_qk: true,
        hf_norms_minus_one: false,
    },
    Family {
        architecture: "qwen2",
        model_types: &["qwen2"],
        gguf: "qwen2",
        layer: LLAMA_LAYER,
        gguf_permutes_qk: false,
        hf_norms_minus_one: false,
    },
    Family {
        architecture: "qwen3",
        model_types: &["qwen3"],
        gguf: "qwen3",
        layer: QWEN3_LAYER,
        gguf_permutes_qk: false,
        hf_norms_minus_one: false,
    },
    Family {
        architecture: "gemma3_text",
        model_types: &["gemma3_text", "gemma3"],
        gguf: "gemma3",
        layer: GEMMA3_LAYER,
        gguf_permutes_qk: false,
        hf_norms_minus_one: true,
    },
];

/// Tensors outside the layers, the same in every family.
const GLOBAL: &[(&str, &str)] = &[
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

/// Tensors of a GGUF file that become part of the configuration.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";
pub(super) const ROPE_LONG: &str = "rope_factors_long.weight";
pub(super) const ROPE_SHORT: &str = "rope_factors_short.weight";

const LLAMA_LAYER: &[(&str, &str)] = &[
    ("input_layernorm.weight", "attn_norm.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.q_proj.bias", "attn_q.bias"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.k_proj.bias", "attn_k.bias"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.v_proj.bias", "attn_v.bias"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.o_proj.bias", "attn_output.bias"),
    ("post_attention_layernorm.weight", "ffn_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
];

const QWEN3_LAYER: &[(&str, &str)] = &[
    ("input_layernorm.weight", "attn_norm.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.q_proj.bias", "attn_q.bias"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.k_proj.bias", "attn_k.bias"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.v_proj.bias", "attn_v.bias"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.o_proj.bias", "attn_output.bias"),
    ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    ("post_attention_layernorm.weight", "ffn_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
];

/// Beware: `post_attention_layernorm` is another norm here than in Llama.
const GEMMA3_LAYER: &[(&str, &str)] = &[
    ("input_layernorm.weight", "attn_norm.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    ("post_attention_layernorm.weight", "post_attention_norm.weight"),
    ("pre_feedforward_layernorm.weight", "ffn_norm.weight"),
    ("post_feedforward_layernorm.weight", "post_ffw_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
];

impl Family {
    /// llama.cpp's name for a tensor.
    pub(super) fn gguf_name(&self, hf_name: &str) -> Option<String> {
        if let Some((_, gguf)) = GLOBAL.iter().find(|(hf, _)| *hf == hf_name) {
            return Some((*gguf).to_string());
        }
        let (layer, rest) = layer_and_rest(hf_name, "model.layers.")?;
        let (_, gguf) = self.layer.iter().find(|(hf, _)| *hf == rest)?;
        Some(format!("blk.{layer}.{gguf}"))
    }

    /// Whether a model with this many layers has a place for the tensor with this GGUF name. A bias
    /// or an expert that nobody would read must not go unnoticed: the answers would be wrong.
    pub(super) fn knows_gguf(&self, name: &str, num_layers: usize) -> bool {
        let global = GLOBAL.iter().any(|(_, gguf)| *gguf == name);
        global
            || [ROPE_FREQS, ROPE_LONG, ROPE_SHORT].contains(&name)
            || layer_and_rest(name, "blk.").is_some_and(|(layer, rest)| {
                layer < num_layers && self.layer.iter().any(|(_, gguf)| *gguf == rest)
            })
    }

    /// The same for a Hugging Face name.
    pub(super) fn knows_hf(&self, name: &str, num_layers: usize) -> bool {
        GLOBAL.iter().any(|(hf, _)| *hf == name)
            || layer_and_rest(name, "model.layers.").is_some_and(|(layer, rest)| {
                layer < num_layers && self.layer.iter().any(|(hf, _)| *hf == rest)
            })
    }
}

/// Splits `blk.12.attn_q.weight` into 12 and `attn_q.weight`.
fn layer_and_rest<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (layer, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    let canonical = layer == "0" || !layer.starts_with('0');
    let digits = canonical && layer.bytes().all(|byte| byte.is_ascii_digit());
    Some((layer.parse().ok().filter(|_| digits)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_maps_to_one_name() {
        for family in FAMILIES {
            for (hf, gguf) in family.layer {
                let name = format!("model.layers.7.{hf}");
                assert_eq!(family.gguf_name(&name).unwrap(), format!("blk.7.{gguf}"));
                assert!(family.knows_hf(&name, 8) && !family.knows_hf(&name, 7));
                assert!(family.knows_gguf(&format!("blk.7.{gguf}"), 8));
                assert_eq!(
                    family
                        .layer
                        .iter()
                        .filter(|row| row.1 == *gguf || row.0 == *hf)
                        .count(),
                    1
                );
            }
        }
    }

    #[test]
    fn a_layer_number_is_plain_digits() {
        let llama = &FAMILIES[0];
        for layer in ["+1", "01", "-1", "", "1e1", "99999999999999999999"] {
            assert_eq!(
                llama.gguf_name(&format!("model.layers.{layer}.mlp.up_proj.weight")),
                None,
                "{layer}"
            );
        }
        assert_eq!(llama.gguf_name("model.layers.0.self_attn.q_norm.weight"), None);
    }
}
