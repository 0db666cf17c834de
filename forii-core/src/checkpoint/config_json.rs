//! `ModelConfig` from a Hugging Face config.json, in the spellings of transformers 4 and 5, and from
//! generation_config.json. Where a key is absent, the default is that of the model's config class.

use serde_json::Value;

use super::config::{Activation, GenerationDefaults, LayerType, ModelConfig, RopeConfig, RopeScaling};
use super::json::Object;
use super::names::{FAMILIES, Family};
use super::validate::MAX_LAYERS;
use crate::error::LoadError;

/// Reads and checks a configuration. `generation` is generation_config.json, where there is one.
pub(super) fn read(
    top: Object<'_>,
    generation: Option<Object<'_>>,
) -> Result<(&'static Family, ModelConfig), LoadError> {
    let model_type = top.str("model_type")?.ok_or_else(|| top.missing("model_type"))?;
    let Some(family) = FAMILIES
        .iter()
        .find(|family| family.model_types.contains(&model_type))
    else {
        let known: Vec<&str> = FAMILIES
            .iter()
            .flat_map(|family| family.model_types)
            .copied()
            .collect();
        return Err(top.unsupported(
            "model_type",
            format!("'{model_type}' is none of {}", known.join(", ")),
        ));
    };
    if top.get("quantization_config").is_some() {
        let problem = "quantized safetensors; take the original weights or a GGUF file";
        return Err(top.unsupported("quantization_config", problem));
    }
    // Models that see images nest what is about text.
    let text = top.object("text_config", "text_config.")?.unwrap_or(top);
    let is_gemma3 = family.architecture == "gemma3_text";
    for key in ["mlp_bias", "use_bidirectional_attention"] {
        if text.bool(key)? == Some(true) {
            return Err(text.unsupported(key, "true"));
        }
    }
    // Gemma 3's own files leave out what its config class has as a default.
    let or_gemma3 = |key: &str, default: usize| match text.usize(key)? {
        Some(value) => Ok(value),
        None if is_gemma3 => Ok(default),
        None => Err(text.missing(key)),
    };
    let num_hidden_layers = text.required("num_hidden_layers")?;
    let hidden_size = text.required("hidden_size")?;
    let num_attention_heads = or_gemma3("num_attention_heads", 8)?;
    let max_position_embeddings = or_gemma3("max_position_embeddings", 131_072)?;
    let head_dim = match text.usize("head_dim")? {
        Some(width) => width,
        None if is_gemma3 => 256,
        None => hidden_size.checked_div(num_attention_heads).unwrap_or(0),
    };
    let (layer_types, sliding_window) = attention(&text, model_type, is_gemma3, num_hidden_layers)?;
    let (rope, rope_local_theta) = rope(&text, is_gemma3, max_position_embeddings)?;
    let mut eos_token_ids = Vec::new();
    for id in [Some(top), Some(text), generation]
        .into_iter()
        .flatten()
        .map(|object| object.ids("eos_token_id"))
    {
        for id in id? {
            if !eos_token_ids.contains(&id) {
                eos_token_ids.push(id);
            }
        }
    }
    let config = ModelConfig {
        architecture: family.architecture.to_string(),
        vocab_size: or_gemma3("vocab_size", 262_208)?,
        hidden_size,
        intermediate_size: text.required("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: match text.usize("num_key_value_heads")? {
            Some(heads) => heads,
            None if is_gemma3 => 4,
            None if model_type == "llama" => num_attention_heads,
            None => return Err(text.missing("num_key_value_heads")),
        },
        head_dim,
        max_position_embeddings,
        rms_norm_eps: text.f32("rms_norm_eps")?.unwrap_or(1e-6),
        hidden_act: activation(&text, is_gemma3)?,
        rope,
        rope_local_theta,
        tie_word_embeddings: match top.bool("tie_word_embeddings")? {
            Some(tied) => tied,
            None => text.bool("tie_word_embeddings")?.unwrap_or(is_gemma3),
        },
        sliding_window,
        layer_types,
        query_pre_attn_scalar: text.f32("query_pre_attn_scalar")?.or(is_gemma3.then_some(256.0)),
        final_logit_softcapping: text.f32("final_logit_softcapping")?,
        attn_logit_softcapping: text.f32("attn_logit_softcapping")?,
        bos_token_id: top
            .ids("bos_token_id")?
            .first()
            .or(text.ids("bos_token_id")?.first())
            .copied(),
        eos_token_ids,
        generation: generation.map_or_else(|| Ok(GenerationDefaults::default()), |file| sampling(&file))?,
    };
    config.validate(top.path, |field| format!("{}{field}", text.prefix))?;
    Ok((family, config))
}

fn sampling(file: &Object<'_>) -> Result<GenerationDefaults, LoadError> {
    Ok(GenerationDefaults {
        temperature: file.f32("temperature")?,
        top_p: file.f32("top_p")?,
        top_k: file.usize("top_k")?.and_then(|k| u32::try_from(k).ok()),
        repetition_penalty: file.f32("repetition_penalty")?,
    })
}

fn activation(text: &Object<'_>, is_gemma3: bool) -> Result<Activation, LoadError> {
    let key = if is_gemma3 {
        "hidden_activation"
    } else {
        "hidden_act"
    };
    let default = if is_gemma3 { "gelu_pytorch_tanh" } else { "silu" };
    match text.str(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        other => Err(text.unsupported(key, format!("'{other}' is none of silu, gelu_pytorch_tanh"))),
    }
}

/// What each layer's attention sees, and the width of its window.
fn attention(
    text: &Object<'_>,
    model_type: &str,
    is_gemma3: bool,
    num_layers: usize,
) -> Result<(Vec<LayerType>, Option<usize>), LoadError> {
    // Checked again with the other sizes; here, so that the list below cannot be endless.
    if num_layers > MAX_LAYERS {
        let problem = format!("{num_layers} is not between 1 and {}", MAX_LAYERS);
        return Err(text.broken("num_hidden_layers", problem));
    }
    let window = text.usize("sliding_window")?;
    let full = vec![LayerType::Full; num_layers];
    let kind = |sliding| {
        if sliding {
            LayerType::Sliding
        } else {
            LayerType::Full
        }
    };
    match model_type {
        "llama" => Ok((full, None)),
        "mistral" => Ok((vec![kind(window.is_some()); num_layers], window)),
        // A Qwen with a window that its switch turns off.
        _ if !is_gemma3 && text.bool("use_sliding_window")? != Some(true) => Ok((full, None)),
        _ => {
            let window = if is_gemma3 { window.or(Some(4096)) } else { window };
            let layers = match text.get("layer_types") {
                Some(list) => listed_layers(text, list)?,
                None if is_gemma3 => {
                    let period = text.usize("sliding_window_pattern")?.unwrap_or(6);
                    (0..num_layers)
                        .map(|layer| kind(!(layer + 1).is_multiple_of(period)))
                        .collect()
                }
                None => {
                    let first = text.usize("max_window_layers")?.unwrap_or(28);
                    (0..num_layers)
                        .map(|layer| kind(window.is_some() && layer >= first))
                        .collect()
                }
            };
            Ok((layers, window))
        }
    }
}

fn listed_layers(text: &Object<'_>, list: &Value) -> Result<Vec<LayerType>, LoadError> {
    let list = list
        .as_array()
        .ok_or_else(|| text.broken("layer_types", "expected a list"))?;
    let kind = |value: &Value| match value.as_str() {
        Some("full_attention") => Ok(LayerType::Full),
        Some("sliding_attention") => Ok(LayerType::Sliding),
        _ => {
            let problem = format!("{value} is none of full_attention, sliding_attention");
            Err(text.unsupported("layer_types", problem))
        }
    };
    list.iter().map(kind).collect()
}

/// The rotary embedding of full layers, and the base of sliding ones where it differs.
fn rope(
    text: &Object<'_>,
    is_gemma3: bool,
    context_len: usize,
) -> Result<(RopeConfig, Option<f64>), LoadError> {
    // transformers 4 has `rope_theta` and `rope_scaling`, 5 has all of it in `rope_parameters`.
    let parameters = text.object("rope_parameters", "rope_parameters.")?;
    let default_theta = if is_gemma3 { 1_000_000.0 } else { 10_000.0 };
    let outer_theta = text.f64("rope_theta")?.unwrap_or(default_theta);
    let Some(parameters) = parameters else {
        let scaling = match text.object("rope_scaling", "rope_scaling.")? {
            Some(object) => rope_scaling(text, &object, context_len)?,
            None => RopeScaling::None,
        };
        full_rotation(text)?;
        let local = text.f64("rope_local_base_freq")?.unwrap_or(10_000.0);
        return Ok((
            RopeConfig {
                theta: outer_theta,
                scaling,
            },
            is_gemma3.then_some(local),
        ));
    };
    let full = parameters.object("full_attention", "rope_parameters.full_attention.")?;
    let sliding = parameters.object("sliding_attention", "rope_parameters.sliding_attention.")?;
    if !is_gemma3 {
        if full.is_some() || sliding.is_some() {
            let problem = "one rotary embedding for each type of layer";
            return Err(text.unsupported("rope_parameters", problem));
        }
        let theta = parameters.f64("rope_theta")?.unwrap_or(outer_theta);
        let scaling = rope_scaling(text, &parameters, context_len)?;
        return Ok((RopeConfig { theta, scaling }, None));
    }
    let full = full.ok_or_else(|| parameters.missing("full_attention"))?;
    let theta = full.f64("rope_theta")?.unwrap_or(outer_theta);
    let scaling = rope_scaling(text, &full, context_len)?;
    let mut local = None;
    if let Some(sliding) = sliding {
        if rope_scaling(text, &sliding, context_len)? != RopeScaling::None {
            return Err(sliding.unsupported("rope_type", "a scaled rotary embedding in sliding layers"));
        }
        local = sliding.f64("rope_theta")?;
    }
    Ok((RopeConfig { theta, scaling }, Some(local.unwrap_or(10_000.0))))
}

fn full_rotation(object: &Object<'_>) -> Result<(), LoadError> {
    match object.f64("partial_rotary_factor")? {
        Some(factor) if factor != 1.0 => Err(object.unsupported(
            "partial_rotary_factor",
            format!("{factor}; only whole heads are rotated"),
        )),
        _ => Ok(()),
    }
}

fn rope_scaling(
    text: &Object<'_>,
    object: &Object<'_>,
    context_len: usize,
) -> Result<RopeScaling, LoadError> {
    full_rotation(object)?;
    let key = if object.get("rope_type").is_some() {
        "rope_type"
    } else {
        "type"
    };
    // Phi-3 and its kin keep the original context beside the object, and there it wins.
    let original = match text.usize("original_max_position_embeddings")? {
        Some(original) => original,
        None => object
            .usize("original_max_position_embeddings")?
            .unwrap_or(context_len),
    };
    Ok(match object.str(key)?.unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear {
            factor: object.required_f64("factor")?,
        },
        "llama3" => RopeScaling::Llama3 {
            factor: object.required_f64("factor")?,
            low_freq_factor: object.required_f64("low_freq_factor")?,
            high_freq_factor: object.required_f64("high_freq_factor")?,
            original_max_position_embeddings: original,
        },
        "yarn" => RopeScaling::Yarn {
            factor: object
                .f64("factor")?
                .unwrap_or(context_len as f64 / original as f64),
            attention_factor: object.f64("attention_factor")?,
            beta_fast: object.f64("beta_fast")?.unwrap_or(32.0),
            beta_slow: object.f64("beta_slow")?.unwrap_or(1.0),
            mscale: object.f64("mscale")?,
            mscale_all_dim: object.f64("mscale_all_dim")?,
            original_max_position_embeddings: original,
            truncate: object.bool("truncate")?.unwrap_or(true),
        },
        "longrope" | "su" => RopeScaling::LongRope {
            short_factor: object.numbers("short_factor")?,
            long_factor: object.numbers("long_factor")?,
            attention_factor: object.f64("attention_factor")?,
            factor: object.f64("factor")?,
            original_max_position_embeddings: original,
        },
        other => {
            let problem = format!("'{other}' is none of default, linear, llama3, yarn, longrope");
            return Err(object.unsupported(key, problem));
        }
    })
}
