//! What a good GGUF file means: names, layout, configuration, vocabulary, splits.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::read_everything;
use super::writer::{Gguf, TOKENS, Tensor, Val, text, tiny};
use crate::checkpoint::config::{Activation, LayerType, ModelConfig, RopeScaling};
use crate::checkpoint::{Checkpoint, GgufCheckpoint, open};
use crate::quant::QuantFormat;

fn open_bytes(file: &Gguf) -> GgufCheckpoint {
    GgufCheckpoint::from_bytes(Path::new("model.gguf"), Bytes::from(file.write().bytes)).unwrap()
}

fn config(arch: &str, change: impl FnOnce(&mut Gguf)) -> ModelConfig {
    let mut file = tiny(arch);
    change(&mut file);
    open_bytes(&file).config().clone()
}

#[test]
fn every_architecture_opens_in_both_versions() {
    for (arch, name) in [
        ("llama", "llama"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("gemma3", "gemma3_text"),
    ] {
        for version in [2, 3] {
            let mut file = tiny(arch);
            file.version = version;
            let checkpoint = open_bytes(&file);
            read_everything(&checkpoint).unwrap();
            assert_eq!(checkpoint.config().architecture, name);
        }
    }
}

#[test]
fn keys_become_the_configuration() {
    let config = config("llama", |_| ());
    let expected = ModelConfig {
        architecture: "llama".to_string(),
        vocab_size: 6,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        hidden_act: Activation::Silu,
        rope: crate::checkpoint::config::RopeConfig {
            theta: 50_000.0,
            scaling: RopeScaling::None,
        },
        rope_local_theta: None,
        tie_word_embeddings: true,
        sliding_window: None,
        layer_types: vec![LayerType::Full; 2],
        query_pre_attn_scalar: None,
        final_logit_softcapping: None,
        attn_logit_softcapping: None,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        generation: Default::default(),
    };
    assert_eq!(config, expected);
}

#[test]
fn writers_may_choose_other_widths_of_numbers() {
    for value in [
        Val::U8(2),
        Val::I8(2),
        Val::U16(2),
        Val::I16(2),
        Val::I32(2),
        Val::U64(2),
        Val::I64(2),
    ] {
        assert_eq!(
            config("llama", |file| file.set("llama.block_count", value)).num_hidden_layers,
            2
        );
    }
    let theta = config("llama", |file| file.set("llama.rope.freq_base", Val::F64(7.5)))
        .rope
        .theta;
    assert_eq!(theta, 7.5);
}

#[test]
fn an_output_matrix_unties_and_ends_are_gathered() {
    let config = config("llama", |file| {
        file.f32("output.weight", &[6, 8]);
        file.add("tokenizer.ggml.eot_token_id", Val::U32(4));
        file.add("tokenizer.ggml.eom_token_id", Val::U32(2));
        file.add("general.sampling.temp", Val::F32(0.5));
        file.add("general.sampling.top_k", Val::I32(40));
    });
    assert!(!config.tie_word_embeddings);
    assert_eq!(config.eos_token_ids, [2, 4]);
    assert_eq!(
        (config.generation.temperature, config.generation.top_k),
        (Some(0.5), Some(40))
    );
}

#[test]
fn rope_scalings_are_read() {
    let scaled = |pairs: &[(&str, Val)]| {
        config("llama", |file| {
            for (key, value) in pairs {
                file.add(&format!("llama.rope.{key}"), value.clone());
            }
            if pairs
                .iter()
                .any(|(_, value)| matches!(value, Val::Str(text) if text == b"longrope"))
            {
                file.f32("rope_factors_short.weight", &[2]);
                file.f32("rope_factors_long.weight", &[2]);
            }
        })
        .rope
        .scaling
    };
    let linear = RopeScaling::Linear { factor: 4.0 };
    assert_eq!(scaled(&[("scaling.factor", Val::F32(4.0))]), linear);
    assert_eq!(scaled(&[("scale_linear", Val::F32(4.0))]), linear);
    assert_eq!(
        scaled(&[("scaling.type", text("none")), ("scaling.factor", Val::F32(4.0))]),
        RopeScaling::None
    );
    assert_eq!(scaled(&[("scaling.factor", Val::F32(0.0))]), RopeScaling::None);
    let yarn = [
        ("scaling.type", text("yarn")),
        ("scaling.factor", Val::F32(4.0)),
        ("scaling.original_context_length", Val::U32(16)),
        ("scaling.yarn_beta_fast", Val::F32(24.0)),
        ("scaling.yarn_attn_factor", Val::F32(1.25)),
    ];
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        attention_factor: Some(1.25),
        beta_fast: 24.0,
        beta_slow: 1.0,
        mscale: None,
        mscale_all_dim: None,
        original_max_position_embeddings: 16,
        truncate: true,
    };
    assert_eq!(scaled(&yarn), expected);
    let longrope = [
        ("scaling.type", text("longrope")),
        ("scaling.attn_factor", Val::F32(1.5)),
    ];
    let factors = |seed: f64| vec![seed, seed + 1.0 / 1024.0];
    let expected = RopeScaling::LongRope {
        short_factor: factors(20.0),
        long_factor: factors(21.0),
        attention_factor: Some(1.5),
        factor: None,
        original_max_position_embeddings: 64,
    };
    assert_eq!(scaled(&longrope), expected);
    let stored = config("llama", |file| file.f32("rope_freqs.weight", &[2]))
        .rope
        .scaling;
    assert_eq!(
        stored,
        RopeScaling::Factors {
            factors: vec![20.0, 20.0 + 1.0 / 1024.0]
        }
    );
}

#[test]
fn gemma3_interleaves_windows() {
    let gemma = |change: &dyn Fn(&mut Gguf)| {
        config("gemma3", |file| {
            file.add("gemma3.attention.sliding_window", Val::U32(4));
            change(file);
        })
    };
    let plain = gemma(&|_| ());
    assert_eq!(
        (plain.sliding_window, plain.rope_local_theta),
        (Some(4), Some(10_000.0))
    );
    assert_eq!(
        (plain.hidden_act, plain.query_pre_attn_scalar),
        (Activation::GeluTanh, None)
    );
    assert_eq!(plain.layer_types, [LayerType::Sliding; 2]);
    let pattern = "gemma3.attention.sliding_window_pattern";
    let second = [LayerType::Sliding, LayerType::Full];
    assert_eq!(gemma(&|file| file.add(pattern, Val::U32(2))).layer_types, second);
    assert_eq!(
        gemma(&|file| file.add(pattern, Val::Bools(vec![1, 0]))).layer_types,
        second
    );
    assert_eq!(
        gemma(&|file| file.add(pattern, Val::U32(1))).layer_types,
        [LayerType::Full; 2]
    );
    assert_eq!(config("gemma3", |_| ()).layer_types, [LayerType::Full; 2]);
    let base = gemma(&|file| file.add("gemma3.rope.freq_base_swa", Val::F32(5.0)));
    assert_eq!(base.rope_local_theta, Some(5.0));
}

#[test]
fn llama_rows_return_to_their_order() {
    for arch in ["llama", "qwen2"] {
        let mut file = tiny(arch);
        // Row r of q holds r everywhere.
        let rows = (0..8)
            .flat_map(|row| [row as f32; 8])
            .flat_map(f32::to_le_bytes)
            .collect();
        file.tensor("blk.0.attn_q.weight").data = rows;
        let checkpoint = open_bytes(&file);
        let view = checkpoint
            .tensor("model.layers.0.self_attn.q_proj.weight")
            .unwrap();
        let firsts: Vec<u8> = view
            .data
            .chunks_exact(32)
            .map(|row| f32::from_le_bytes(row[..4].try_into().unwrap()) as u8)
            .collect();
        let expected: [u8; 8] = if arch == "llama" {
            [0, 2, 1, 3, 4, 6, 5, 7]
        } else {
            [0, 1, 2, 3, 4, 5, 6, 7]
        };
        assert_eq!(firsts, expected);
        let value = checkpoint
            .tensor("model.layers.0.self_attn.v_proj.weight")
            .unwrap();
        assert_eq!(value.data.as_ref(), file.tensor("blk.0.attn_v.weight").data);
    }
}

#[test]
fn every_format_has_its_size() {
    let ids = [0, 1, 30, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20];
    for (format, ty) in QuantFormat::ALL.into_iter().zip(ids) {
        let mut file = tiny("llama");
        let (rows, cols) = (3, 2 * format.block_len());
        let len = rows * 2 * format.block_bytes();
        let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let dims = vec![cols as u64, rows as u64];
        *file.tensor("blk.1.ffn_down.weight") = Tensor {
            name: b"blk.1.ffn_down.weight".to_vec(),
            dims,
            ty,
            data: data.clone(),
            offset: None,
        };
        let checkpoint = open_bytes(&file);
        let view = checkpoint.tensor("model.layers.1.mlp.down_proj.weight").unwrap();
        assert_eq!(
            (view.format, view.shape.as_slice()),
            (format, [rows, cols].as_slice())
        );
        assert_eq!(view.data.as_ref(), data);
    }
}

#[test]
fn the_vocabulary_is_handed_over() {
    let mut file = tiny("llama");
    file.add("tokenizer.ggml.add_space_prefix", Val::Bool(0));
    let vocab = open_bytes(&file).vocab().unwrap();
    assert_eq!(
        (vocab.model.as_str(), vocab.pre.as_deref()),
        ("gpt2", Some("default"))
    );
    assert_eq!(vocab.tokens, TOKENS.map(|token| token.as_bytes().to_vec()));
    assert_eq!(vocab.token_types, [2, 3, 3, 1, 1, 1]);
    assert_eq!(vocab.scores, [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
    assert_eq!(vocab.merges, ["a b"]);
    assert_eq!(
        (vocab.bos_token_id, vocab.eos_token_id, vocab.eot_token_id),
        (Some(1), Some(2), None)
    );
    assert_eq!(
        (vocab.add_bos_token, vocab.add_eos_token, vocab.add_space_prefix),
        (Some(true), None, Some(false))
    );
    assert_eq!(
        open_bytes(&file).chat_template(),
        Some("{{ messages[0].content }}")
    );
}

#[test]
fn another_alignment_is_kept() {
    let mut file = tiny("llama");
    file.alignment = 128;
    file.add("general.alignment", Val::U32(128));
    let checkpoint = open_bytes(&file);
    let view = checkpoint.tensor("model.layers.1.mlp.up_proj.weight").unwrap();
    assert_eq!(view.data.as_ref(), file.tensor("blk.1.ffn_up.weight").data);
}

#[test]
fn a_split_set_reads_as_one_file() {
    let whole = tiny("llama");
    let folder = tempfile::tempdir().unwrap();
    for part in 0..3_u16 {
        let mut file = if part == 0 { whole.clone() } else { Gguf::new() };
        file.tensors =
            whole.tensors[usize::from(part) * 7..whole.tensors.len().min(usize::from(part) * 7 + 7)].to_vec();
        file.add("split.no", Val::U16(part));
        file.add("split.count", Val::U16(3));
        file.add("split.tensors.count", Val::I32(20));
        fs::write(
            folder.path().join(format!("tiny-{:05}-of-00003.gguf", part + 1)),
            file.write().bytes,
        )
        .unwrap();
    }
    let split = open(folder.path()).unwrap();
    read_everything(split.as_ref()).unwrap();
    let single = open_bytes(&whole);
    assert_eq!(split.config(), single.config());
    for name in [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    ] {
        assert_eq!(
            split.tensor(name).unwrap().data,
            single.tensor(name).unwrap().data
        );
        split.release(name);
        assert_eq!(
            split.tensor(name).unwrap().data,
            single.tensor(name).unwrap().data
        );
    }
}
