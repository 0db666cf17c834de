//! Hugging Face folders: configurations in both spellings, weights in one file and in shards,
//! templates, tokenizer files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ::safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::read_everything;
use crate::checkpoint::config::{Activation, LayerType, ModelConfig, RopeScaling};
use crate::checkpoint::{Checkpoint, FolderCheckpoint, Weights, open};
use crate::error::LoadError;

/// The least that is a tokenizer: bytes of one letter, no merges.
const TOKENIZER: &str =
    r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;

/// A model folder under construction.
pub(super) struct Folder {
    pub(super) config: Value,
    /// Name, shape and bytes of each tensor; the same width of numbers in all.
    pub(super) tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    pub(super) dtype: Dtype,
    pub(super) dir: TempDir,
}

impl Folder {
    /// A whole model with two layers in F32: 6 tokens, width 8, 2 query heads and 1 key head of 4.
    pub(super) fn tiny(model_type: &str) -> Self {
        let config = json!({
            "model_type": model_type, "vocab_size": 6, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 50000.0,
            "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2,
        });
        let dir = tempfile::Builder::new().prefix("broken-model").tempdir().unwrap();
        let mut folder = Self {
            config,
            tensors: BTreeMap::new(),
            dtype: Dtype::F32,
            dir,
        };
        folder.add("model.embed_tokens.weight", &[6, 8]);
        folder.add("model.norm.weight", &[8]);
        for layer in 0..2 {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
            folder.add(&name("input_layernorm"), &[8]);
            folder.add(&name("post_attention_layernorm"), &[8]);
            folder.add(&name("self_attn.q_proj"), &[8, 8]);
            folder.add(&name("self_attn.k_proj"), &[4, 8]);
            folder.add(&name("self_attn.v_proj"), &[4, 8]);
            folder.add(&name("self_attn.o_proj"), &[8, 8]);
            folder.add(&name("mlp.gate_proj"), &[12, 8]);
            folder.add(&name("mlp.up_proj"), &[12, 8]);
            folder.add(&name("mlp.down_proj"), &[8, 12]);
            if model_type.starts_with("gemma3") {
                folder.add(&name("pre_feedforward_layernorm"), &[8]);
                folder.add(&name("post_feedforward_layernorm"), &[8]);
            }
            if model_type == "qwen3" || model_type.starts_with("gemma3") {
                folder.add(&name("self_attn.q_norm"), &[4]);
                folder.add(&name("self_attn.k_norm"), &[4]);
            }
        }
        folder
    }

    pub(super) fn add(&mut self, name: &str, shape: &[usize]) {
        let count: usize = shape.iter().product();
        let data = (0..count).flat_map(|i| (i as f32 / 64.0).to_le_bytes()).collect();
        self.tensors.insert(name.to_string(), (shape.to_vec(), data));
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Writes the tensors whose names `keep` takes to one safetensors file.
    pub(super) fn weights(&self, file: &str, keep: impl Fn(&str) -> bool) {
        let views = self
            .tensors
            .iter()
            .filter(|(name, _)| keep(name))
            .map(|(name, (shape, data))| {
                (
                    name.clone(),
                    TensorView::new(self.dtype, shape.clone(), data).unwrap(),
                )
            });
        self.file(file, serialize(views, None).unwrap());
    }

    /// Writes configuration and weights.
    pub(super) fn write(&self) {
        self.file("config.json", self.config.to_string());
        self.weights("model.safetensors", |_| true);
    }

    /// Writes the weights as two shards and an index.
    pub(super) fn write_shards(&self) -> Value {
        self.file("config.json", self.config.to_string());
        let first = |name: &str| name.contains(".0.");
        self.weights("model-00001-of-00002.safetensors", first);
        self.weights("model-00002-of-00002.safetensors", |name| !first(name));
        let map: BTreeMap<_, _> = self
            .tensors
            .keys()
            .map(|name| {
                (
                    name,
                    format!("model-0000{}-of-00002.safetensors", 1 + u8::from(!first(name))),
                )
            })
            .collect();
        let index = json!({ "metadata": {}, "weight_map": map });
        self.file("model.safetensors.index.json", index.to_string());
        index
    }

    pub(super) fn read(&self) -> Result<Box<dyn Checkpoint>, LoadError> {
        let checkpoint = open(self.path())?;
        read_everything(checkpoint.as_ref())?;
        checkpoint.tokenizer()?;
        Ok(checkpoint)
    }
}

/// The configuration of a tiny folder after `change`.
fn config(model_type: &str, change: impl FnOnce(&mut Value)) -> Result<ModelConfig, LoadError> {
    let mut folder = Folder::tiny(model_type);
    change(&mut folder.config);
    folder.write();
    FolderCheckpoint::open(folder.path()).map(|checkpoint| checkpoint.config().clone())
}

#[test]
fn one_file_and_shards_read_the_same() {
    let mut folder = Folder::tiny("llama");
    folder.file("tokenizer.json", TOKENIZER);
    folder.write();
    let whole = folder.read().unwrap();
    let sharded = {
        let other = Folder::tiny("llama");
        other.write_shards();
        open(other.path()).unwrap()
    };
    for (name, (shape, data)) in &folder.tensors {
        for checkpoint in [&whole, &sharded] {
            let view = checkpoint.tensor(name).unwrap();
            assert_eq!(
                (&view.shape, view.data.as_ref()),
                (shape, data.as_slice()),
                "{name}"
            );
        }
    }
    folder.dtype = Dtype::BF16;
    assert!(!whole.has_tensor("lm_head.weight"));
}

#[test]
fn gemma3_norms_become_multipliers() {
    let mut folder = Folder::tiny("gemma3_text");
    folder.file("tokenizer.json", TOKENIZER);
    folder.write();
    let checkpoint = folder.read().unwrap();
    let weights = Weights::new(checkpoint.as_ref());
    let expected: Vec<f32> = (0..8).map(|i| 1.0 + i as f32 / 64.0).collect();
    assert_eq!(weights.vector("model.norm.weight", 8).unwrap(), expected);
    let layer = weights.at("model.layers.1");
    for name in [
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
    ] {
        assert_eq!(layer.vector(&format!("{name}.weight"), 8).unwrap(), expected);
    }
    assert_eq!(layer.vector("self_attn.q_norm.weight", 4).unwrap(), expected[..4]);
    let embedding = weights.tensor("model.embed_tokens.weight", &[6, 8]).unwrap();
    assert_eq!(
        embedding.data.as_ref(),
        folder.tensors["model.embed_tokens.weight"].1
    );
    // The same model inside one that sees images, as older and newer transformers name it.
    for prefix in ["language_model.model.", "model.language_model."] {
        let mut nested = Folder::tiny("gemma3_text");
        let tensors = std::mem::take(&mut nested.tensors).into_iter();
        nested.tensors = tensors
            .map(|(name, data)| (name.replace("model.", prefix), data))
            .collect();
        nested.add("vision_tower.patch.weight", &[2, 2]);
        nested.config = json!({ "model_type": "gemma3", "text_config": nested.config });
        nested.write();
        let nested = open(nested.path()).unwrap();
        assert_eq!(nested.config(), checkpoint.config());
        assert_eq!(
            Weights::new(nested.as_ref())
                .vector("model.norm.weight", 8)
                .unwrap(),
            expected
        );
    }
    folder.config = json!({});
}

#[test]
fn halves_are_read_as_floats() {
    for (dtype, one) in [(Dtype::F16, 0x3c00_u16), (Dtype::BF16, 0x3f80)] {
        let mut folder = Folder::tiny("llama");
        folder.dtype = dtype;
        for (shape, data) in folder.tensors.values_mut() {
            *data = one.to_le_bytes().repeat(shape.iter().product());
        }
        folder.write();
        let checkpoint = open(folder.path()).unwrap();
        assert_eq!(
            Weights::new(checkpoint.as_ref())
                .vector("model.norm.weight", 8)
                .unwrap(),
            [1.0; 8]
        );
    }
}

#[test]
fn both_spellings_of_rope_mean_the_same() {
    let scalings = [
        (
            json!({ "rope_type": "linear", "factor": 8.0 }),
            RopeScaling::Linear { factor: 8.0 },
        ),
        (
            json!({ "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16 }),
            RopeScaling::Llama3 {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 16,
            },
        ),
        (
            json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16 }),
            RopeScaling::Yarn {
                factor: 4.0,
                attention_factor: None,
                beta_fast: 32.0,
                beta_slow: 1.0,
                mscale: None,
                mscale_all_dim: None,
                original_max_position_embeddings: 16,
                truncate: true,
            },
        ),
        (
            json!({ "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2, 4.0],
                "original_max_position_embeddings": 16 }),
            RopeScaling::LongRope {
                short_factor: vec![1.0, 1.5],
                long_factor: vec![2.0, 4.0],
                attention_factor: None,
                factor: None,
                original_max_position_embeddings: 16,
            },
        ),
        (json!({ "rope_type": "default" }), RopeScaling::None),
    ];
    for (scaling, expected) in scalings {
        let old = config("llama", |config| config["rope_scaling"] = scaling.clone()).unwrap();
        let new = config("llama", |config| {
            config["rope_parameters"] = scaling.clone();
            config["rope_parameters"]["rope_theta"] = config["rope_theta"].take();
        });
        assert_eq!(old.rope.scaling, expected);
        assert_eq!(old.rope.theta, 50_000.0);
        assert_eq!(old, new.unwrap());
    }
    let old = config("gemma3_text", |config| {
        config["rope_scaling"] = json!({ "type": "linear", "factor": 8.0 });
        config["rope_local_base_freq"] = json!(20_000.0);
    });
    let new = config("gemma3_text", |config| {
        config["rope_parameters"] = json!({
            "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 50_000.0 },
            "sliding_attention": { "rope_type": "default", "rope_theta": 20_000.0 },
        });
    });
    let old = old.unwrap();
    assert_eq!(old.rope_local_theta, Some(20_000.0));
    assert_eq!(old, new.unwrap());
}

#[test]
fn gemma3_leaves_out_what_its_class_has() {
    let nested = json!({ "model_type": "gemma3", "eos_token_id": [1, 106], "text_config": {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 34, "rope_scaling": { "factor": 8.0, "rope_type": "linear" },
        "sliding_window": 1024 } });
    let folder = Folder::tiny("gemma3_text");
    folder.file("config.json", nested.to_string());
    folder.file(
        "model.safetensors",
        serialize(Vec::<(String, TensorView<'_>)>::new(), None).unwrap(),
    );
    let checkpoint = FolderCheckpoint::open(folder.path()).unwrap();
    let config = checkpoint.config();
    assert_eq!(config.architecture, "gemma3_text");
    assert_eq!(
        (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim
        ),
        (8, 4, 256)
    );
    assert_eq!(
        (config.vocab_size, config.max_position_embeddings),
        (262_208, 131_072)
    );
    assert_eq!(config.rope_local_theta, Some(10_000.0));
    assert_eq!(
        (config.rope.theta, config.query_pre_attn_scalar),
        (1_000_000.0, Some(256.0))
    );
    assert_eq!(
        (config.hidden_act, config.tie_word_embeddings),
        (Activation::GeluTanh, true)
    );
    assert_eq!(config.eos_token_ids, [1, 106]);
    let full: Vec<usize> = (0..34)
        .filter(|layer| config.layer_types[*layer] == LayerType::Full)
        .collect();
    assert_eq!(full, [5, 11, 17, 23, 29]);
}

#[test]
fn windows_follow_each_family() {
    use LayerType::{Full, Sliding};
    let layers = |model_type: &str, extra: Value| {
        let config = config(model_type, |config| {
            config
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
        });
        let config = config.unwrap();
        (config.layer_types, config.sliding_window)
    };
    assert_eq!(
        layers("mistral", json!({ "sliding_window": 8 })),
        (vec![Sliding; 2], Some(8))
    );
    assert_eq!(
        layers("mistral", json!({ "sliding_window": null })),
        (vec![Full; 2], None)
    );
    let window = json!({ "sliding_window": 8, "max_window_layers": 1, "use_sliding_window": false });
    assert_eq!(layers("qwen2", window), (vec![Full; 2], None));
    let window = json!({ "sliding_window": 8, "max_window_layers": 1, "use_sliding_window": true });
    assert_eq!(layers("qwen2", window), (vec![Full, Sliding], Some(8)));
    let listed = json!({ "sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"] });
    assert_eq!(layers("gemma3_text", listed), (vec![Full, Sliding], Some(8)));
    assert_eq!(
        layers(
            "gemma3_text",
            json!({ "sliding_window": 8, "sliding_window_pattern": 2 })
        )
        .0,
        [Sliding, Full]
    );
}

#[test]
fn generation_config_adds_end_tokens_and_defaults() {
    let folder = Folder::tiny("llama");
    let generation = json!({ "eos_token_id": [2, 5], "temperature": 0.6, "top_p": 0.9, "top_k": 20 });
    folder.file("generation_config.json", generation.to_string());
    folder.write();
    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.config().eos_token_ids, [2, 5]);
    assert_eq!(checkpoint.config().generation.temperature, Some(0.6));
    assert_eq!(checkpoint.config().generation.top_k, Some(20));
    assert_eq!(checkpoint.config().generation.repetition_penalty, None);
}

#[test]
fn the_template_comes_from_either_file() {
    let template = |write: fn(&Folder)| {
        let folder = Folder::tiny("llama");
        folder.write();
        write(&folder);
        open(folder.path()).unwrap().chat_template().map(str::to_string)
    };
    let named = json!([{ "name": "tool_use", "template": "t" }, { "name": "default", "template": "d" }]);
    assert_eq!(template(|_| ()), None);
    assert_eq!(
        template(|f| f.file("tokenizer_config.json", r#"{"chat_template":"s"}"#)).unwrap(),
        "s"
    );
    assert_eq!(
        template(|f| f.file("tokenizer_config.json", r#"{"bos_token":"s"}"#)),
        None
    );
    assert_eq!(template(|f| f.file("chat_template.jinja", "j")).unwrap(), "j");
    let folder = Folder::tiny("llama");
    folder.write();
    folder.file(
        "tokenizer_config.json",
        json!({ "chat_template": named }).to_string(),
    );
    assert_eq!(open(folder.path()).unwrap().chat_template(), Some("d"));
    folder.file("chat_template.jinja", "j");
    assert_eq!(open(folder.path()).unwrap().chat_template(), Some("j"));
}

#[test]
fn special_tokens_are_texts_or_objects() {
    let folder = Folder::tiny("llama");
    folder.write();
    folder.file("tokenizer.json", "{}");
    let map = json!({ "bos_token": { "content": "<s>" }, "eos_token": "old", "unk_token": "<unk>" });
    folder.file("special_tokens_map.json", map.to_string());
    let config = json!({ "eos_token": { "content": "</s>" }, "pad_token": null, "add_bos_token": true });
    folder.file("tokenizer_config.json", config.to_string());
    let files = FolderCheckpoint::open(folder.path())
        .unwrap()
        .tokenizer_files()
        .unwrap();
    assert_eq!(files.tokenizer_json, b"{}");
    assert_eq!(files.bos_token.as_deref(), Some("<s>"));
    assert_eq!(files.eos_token.as_deref(), Some("</s>"));
    assert_eq!(files.unk_token.as_deref(), Some("<unk>"));
    assert_eq!(
        (files.pad_token, files.add_bos_token, files.add_eos_token),
        (None, Some(true), None)
    );
}
