//! The same ids as transformers, for every line of texts.jsonl. The files are made by
//! testdata/tokenizers/generate.py.

use std::fs;

use serde::Deserialize;

use super::{
    BYTE_LEVEL, byte_level_vocab, folder, from_folder, from_gguf, real, sentencepiece_vocab, testdata, texts,
};
use crate::tokenizer::{Special, Tokenizer};

#[derive(Deserialize)]
struct Golden {
    parse: Vec<Vec<u32>>,
    as_text: Vec<Vec<u32>>,
    /// Empty where transformers' decoding is not meant to be met.
    decoded: Vec<String>,
}

fn assert_golden(tokenizer: &Tokenizer, file: &str) {
    let golden: Golden = serde_json::from_slice(&fs::read(testdata(file)).unwrap()).unwrap();
    let texts = texts();
    assert!(texts.len() >= 200);
    assert_eq!(golden.parse.len(), texts.len());
    let mut wrong = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let parsed = tokenizer.encode(text, Special::Parse);
        let as_text = tokenizer.encode(text, Special::AsText);
        if parsed != golden.parse[index] {
            wrong.push(format!(
                "{text:?} parsed: {parsed:?}, transformers {:?}",
                golden.parse[index]
            ));
        }
        if as_text != golden.as_text[index] {
            wrong.push(format!(
                "{text:?} as text: {as_text:?}, transformers {:?}",
                golden.as_text[index]
            ));
        }
        let decoded = tokenizer.decode(&golden.parse[index]);
        if golden
            .decoded
            .get(index)
            .is_some_and(|expected| decoded != *expected)
        {
            wrong.push(format!(
                "{text:?} decoded: {decoded:?}, transformers {:?}",
                golden.decoded[index]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{file}: {} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn folders_equal_transformers() {
    for name in BYTE_LEVEL.into_iter().chain(["spm", "spm-first", "flags"]) {
        assert_golden(&from_folder(folder(name)), &format!("tiny-{name}/ids.json"));
    }
}

#[test]
fn byte_level_metadata_equals_transformers() {
    for pre in BYTE_LEVEL {
        assert_golden(&from_gguf(byte_level_vocab(pre)), &format!("tiny-{pre}/ids.json"));
    }
}

#[test]
fn absent_and_default_pre_tokenizers_are_gpt2s() {
    for pre in [None, Some("default".to_owned())] {
        let mut vocab = byte_level_vocab("gpt-2");
        vocab.pre = pre;
        assert_golden(&from_gguf(vocab), "tiny-gpt-2/ids.json");
    }
}

#[test]
fn sentencepiece_scores_equal_transformers() {
    assert_golden(&from_gguf(sentencepiece_vocab()), "tiny-spm/ids.json");
}

#[test]
fn smollm2_equals_transformers() {
    let name = "smollm2-135m-instruct";
    let Some(tokenizer) = real(name) else { return };
    assert_golden(&tokenizer, &format!("real-{name}.json"));
    assert_eq!(tokenizer.vocab_size(), 49152);
    assert_eq!(tokenizer.bos_token(), Some("<|im_start|>"));
    assert_eq!(tokenizer.eos_token(), Some("<|im_end|>"));
    assert_eq!(tokenizer.eos_token_ids(), [0, 2, 4]);
    assert!(!tokenizer.add_bos());
}

#[test]
fn qwen_equals_transformers() {
    let name = "qwen2.5-coder-0.5b-instruct";
    let Some(tokenizer) = real(name) else { return };
    assert_golden(&tokenizer, &format!("real-{name}.json"));
    assert_eq!(tokenizer.vocab_size(), 151_936);
    assert_eq!(
        tokenizer.eos_token_ids(),
        [151_643, 151_645, 151_662, 151_663, 151_664]
    );
    assert!(!tokenizer.is_special(151_657), "<tool_call> is text");
    assert_eq!(tokenizer.token_bytes(151_657), Some(b"<tool_call>".as_slice()));
}
