//! Golden ids made by transformers, properties, and malformed input.

mod golden;
mod incremental;
mod malformed;
mod metadata;
mod special;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FolderTokenizer, GgufVocab, Tokenizer};

/// Tiny byte-level vocabularies, by the pre-tokenizer's name in GGUF files.
const BYTE_LEVEL: [&str; 6] = [
    "gpt-2",
    "smollm",
    "qwen2",
    "llama-bpe",
    "deepseek-llm",
    "deepseek-v3",
];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/tokenizers")
        .join(name)
}

fn texts() -> Vec<String> {
    let lines = fs::read_to_string(testdata("texts.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn tiny_json(name: &str) -> Vec<u8> {
    fs::read(testdata(&format!("tiny-{name}/tokenizer.json"))).unwrap()
}

fn folder(name: &str) -> FolderTokenizer {
    FolderTokenizer {
        tokenizer_json: tiny_json(name),
        ..FolderTokenizer::default()
    }
}

fn from_folder(folder: FolderTokenizer) -> Tokenizer {
    Tokenizer::from_folder(Path::new("tokenizer.json"), folder).unwrap()
}

fn from_gguf(vocab: GgufVocab) -> Tokenizer {
    Tokenizer::from_gguf(Path::new("model.gguf"), vocab).unwrap()
}

/// A byte-level tokenizer.json as the metadata of a GGUF file.
fn byte_level_vocab(pre: &str) -> GgufVocab {
    let json: Value = serde_json::from_slice(&tiny_json(pre)).unwrap();
    let mut tokens = Vec::new();
    let mut token_types = Vec::new();
    let mut put = |id: usize, token: &str, kind: i32| {
        if tokens.len() <= id {
            tokens.resize(id + 1, Vec::new());
            token_types.resize(id + 1, 0);
        }
        tokens[id] = token.as_bytes().to_vec();
        token_types[id] = kind;
    };
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        put(id.as_u64().unwrap() as usize, token, 1);
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"].as_bool().unwrap() { 3 } else { 4 };
        put(
            added["id"].as_u64().unwrap() as usize,
            added["content"].as_str().unwrap(),
            kind,
        );
    }
    let pair = |merge: &Value| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        tokens,
        token_types,
        merges: json["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(pair)
            .collect(),
        eos_token_id: Some(2),
        ..GgufVocab::default()
    }
}

/// The tiny SentencePiece vocabulary, with scores and without merges.
fn sentencepiece_vocab() -> GgufVocab {
    let json: Value = serde_json::from_slice(&fs::read(testdata("tiny-spm-gguf.json")).unwrap()).unwrap();
    let list = |key: &str| json[key].as_array().unwrap().clone();
    GgufVocab {
        model: "llama".to_owned(),
        tokens: list("tokens")
            .iter()
            .map(|token| token.as_str().unwrap().as_bytes().to_vec())
            .collect(),
        token_types: list("token_types")
            .iter()
            .map(|kind| kind.as_i64().unwrap() as i32)
            .collect(),
        scores: list("scores")
            .iter()
            .map(|score| score.as_f64().unwrap() as f32)
            .collect(),
        ..GgufVocab::default()
    }
}

/// The tokenizer of a real model in the cache folder; says so where the file is absent.
fn real(name: &str) -> Option<Tokenizer> {
    let cache = std::env::var_os("FORII_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(
            base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?
                .join("forii"),
        )
    })?;
    let path = cache.join("models").join(format!("{name}.gguf"));
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(Tokenizer::from_gguf(&path, metadata::read_vocab(&path)).unwrap())
}
