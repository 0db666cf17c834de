//! The decoder that most families share: pre-norm layers of attention and a gated feed-forward
//! block around one residual stream. A family's file says what it adds to attention.

use burn::tensor::Tensor;

use crate::checkpoint::Weights;
use crate::checkpoint::config::ModelConfig;
use crate::error::LoadError;
use crate::kernels::{Batch, Compute, KvCache, KvLayer, KvLayerShape, KvShape, Rotation};
use crate::nn::attention::AttentionOptions;
use crate::nn::{Attention, Embedding, Linear, Mlp, RmsNorm, RotaryEmbedding};

use super::{Model, select_rows};

/// `…ForCausalLM`: a decoder and its output layer.
#[derive(Debug)]
pub(super) struct Decoder {
    embed_tokens: Embedding,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    rotary_emb: RotaryEmbedding,
    lm_head: Linear,
    kv_shape: KvShape,
}

impl Decoder {
    pub(super) fn load(
        weights: &Weights<'_>,
        compute: &Compute,
        options: AttentionOptions,
    ) -> Result<Self, LoadError> {
        let config = weights.config();
        let model = weights.at("model");
        let table = [config.vocab_size, config.hidden_size];
        // The largest tables first: while one is packed, it is in memory twice.
        let embed_tokens = Embedding::load(compute, &model, "embed_tokens", table)?;
        let lm_head = load_lm_head(weights, compute, &embed_tokens)?;
        let layers = (0..config.num_hidden_layers).map(|index| {
            DecoderLayer::load(
                &model.at(&format!("layers.{index}")),
                compute,
                config,
                index,
                options,
            )
        });
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            norm: RmsNorm::load(compute, &model, "norm", config.hidden_size, config.rms_norm_eps)?,
            rotary_emb: RotaryEmbedding::new(
                compute,
                config.head_dim,
                config.max_position_embeddings,
                &config.rope,
            ),
            lm_head,
            embed_tokens,
            kv_shape: kv_shape(config),
        })
    }
}

impl Model for Decoder {
    fn kv_shape(&self) -> KvShape {
        self.kv_shape.clone()
    }

    fn hidden(&self, batch: &Batch, cache: &mut KvCache) -> Tensor<2> {
        let rotation = self.rotary_emb.forward(batch);
        let mut hidden_states = self.embed_tokens.forward(&batch.tokens);
        let count = self.layers.len();
        for (index, (layer, cache)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            let outputs = (index + 1 == count).then_some(batch.outputs.as_slice());
            hidden_states = layer.forward(hidden_states, &rotation, cache, batch, outputs);
        }
        self.norm.forward(hidden_states)
    }

    fn scores(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.lm_head.forward(hidden)
    }
}

/// One layer: attention, then the feed-forward block, each behind a norm.
#[derive(Debug)]
struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl DecoderLayer {
    fn load(
        weights: &Weights<'_>,
        compute: &Compute,
        config: &ModelConfig,
        index: usize,
        options: AttentionOptions,
    ) -> Result<Self, LoadError> {
        let norm = |name| RmsNorm::load(compute, weights, name, config.hidden_size, config.rms_norm_eps);
        let self_attn = weights.at("self_attn");
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::load(compute, &self_attn, config, index, options)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp::load(compute, &weights.at("mlp"), config)?,
        })
    }

    /// `[n, hidden_size] → [n, hidden_size]`, or only the rows of `outputs` where they are given
    /// (in the last layer: nothing reads the other rows once their keys and values are cached).
    fn forward(
        &self,
        hidden_states: Tensor<2>,
        rotation: &Rotation,
        cache: &mut KvLayer,
        batch: &Batch,
        outputs: Option<&[u32]>,
    ) -> Tensor<2> {
        let residual = hidden_states.clone();
        let hidden_states = self.input_layernorm.forward(hidden_states);
        let mut hidden_states = self
            .self_attn
            .forward_add(hidden_states, residual, rotation, cache, batch);
        if let Some(rows) = outputs {
            hidden_states = select_rows(hidden_states, rows);
        }

        let residual = hidden_states.clone();
        let hidden_states = self.post_attention_layernorm.forward(hidden_states);
        self.mlp.forward_add(hidden_states, residual)
    }
}

/// `lm_head`, or the embedding table where the two are tied.
pub(super) fn load_lm_head(
    weights: &Weights<'_>,
    compute: &Compute,
    embed_tokens: &Embedding,
) -> Result<Linear, LoadError> {
    let config = weights.config();
    if config.tie_word_embeddings {
        return Ok(embed_tokens.as_linear());
    }
    Linear::load(
        compute,
        weights,
        "lm_head",
        [config.vocab_size, config.hidden_size],
        false,
    )
}

/// A key and a value for each head, in every layer.
pub(super) fn kv_shape(config: &ModelConfig) -> KvShape {
    let heads = KvLayerShape::Heads {
        num_kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
    };
    KvShape {
        layers: vec![heads; config.num_hidden_layers],
    }
}
