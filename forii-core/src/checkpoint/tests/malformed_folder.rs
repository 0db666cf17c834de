//! Broken Hugging Face folders. Each must give an error that names the file and the thing in it.

use std::fs;

use ::safetensors::tensor::Dtype;
use serde_json::{Value, json};

use super::assert_names;
use super::folder::Folder;

/// A part of the folder's name, which begins every path in an error.
const NAME: &str = "broken-model";

type Change = fn(&mut Value);

/// Changes to a good llama config.json, and what the error must say.
const CONFIGS: &[(&str, Change, &[&str])] = &[
    (
        "no model type",
        |c| remove(c, "model_type"),
        &["config.json", "model_type", "missing"],
    ),
    (
        "foreign model type",
        |c| c["model_type"] = json!("mamba"),
        &["config.json", "mamba", "qwen3"],
    ),
    (
        "model type as number",
        |c| c["model_type"] = json!(3),
        &["config.json", "model_type", "a string"],
    ),
    (
        "no vocabulary",
        |c| remove(c, "vocab_size"),
        &["config.json", "vocab_size", "missing"],
    ),
    (
        "no width",
        |c| remove(c, "hidden_size"),
        &["config.json", "hidden_size", "missing"],
    ),
    (
        "no feed-forward width",
        |c| remove(c, "intermediate_size"),
        &["config.json", "intermediate_size"],
    ),
    (
        "no layers",
        |c| remove(c, "num_hidden_layers"),
        &["config.json", "num_hidden_layers"],
    ),
    (
        "no heads",
        |c| remove(c, "num_attention_heads"),
        &["config.json", "num_attention_heads"],
    ),
    (
        "no context",
        |c| remove(c, "max_position_embeddings"),
        &["config.json", "max_position_embeddings"],
    ),
    (
        "null width",
        |c| c["hidden_size"] = Value::Null,
        &["config.json", "hidden_size", "missing"],
    ),
    (
        "negative width",
        |c| c["hidden_size"] = json!(-8),
        &["config.json", "hidden_size", "-8"],
    ),
    (
        "fractional width",
        |c| c["hidden_size"] = json!(8.5),
        &["config.json", "hidden_size", "8.5"],
    ),
    (
        "width as text",
        |c| c["hidden_size"] = json!("8"),
        &["config.json", "hidden_size", "a string"],
    ),
    (
        "zero heads",
        |c| c["num_attention_heads"] = json!(0),
        &["config.json", "num_attention_heads", "0"],
    ),
    (
        "zero vocabulary",
        |c| c["vocab_size"] = json!(0),
        &["config.json", "vocab_size", "0"],
    ),
    (
        "2^60 layers",
        |c| c["num_hidden_layers"] = json!(1_u64 << 60),
        &["num_hidden_layers", "1152921504606846976"],
    ),
    (
        "2^60 tokens",
        |c| c["vocab_size"] = json!(1_u64 << 60),
        &["vocab_size", "1152921504606846976"],
    ),
    (
        "heads that do not divide",
        |c| c["num_key_value_heads"] = json!(3),
        &["num_key_value_heads", "3"],
    ),
    (
        "odd heads",
        |c| c["head_dim"] = json!(5),
        &["config.json", "head_dim", "odd"],
    ),
    (
        "epsilon of two",
        |c| c["rms_norm_eps"] = json!(2.0),
        &["config.json", "rms_norm_eps", "2"],
    ),
    (
        "negative base",
        |c| c["rope_theta"] = json!(-1.0),
        &["config.json", "rope_theta", "-1"],
    ),
    (
        "base as text",
        |c| c["rope_theta"] = json!("1e4"),
        &["config.json", "rope_theta", "a string"],
    ),
    (
        "unknown scaling",
        |c| c["rope_scaling"] = json!({ "type": "ntk" }),
        &["rope_scaling.type", "ntk"],
    ),
    (
        "dynamic scaling",
        |c| c["rope_scaling"] = json!({ "rope_type": "dynamic" }),
        &["rope_scaling.rope_type", "dynamic"],
    ),
    (
        "scaling as list",
        |c| c["rope_scaling"] = json!([1]),
        &["config.json", "rope_scaling", "an object"],
    ),
    (
        "linear without factor",
        |c| c["rope_scaling"] = json!({ "type": "linear" }),
        &["rope_scaling.factor", "missing"],
    ),
    (
        "zero factor",
        |c| c["rope_scaling"] = json!({ "type": "linear", "factor": 0 }),
        &["rope_scaling", "0"],
    ),
    (
        "llama3 without bounds",
        |c| c["rope_parameters"] = json!({ "rope_type": "llama3", "factor": 8 }),
        &["rope_parameters.low_freq_factor"],
    ),
    (
        "llama3 with crossed bounds",
        crossed,
        &["rope_scaling", "low_freq_factor"],
    ),
    (
        "longrope of a wrong length",
        longrope,
        &["rope_scaling", "short_factor", "head_dim / 2"],
    ),
    (
        "partial rotation",
        |c| c["partial_rotary_factor"] = json!(0.5),
        &["partial_rotary_factor", "0.5"],
    ),
    (
        "nested rope parameters",
        |c| c["rope_parameters"] = json!({ "full_attention": {} }),
        &["rope_parameters"],
    ),
    (
        "unknown activation",
        |c| c["hidden_act"] = json!("relu"),
        &["config.json", "hidden_act", "relu"],
    ),
    (
        "biases in the feed-forward layer",
        |c| c["mlp_bias"] = json!(true),
        &["config.json", "mlp_bias"],
    ),
    (
        "quantized weights",
        |c| c["quantization_config"] = json!({ "quant_method": "gptq" }),
        &["quantization_config"],
    ),
    (
        "end token out of range",
        |c| c["eos_token_id"] = json!([2, 6]),
        &["config.json", "eos_token_id", "6"],
    ),
    (
        "end token as text",
        |c| c["eos_token_id"] = json!("</s>"),
        &["config.json", "eos_token_id", "a string"],
    ),
    (
        "nested text_config as list",
        |c| c["text_config"] = json!([]),
        &["config.json", "text_config"],
    ),
    (
        "layer types of a wrong length",
        |c| qwen(c, json!(["full_attention"])),
        &["layer_types", "1 entries"],
    ),
    (
        "unknown layer type",
        |c| qwen(c, json!(["full_attention", "linear"])),
        &["layer_types", "linear"],
    ),
    (
        "a window without width",
        |c| qwen(c, json!(["sliding_attention", "full_attention"])),
        &["sliding_window"],
    ),
    (
        "one layer more than the file",
        |c| c["num_hidden_layers"] = json!(3),
        &["model.layers.2", "missing"],
    ),
    (
        "one layer less than the file",
        |c| c["num_hidden_layers"] = json!(1),
        &["model.safetensors", "model.layers.1"],
    ),
    (
        "another width than the file",
        |c| c["hidden_size"] = json!(16),
        &["model.embed_tokens.weight", "[6, 16]", "[6, 8]"],
    ),
    (
        "another vocabulary than the file",
        |c| c["vocab_size"] = json!(7),
        &["model.embed_tokens.weight", "[7, 8]"],
    ),
    (
        "untied without head",
        |c| c["tie_word_embeddings"] = json!(false),
        &["lm_head.weight", "missing"],
    ),
];

fn remove(config: &mut Value, key: &str) {
    config.as_object_mut().unwrap().remove(key);
}

fn crossed(config: &mut Value) {
    config["rope_scaling"] =
        json!({ "rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1 });
}

fn longrope(config: &mut Value) {
    config["rope_scaling"] = json!({ "type": "longrope", "short_factor": [1], "long_factor": [1, 1] });
}

fn qwen(config: &mut Value, layer_types: Value) {
    config["model_type"] = json!("qwen2");
    config["use_sliding_window"] = json!(true);
    config["layer_types"] = layer_types;
}

#[test]
fn broken_configurations_name_the_key() {
    for (case, change, expected) in CONFIGS {
        let mut folder = Folder::tiny("llama");
        folder.file("tokenizer.json", "{}");
        change(&mut folder.config);
        folder.write();
        assert_names(
            case,
            &folder.read().err().unwrap_or_else(|| panic!("{case}: no error")),
            NAME,
            expected,
        );
    }
}

type Spoil = fn(&mut Folder);

/// Changes to a good folder that is written already, and what the error must say.
const FILES: &[(&str, Spoil, &[&str])] = &[
    (
        "config that is no JSON",
        |f| f.file("config.json", "{"),
        &["config.json", "no JSON"],
    ),
    (
        "config that is a list",
        |f| f.file("config.json", "[]"),
        &["config.json", "no JSON object"],
    ),
    (
        "config that is no UTF-8",
        |f| f.file("config.json", b"\xff\xfe"),
        &["config.json", "no JSON"],
    ),
    (
        "config nested without end",
        |f| f.file("config.json", "[".repeat(100_000)),
        &["config.json", "no JSON"],
    ),
    (
        "broken generation config",
        |f| f.file("generation_config.json", "{"),
        &["generation_config.json"],
    ),
    (
        "temperature as text",
        |f| f.file("generation_config.json", r#"{"temperature":"x"}"#),
        &["generation_config.json", "temperature"],
    ),
    (
        "no weights",
        |f| fs::remove_file(f.path().join("model.safetensors")).unwrap(),
        &["model.safetensors.index.json"],
    ),
    (
        "empty weights",
        |f| f.file("model.safetensors", b""),
        &["model.safetensors", "header"],
    ),
    (
        "header of 2^60",
        |f| f.file("model.safetensors", (1_u64 << 60).to_le_bytes()),
        &["model.safetensors", "header"],
    ),
    (
        "header of 2^64 - 1",
        |f| f.file("model.safetensors", [0xff; 16]),
        &["model.safetensors", "header"],
    ),
    (
        "header beyond the file",
        |f| f.file("model.safetensors", 99_u64.to_le_bytes()),
        &["model.safetensors", "header"],
    ),
    (
        "header that is no JSON",
        |f| header(f, "{", 0),
        &["model.safetensors", "header"],
    ),
    (
        "header that is no UTF-8",
        |f| f.file("model.safetensors", b"\x01\0\0\0\0\0\0\0\xff"),
        &["model.safetensors", "UTF-8"],
    ),
    ("weights cut short", cut, &["model.safetensors", "header"]),
    (
        "bytes after the weights",
        |f| append(f),
        &["model.safetensors", "header"],
    ),
    (
        "offsets that overlap",
        |f| header(f, &two("[0,4]", "[0,4]"), 4),
        &["model.safetensors", "header"],
    ),
    (
        "offsets with a hole",
        |f| header(f, &two("[0,4]", "[8,12]"), 12),
        &["model.safetensors", "header"],
    ),
    (
        "offsets turned round",
        |f| header(f, &two("[4,0]", "[4,8]"), 8),
        &["model.safetensors", "header"],
    ),
    (
        "offsets of 2^60",
        |f| header(f, &two("[0,4]", "[4,1152921504606846976]"), 8),
        &["model.safetensors", "header"],
    ),
    (
        "shape that overflows",
        |f| header(f, &one("F32", "[4294967296,4294967296]", "[0,4]"), 4),
        &["model.safetensors", "header"],
    ),
    (
        "shape and size that differ",
        |f| header(f, &one("F32", "[3]", "[0,4]"), 4),
        &["model.safetensors", "header"],
    ),
    (
        "zero dimension",
        |f| header(f, &one("F32", "[0]", "[0,0]"), 0),
        &["model.safetensors", "model.norm.weight"],
    ),
    (
        "no dimensions",
        |f| header(f, &one("F32", "[]", "[0,4]"), 4),
        &["model.safetensors", "model.norm.weight"],
    ),
    (
        "unknown type",
        |f| header(f, &one("F33", "[1]", "[0,4]"), 4),
        &["model.safetensors", "header"],
    ),
    (
        "unsupported type",
        |f| header(f, &one("I64", "[1]", "[0,8]"), 8),
        &["model.safetensors", "model.norm.weight", "I64"],
    ),
    (
        "bias that nobody reads",
        |f| with(f, "model.layers.0.mlp.up_proj.bias"),
        &["model.safetensors", "mlp.up_proj.bias"],
    ),
    (
        "quantized layer",
        |f| with(f, "model.layers.0.mlp.up_proj.qweight"),
        &["model.safetensors", "qweight"],
    ),
    (
        "missing tensor",
        |f| without(f, "model.layers.1.mlp.up_proj.weight"),
        &["model.layers.1.mlp.up_proj.weight"],
    ),
    (
        "no tokenizer",
        |f| fs::remove_file(f.path().join("tokenizer.json")).unwrap(),
        &["tokenizer.json"],
    ),
    (
        "broken tokenizer config",
        |f| f.file("tokenizer_config.json", "nul"),
        &["tokenizer_config.json"],
    ),
    (
        "template as number",
        |f| f.file("tokenizer_config.json", r#"{"chat_template":1}"#),
        &["tokenizer_config.json", "chat_template"],
    ),
    (
        "token as number",
        |f| f.file("tokenizer_config.json", r#"{"bos_token":1}"#),
        &["tokenizer_config.json", "bos_token"],
    ),
    (
        "template that is no UTF-8",
        |f| f.file("chat_template.jinja", b"\xff"),
        &["chat_template.jinja", "UTF-8"],
    ),
];

/// A safetensors file with this header and so many bytes of weights.
fn header(folder: &mut Folder, header: &str, len: usize) {
    let bytes = [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        &vec![0; len],
    ]
    .concat();
    folder.file("model.safetensors", bytes);
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"model.norm.weight":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

fn two(first: &str, second: &str) -> String {
    let entry = |name: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#)
    };
    format!(
        "{{{},{}}}",
        entry("model.norm.weight", first),
        entry("lm_head.weight", second)
    )
}

fn cut(folder: &mut Folder) {
    let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
    folder.file("model.safetensors", &bytes[..bytes.len() - 1]);
}

fn append(folder: &mut Folder) {
    let mut bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
    bytes.push(0);
    folder.file("model.safetensors", bytes);
}

fn with(folder: &mut Folder, name: &str) {
    folder.add(name, &[12]);
    folder.write();
}

fn without(folder: &mut Folder, name: &str) {
    folder.tensors.remove(name);
    folder.write();
}

#[test]
fn broken_folders_name_the_file() {
    for (case, spoil, expected) in FILES {
        let mut folder = Folder::tiny("llama");
        folder.file("tokenizer.json", "{}");
        folder.write();
        spoil(&mut folder);
        assert_names(
            case,
            &folder.read().err().unwrap_or_else(|| panic!("{case}: no error")),
            NAME,
            expected,
        );
    }
}

#[test]
fn broken_indices_name_the_entry() {
    type Case = (&'static str, fn(&mut Folder, &mut Value), &'static [&'static str]);
    const TENSOR: &str = "model.norm.weight";
    let cases: &[Case] = &[
        (
            "no map",
            |_, i| remove(i, "weight_map"),
            &["index.json", "weight_map", "missing"],
        ),
        (
            "map as list",
            |_, i| i["weight_map"] = json!([]),
            &["index.json", "weight_map"],
        ),
        (
            "file as number",
            |_, i| i["weight_map"][TENSOR] = json!(1),
            &["index.json", TENSOR],
        ),
        (
            "file that is not there",
            |_, i| i["weight_map"][TENSOR] = json!("x.safetensors"),
            &["x.safetensors", "cannot read"],
        ),
        (
            "file above the folder",
            |_, i| i["weight_map"][TENSOR] = json!("../x.safetensors"),
            &["index.json", TENSOR, "../x"],
        ),
        (
            "file far outside",
            |_, i| i["weight_map"][TENSOR] = json!("/etc/passwd"),
            &["index.json", TENSOR, "/etc/passwd"],
        ),
        (
            "file below the folder",
            |_, i| i["weight_map"][TENSOR] = json!("a/b"),
            &["index.json", TENSOR, "a/b"],
        ),
        (
            "file on another drive",
            |_, i| i["weight_map"][TENSOR] = json!("..\\x"),
            &["index.json", TENSOR],
        ),
        (
            "the folder itself",
            |_, i| i["weight_map"][TENSOR] = json!("."),
            &["index.json", TENSOR],
        ),
        (
            "the folder above",
            |_, i| i["weight_map"][TENSOR] = json!(".."),
            &["index.json", TENSOR],
        ),
        (
            "no name",
            |_, i| i["weight_map"][TENSOR] = json!(""),
            &["index.json", TENSOR],
        ),
        (
            "tensor in the other shard",
            |_, i| i["weight_map"][TENSOR] = json!("model-00001-of-00002.safetensors"),
            &["index.json", TENSOR, "00001-of-00002"],
        ),
        (
            "tensor that the map lacks",
            |_, i| remove(&mut i["weight_map"], TENSOR),
            &[TENSOR, "missing"],
        ),
        (
            "broken shard",
            |f, _| f.file("model-00002-of-00002.safetensors", b"x"),
            &["00002-of-00002", "header"],
        ),
        ("shard of bytes", bytes_shard, &["00001-of-00002", "U8"]),
    ];
    for (case, spoil, expected) in cases {
        let mut folder = Folder::tiny("llama");
        folder.file("tokenizer.json", "{}");
        let mut index = folder.write_shards();
        spoil(&mut folder, &mut index);
        folder.file("model.safetensors.index.json", index.to_string());
        assert_names(
            case,
            &folder.read().err().unwrap_or_else(|| panic!("{case}: no error")),
            NAME,
            expected,
        );
    }
}

fn bytes_shard(folder: &mut Folder, _: &mut Value) {
    folder.dtype = Dtype::U8;
    for (shape, data) in folder.tensors.values_mut() {
        data.truncate(shape.iter().product());
    }
    folder.weights("model-00001-of-00002.safetensors", |name| name.contains(".0."));
}
