//! `ModelConfig` from GGUF metadata: llama.cpp's keys and its defaults where a key is absent.

use super::GgufFiles;
use super::metadata::Metadata;
use super::value::{Shown, Value};
use crate::checkpoint::config::{
    Activation, GenerationDefaults, LayerType, ModelConfig, RopeConfig, RopeScaling,
};
use crate::checkpoint::names::{FAMILIES, Family, ROPE_FREQS, ROPE_LONG, ROPE_SHORT};
use crate::checkpoint::unsupported;
use crate::error::LoadError;
use crate::quant::QuantFormat;

/// Gemma 3 interleaves five sliding layers with a full one unless the file says otherwise.
const GEMMA3_PERIOD: usize = 6;
/// The only Gemma 3 whose queries are scaled by something else than the width of a head (27B).
const GEMMA3_27B_LAYERS: usize = 62;

/// The architecture that the file names.
pub(super) fn family(meta: &Metadata<'_>) -> Result<&'static Family, LoadError> {
    const KEY: &str = "general.architecture";
    let name = meta.str(KEY)?.ok_or_else(|| meta.missing(KEY))?;
    FAMILIES.iter().find(|family| family.gguf == name).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.gguf).collect();
        unsupported(
            meta.path,
            format!("{KEY} '{}'", Shown(name.as_bytes())),
            format!("it is one of {}", known.join(", ")),
        )
    })
}

/// Reads and checks the configuration.
pub(super) fn read(
    meta: &Metadata<'_>,
    family: &Family,
    files: &GgufFiles,
) -> Result<ModelConfig, LoadError> {
    let arch = family.gguf;
    let key = |name: &str| format!("{arch}.{name}");
    let is_gemma3 = arch == "gemma3";
    refuse_experts(meta, &key("expert_count"))?;

    let num_hidden_layers = meta.required(&key("block_count"))?;
    if num_hidden_layers > files.num_tensors() {
        let problem = format!(
            "{num_hidden_layers} layers, but only {} tensors",
            files.num_tensors()
        );
        return Err(meta.broken(&key("block_count"), problem));
    }
    let hidden_size = meta.required(&key("embedding_length"))?;
    let num_attention_heads = meta.required(&key("attention.head_count"))?;
    let vocab_size = match meta.strings("tokenizer.ggml.tokens")? {
        Some(tokens) => tokens.len,
        None => meta.required(&key("vocab_size"))?,
    };
    let head_dim = match meta.usize(&key("attention.key_length"))? {
        Some(width) => width,
        None => hidden_size.checked_div(num_attention_heads).unwrap_or(0),
    };
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(width) = meta.usize(&key(name))?.filter(|width| *width != head_dim) {
            let problem = format!("{width}; it must be the width of a head, {head_dim}");
            return Err(unsupported(
                meta.path,
                format!("the key '{}'", key(name)),
                problem,
            ));
        }
    }
    let max_position_embeddings = meta.required(&key("context_length"))?;
    let sliding_window = meta
        .usize(&key("attention.sliding_window"))?
        .filter(|window| *window > 0);
    let layer_types = match sliding_window {
        None => vec![LayerType::Full; num_hidden_layers],
        Some(_) => layer_types(
            meta,
            &key("attention.sliding_window_pattern"),
            is_gemma3,
            num_hidden_layers,
        )?,
    };
    let config = ModelConfig {
        architecture: family.architecture.to_string(),
        vocab_size,
        hidden_size,
        intermediate_size: meta.required(&key("feed_forward_length"))?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: meta
            .usize(&key("attention.head_count_kv"))?
            .unwrap_or(num_attention_heads),
        head_dim,
        max_position_embeddings,
        rms_norm_eps: meta
            .f32(&key("attention.layer_norm_rms_epsilon"))?
            .ok_or_else(|| meta.missing(&key("attention.layer_norm_rms_epsilon")))?,
        hidden_act: if is_gemma3 {
            Activation::GeluTanh
        } else {
            Activation::Silu
        },
        rope: RopeConfig {
            theta: meta.f64(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            scaling: rope_scaling(meta, arch, files, head_dim, max_position_embeddings)?,
        },
        rope_local_theta: if is_gemma3 {
            Some(meta.f64(&key("rope.freq_base_swa"))?.unwrap_or(10_000.0))
        } else {
            None
        },
        tie_word_embeddings: files.find("output.weight").is_none(),
        sliding_window,
        layer_types,
        query_pre_attn_scalar: (is_gemma3 && num_hidden_layers == GEMMA3_27B_LAYERS)
            .then(|| hidden_size.checked_div(num_attention_heads).unwrap_or(0) as f32),
        final_logit_softcapping: meta
            .f32(&key("final_logit_softcapping"))?
            .filter(|cap| *cap != 0.0),
        attn_logit_softcapping: meta
            .f32(&key("attn_logit_softcapping"))?
            .filter(|cap| *cap != 0.0),
        bos_token_id: meta.u32("tokenizer.ggml.bos_token_id")?,
        eos_token_ids: eos_token_ids(meta)?,
        generation: GenerationDefaults {
            temperature: meta.f32("general.sampling.temp")?,
            top_p: meta.f32("general.sampling.top_p")?,
            top_k: meta.u32("general.sampling.top_k")?,
            repetition_penalty: meta.f32("general.sampling.penalty_repeat")?,
        },
    };
    config.validate(meta.path, |field| spelling(arch, field))?;
    Ok(config)
}

/// The key behind a field of `ModelConfig`.
fn spelling(arch: &str, field: &str) -> String {
    let name = match field {
        "vocab_size" => return "tokenizer.ggml.tokens".to_string(),
        "bos_token_id" => return "tokenizer.ggml.bos_token_id".to_string(),
        "eos_token_id" => return "tokenizer.ggml.eos_token_id".to_string(),
        "hidden_size" => "embedding_length",
        "intermediate_size" => "feed_forward_length",
        "num_hidden_layers" => "block_count",
        "num_attention_heads" => "attention.head_count",
        "num_key_value_heads" => "attention.head_count_kv",
        "head_dim" => "attention.key_length",
        "max_position_embeddings" => "context_length",
        "rms_norm_eps" => "attention.layer_norm_rms_epsilon",
        "rope_theta" => "rope.freq_base",
        "rope_local_base_freq" => "rope.freq_base_swa",
        "rope_scaling" => "rope.scaling",
        "sliding_window" => "attention.sliding_window",
        other => other,
    };
    format!("{arch}.{name}")
}

fn refuse_experts(meta: &Metadata<'_>, key: &str) -> Result<(), LoadError> {
    match meta.usize(key)? {
        None | Some(0) => Ok(()),
        Some(count) => {
            let problem = format!("{count} experts; mixtures of experts are not read yet");
            Err(unsupported(meta.path, format!("the key '{key}'"), problem))
        }
    }
}

/// A pattern is one bool per layer, or a period whose last layer is full.
fn layer_types(
    meta: &Metadata<'_>,
    key: &str,
    is_gemma3: bool,
    num_layers: usize,
) -> Result<Vec<LayerType>, LoadError> {
    let kind = |sliding| {
        if sliding {
            LayerType::Sliding
        } else {
            LayerType::Full
        }
    };
    if let Some(Value::Array(_)) = meta.get(key) {
        let layers = meta.numbers(key, |value| match value {
            Value::Bool(sliding) => Some(kind(sliding)),
            other => other.as_u64().map(|number| kind(number != 0)),
        })?;
        if layers.len() != num_layers {
            return Err(meta.broken(key, format!("{} entries for {num_layers} layers", layers.len())));
        }
        return Ok(layers);
    }
    // A period of 0 has no full layer, as in Mistral.
    let period = meta
        .usize(key)?
        .unwrap_or(if is_gemma3 { GEMMA3_PERIOD } else { 0 });
    Ok((0..num_layers)
        .map(|layer| kind(period == 0 || layer % period < period - 1))
        .collect())
}

fn eos_token_ids(meta: &Metadata<'_>) -> Result<Vec<u32>, LoadError> {
    let mut ids = Vec::new();
    for name in ["eos", "eot", "eom"] {
        if let Some(id) = meta
            .u32(&format!("tokenizer.ggml.{name}_token_id"))?
            .filter(|id| !ids.contains(id))
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn rope_scaling(
    meta: &Metadata<'_>,
    arch: &str,
    files: &GgufFiles,
    head_dim: usize,
    context_len: usize,
) -> Result<RopeScaling, LoadError> {
    let key = |name: &str| format!("{arch}.rope.{name}");
    let factor = match meta.f64(&key("scaling.factor"))? {
        None => meta.f64(&key("scale_linear"))?,
        factor => factor,
    };
    // llama.cpp writes 0 for "none given".
    let factor = factor.filter(|factor| *factor != 0.0);
    let original = meta
        .usize(&key("scaling.original_context_length"))?
        .unwrap_or(context_len);
    // Multiplies cos and sin on top of what YaRN itself asks for.
    let attn_factor = meta.f64(&key("scaling.attn_factor"))?;
    let ty = meta.str(&key("scaling.type"))?;
    if attn_factor.is_some_and(|factor| factor != 1.0) && !matches!(ty, Some("yarn" | "longrope")) {
        let item = format!("the key '{}'", key("scaling.attn_factor"));
        return Err(unsupported(
            meta.path,
            item,
            "it belongs to yarn and longrope alone",
        ));
    }
    let scaling = match ty {
        None | Some("linear") => factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor }),
        Some("none") => RopeScaling::None,
        Some("yarn") => {
            let factor = factor.ok_or_else(|| meta.missing(&key("scaling.factor")))?;
            let own = meta.f64(&key("scaling.yarn_attn_factor"))?;
            let times = |outer: f64| outer * own.unwrap_or(1.0 + 0.1 * factor.max(1.0).ln());
            RopeScaling::Yarn {
                factor,
                attention_factor: attn_factor.map(times).or(own),
                beta_fast: meta.f64(&key("scaling.yarn_beta_fast"))?.unwrap_or(32.0),
                beta_slow: meta.f64(&key("scaling.yarn_beta_slow"))?.unwrap_or(1.0),
                mscale: None,
                mscale_all_dim: None,
                original_max_position_embeddings: original,
                truncate: true,
            }
        }
        Some("longrope") => {
            let factors = |name: &str| -> Result<Vec<f64>, LoadError> {
                let factors =
                    rope_factors(files, name, head_dim)?.ok_or_else(|| LoadError::MissingTensor {
                        path: meta.path.to_path_buf(),
                        tensor: name.to_string(),
                    })?;
                Ok(factors.into_iter().map(f64::from).collect())
            };
            RopeScaling::LongRope {
                short_factor: factors(ROPE_SHORT)?,
                long_factor: factors(ROPE_LONG)?,
                attention_factor: attn_factor,
                factor,
                original_max_position_embeddings: original,
            }
        }
        Some(other) => {
            let item = format!("the key '{}'", key("scaling.type"));
            let problem = format!(
                "'{}' is none of none, linear, yarn, longrope",
                Shown(other.as_bytes())
            );
            return Err(unsupported(meta.path, item, problem));
        }
    };
    match (rope_factors(files, ROPE_FREQS, head_dim)?, scaling) {
        (None, scaling) => Ok(scaling),
        (Some(factors), RopeScaling::None) => Ok(RopeScaling::Factors { factors }),
        (Some(_), _) => {
            let problem = format!("a second rotary scaling beside '{}'", key("scaling.type"));
            Err(unsupported(meta.path, format!("tensor '{ROPE_FREQS}'"), problem))
        }
    }
}

/// A tensor of one divisor for each rotary frequency.
fn rope_factors(files: &GgufFiles, name: &str, head_dim: usize) -> Result<Option<Vec<f32>>, LoadError> {
    let Some((file, info)) = files.find(name) else {
        return Ok(None);
    };
    let (path, expected) = (file.bytes.path(), vec![head_dim / 2]);
    if info.shape() != expected {
        let (tensor, found) = (name.to_string(), info.shape());
        return Err(LoadError::TensorShape {
            path: path.to_path_buf(),
            tensor,
            expected,
            found,
        });
    }
    if info.format != QuantFormat::F32 {
        let problem = format!("{}; it must be F32", info.format.name());
        return Err(unsupported(path, format!("tensor '{name}'"), problem));
    }
    let data = &file.bytes.bytes()[info.data.clone()];
    let factors = data
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default()));
    Ok(Some(factors.collect()))
}
