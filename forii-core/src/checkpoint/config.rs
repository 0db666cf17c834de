//! A model's shape and constants, under the names of Hugging Face's config.json. Read from
//! config.json or from GGUF metadata; models see only this.

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
