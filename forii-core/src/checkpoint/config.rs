//! A model's shape and constants, under the names of Hugging Face's config.json. Read from
//! config.json or from GGUF metadata; models see only this.

use std::path::Path;

use crate::error::LoadError;

/// Everything a model file needs to know to build itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// `model_type`: "llama", "qwen2", "qwen3", "gemma3_text".
    pub architecture: String,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// The longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f32,
    /// The activation of the feed-forward gate.
    pub hidden_act: Activation,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// Rotary base of sliding-window layers where it differs (Gemma 3: 10,000).
    pub rope_local_theta: Option<f64>,
    /// Whether the output layer is the embedding table.
    pub tie_word_embeddings: bool,
    /// Width of the attention window of `LayerType::Sliding` layers: a token sees itself and
    /// `sliding_window - 1` tokens before it.
    pub sliding_window: Option<usize>,
    /// One entry per layer.
    pub layer_types: Vec<LayerType>,
    /// Attention scores are multiplied by `query_pre_attn_scalar^-0.5`; `head_dim` where absent.
    pub query_pre_attn_scalar: Option<f32>,
    /// `tanh` soft cap of the final scores.
    pub final_logit_softcapping: Option<f32>,
    /// `tanh` soft cap of the attention scores.
    pub attn_logit_softcapping: Option<f32>,
    /// The beginning-of-sequence token.
    pub bos_token_id: Option<u32>,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
    /// The model's own sampling defaults (generation_config.json).
    pub generation: GenerationDefaults,
}

/// What a layer's attention sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// All earlier tokens.
    Full,
    /// The last `sliding_window` tokens.
    Sliding,
}

/// The activation of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `gelu_pytorch_tanh`: GELU with the tanh approximation.
    GeluTanh,
}

/// Rotary position embedding: base and stretching.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// The base of the frequencies.
    pub theta: f64,
    /// How a longer context than trained is reached.
    pub scaling: RopeScaling,
}

/// Hugging Face's `rope_scaling`, with the names of `modeling_rope_utils.py`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// No stretching.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, a smooth passage to the high ones.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` stay.
        high_freq_factor: f64,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// The stretch.
        factor: f64,
        /// Multiplies cos and sin; computed from `factor`, `mscale` and `mscale_all_dim` where absent.
        attention_factor: Option<f64>,
        /// Where extrapolation ends, in rotations (32).
        beta_fast: f64,
        /// Where interpolation begins, in rotations (1).
        beta_slow: f64,
        /// DeepSeek's numerator scale.
        mscale: Option<f64>,
        /// DeepSeek's denominator scale.
        mscale_all_dim: Option<f64>,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
        /// Whether the correction range is rounded to whole dimensions (true in most models).
        truncate: bool,
    },
    /// LongRoPE (arXiv 2402.13753): a factor for each frequency.
    LongRope {
        /// Factors while the sequence fits the original context; `head_dim / 2` of them.
        short_factor: Vec<f64>,
        /// Factors beyond it; `head_dim / 2` of them.
        long_factor: Vec<f64>,
        /// Multiplies cos and sin; computed from the stretch where absent.
        attention_factor: Option<f64>,
        /// `max_position_embeddings / original` where absent.
        factor: Option<f64>,
        /// The context the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// Factors per frequency stored in the file (GGUF's `rope_freqs.weight`): each frequency is
    /// divided by its factor.
    Factors {
        /// `head_dim / 2` divisors.
        factors: Vec<f32>,
    },
}

/// Sampling values that the model's makers recommend; absent where they say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Temperature.
    pub temperature: Option<f32>,
    /// Nucleus threshold.
    pub top_p: Option<f32>,
    /// Number of candidates kept.
    pub top_k: Option<u32>,
    /// Penalty on repeated tokens.
    pub repetition_penalty: Option<f32>,
}

/// Bounds far above any model, so that sizes computed from them cannot overflow.
pub(super) const MAX_LAYERS: usize = 10_000;
const MAX_VOCAB: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 24;
const MAX_HEADS: usize = 1 << 16;
const MAX_POSITIONS: usize = 1 << 30;

impl ModelConfig {
    /// Refuses what no model can have, whichever file it came from. `spell` turns a field's Hugging
    /// Face name into the file's own.
    pub(super) fn validate(&self, path: &Path, spell: impl Fn(&str) -> String) -> Result<(), LoadError> {
        let broken = |field: &str, problem: String| LoadError::Malformed {
            path: path.to_path_buf(),
            item: format!("the key '{}'", spell(field)),
            problem,
        };
        for (field, value, max) in [
            ("vocab_size", self.vocab_size, MAX_VOCAB),
            ("hidden_size", self.hidden_size, MAX_WIDTH),
            ("intermediate_size", self.intermediate_size, MAX_WIDTH),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MAX_HEADS),
            ("num_key_value_heads", self.num_key_value_heads, MAX_HEADS),
            ("head_dim", self.head_dim, MAX_HEADS),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                MAX_POSITIONS,
            ),
            ("sliding_window", self.sliding_window.unwrap_or(1), MAX_POSITIONS),
        ] {
            if value == 0 || value > max {
                return Err(broken(field, format!("{value} is not between 1 and {max}")));
            }
        }
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            let problem = format!("{heads} query heads do not divide among {kv_heads} key heads");
            return Err(broken("num_key_value_heads", problem));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(broken(
                "head_dim",
                format!("{} is odd, so it cannot be rotated", self.head_dim),
            ));
        }
        if heads * self.head_dim > MAX_WIDTH {
            return Err(broken(
                "head_dim",
                format!("{heads} heads of {} are too wide", self.head_dim),
            ));
        }
        if !(0.0..1.0).contains(&self.rms_norm_eps) {
            return Err(broken(
                "rms_norm_eps",
                format!("{} is not between 0 and 1", self.rms_norm_eps),
            ));
        }
        for (field, value) in [
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("final_logit_softcapping", self.final_logit_softcapping),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
                return Err(broken(field, format!("{value} is not a positive number")));
            }
        }
        self.validate_layers(&broken)?;
        self.validate_rope(&broken)?;
        let ids = self.bos_token_id.iter().map(|id| ("bos_token_id", id));
        for (field, id) in ids.chain(self.eos_token_ids.iter().map(|id| ("eos_token_id", id))) {
            if *id as usize >= self.vocab_size {
                return Err(broken(
                    field,
                    format!("{id} is not among the {} tokens", self.vocab_size),
                ));
            }
        }
        Ok(())
    }

    fn validate_layers(&self, broken: &impl Fn(&str, String) -> LoadError) -> Result<(), LoadError> {
        if self.layer_types.len() != self.num_hidden_layers {
            let (found, layers) = (self.layer_types.len(), self.num_hidden_layers);
            return Err(broken(
                "layer_types",
                format!("{found} entries for {layers} layers"),
            ));
        }
        if self.layer_types.contains(&LayerType::Sliding) && self.sliding_window.is_none() {
            let problem = "absent, but a layer has a sliding window".to_string();
            return Err(broken("sliding_window", problem));
        }
        Ok(())
    }

    fn validate_rope(&self, broken: &impl Fn(&str, String) -> LoadError) -> Result<(), LoadError> {
        let positive = |field: &str, name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(());
            }
            Err(broken(
                field,
                format!("the {name} {value} is not a positive number"),
            ))
        };
        positive("rope_theta", "base", self.rope.theta)?;
        positive(
            "rope_local_base_freq",
            "base",
            self.rope_local_theta.unwrap_or(1.0),
        )?;
        let scaling = |name: &str, value: f64| positive("rope_scaling", name, value);
        let factors = |name: &str, factors: &mut dyn Iterator<Item = f64>| {
            let mut count = 0;
            for factor in factors {
                scaling(name, factor)?;
                count += 1;
            }
            if count != self.head_dim / 2 {
                let problem = format!(
                    "{count} entries in {name}, not head_dim / 2 = {}",
                    self.head_dim / 2
                );
                return Err(broken("rope_scaling", problem));
            }
            Ok(())
        };
        match &self.rope.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => scaling("factor", *factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                scaling("factor", *factor)?;
                scaling("low_freq_factor", *low_freq_factor)?;
                scaling("high_freq_factor", *high_freq_factor)?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )?;
                scaling(
                    "distance from low_freq_factor to high_freq_factor",
                    high_freq_factor - low_freq_factor,
                )
            }
            RopeScaling::Yarn {
                factor,
                attention_factor,
                beta_fast,
                beta_slow,
                mscale: _,
                mscale_all_dim: _,
                original_max_position_embeddings,
                truncate: _,
            } => {
                scaling("factor", *factor)?;
                scaling("attention_factor", attention_factor.unwrap_or(1.0))?;
                scaling("beta_fast", *beta_fast)?;
                scaling("beta_slow", *beta_slow)?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                attention_factor,
                factor,
                original_max_position_embeddings,
            } => {
                factors("short_factor", &mut short_factor.iter().copied())?;
                factors("long_factor", &mut long_factor.iter().copied())?;
                scaling("attention_factor", attention_factor.unwrap_or(1.0))?;
                scaling("factor", factor.unwrap_or(1.0))?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )
            }
            RopeScaling::Factors { factors: list } => {
                factors("rope_freqs", &mut list.iter().map(|factor| f64::from(*factor)))
            }
        }
    }
}
