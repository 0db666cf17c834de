//! Input that is wrong: a typed error that says what, never a panic.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{byte_level_vocab, folder, sentencepiece_vocab, tiny_json};
use crate::error::LoadError;
use crate::tokenizer::{FolderTokenizer, GgufVocab, Special, Tokenizer};

fn gguf_problem(vocab: GgufVocab) -> String {
    match Tokenizer::from_gguf(Path::new("x.gguf"), vocab) {
        Err(LoadError::Tokenizer { problem, path }) => {
            assert_eq!(path, Path::new("x.gguf"));
            problem
        }
        other => panic!("{other:?}"),
    }
}

fn folder_problem(folder: FolderTokenizer) -> String {
    match Tokenizer::from_folder(Path::new("x"), folder) {
        Err(LoadError::Tokenizer { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_metadata_is_named() {
    type Change = fn(&mut GgufVocab);
    let cases: &[(&str, Change)] = &[
        ("'bert' (tokenizer.ggml.model) is not supported", |v| {
            v.model = "bert".to_owned()
        }),
        (
            "'tekken' (tokenizer.ggml.pre) is not supported; supported are default, gpt-2",
            |v| {
                v.pre = Some("tekken".to_owned());
            },
        ),
        ("the vocabulary is empty", |v| v.tokens.clear()),
        ("token_type has 3 entries", |v| v.token_types.truncate(3)),
        ("scores has 1 entries", |v| v.scores = vec![0.0]),
        ("token 7 has the unknown type 77", |v| v.token_types[7] = 77),
        ("eos_token_id is 4000000000, but there are", |v| {
            v.eos_token_id = Some(4_000_000_000)
        }),
        ("bos_token_id is 592", |v| v.bos_token_id = Some(592)),
        ("padding_token_id is 592", |v| v.padding_token_id = Some(592)),
        ("the tokens 8 and 9 are both", |v| {
            v.tokens[9] = v.tokens[8].clone()
        }),
        ("token 5 is not valid UTF-8", |v| v.tokens[5] = vec![0xFF]),
        ("token 5 has 5000 bytes", |v| v.tokens[5] = vec![b'x'; 5000]),
        ("there are no merges", |v| v.merges.clear()),
        ("merge 2 ('ab') is not two tokens", |v| {
            v.merges[2] = "ab".to_owned()
        }),
        ("merge 2 ('') is not two tokens", |v| v.merges[2] = String::new()),
        ("merge 2 ('é') is not two tokens", |v| {
            v.merges[2] = "é".to_owned()
        }),
        ("Token `Q7Q` out of vocabulary", |v| {
            v.merges[2] = "a Q7Q".to_owned()
        }),
        ("Token `aQ` out of vocabulary", |v| v.merges[2] = "a Q".to_owned()),
        ("which is not a token", |v| {
            v.merges[2] = format!("a {}", "b".repeat(900))
        }),
    ];
    for (expected, change) in cases {
        let mut vocab = byte_level_vocab("gpt-2");
        change(&mut vocab);
        let problem = gguf_problem(vocab);
        assert!(
            problem.contains(expected),
            "{problem:?} does not say {expected:?}"
        );
    }
    let unscored = GgufVocab {
        scores: Vec::new(),
        ..sentencepiece_vocab()
    };
    assert!(gguf_problem(unscored).contains("neither merges nor scores"));
}

#[test]
fn broken_tokenizer_json_is_named() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("the model type 'Unigram' is not supported", |v| {
            v["model"]["type"] = json!("Unigram")
        }),
        ("the model type 'none' is not supported", |v| {
            v["model"]
                .as_object_mut()
                .unwrap()
                .retain(|key, _| key != "type" && key != "merges");
        }),
        ("missing field `model`", |v| *v = json!({})),
        ("invalid type", |v| v["model"]["vocab"] = json!([["a", 1]])),
        ("the vocabulary is empty", |v| v["model"]["vocab"] = json!({})),
        ("both have the id 70", |v| v["model"]["vocab"]["zz"] = json!(70)),
        ("far beyond the number of tokens", |v| {
            v["model"]["vocab"]["zz"] = json!(4_000_000_000_u32)
        }),
        ("invalid value", |v| v["model"]["vocab"]["zz"] = json!(-1)),
        ("both have the id 591", |v| {
            v["added_tokens"][3]["id"] = json!(591)
        }),
        ("has two ids, 0 and 1", |v| {
            v["added_tokens"][1]["content"] = json!("<|endoftext|>")
        }),
        ("has the id 9, in the vocabulary 0", |v| {
            v["added_tokens"][0]["id"] = json!(9)
        }),
        ("is not in the vocabulary (model.unk_token)", |v| {
            v["model"]["unk_token"] = json!("nope")
        }),
        ("Token `q7q` out of vocabulary", |v| {
            v["model"]["merges"][0] = json!(["a", "q7q"])
        }),
        ("merge 0 leads to", |v| {
            v["model"]["merges"][0] = json!(["a", "q".repeat(999)])
        }),
        ("merge 0 ('a b c') is not two tokens", |v| {
            v["model"]["merges"][0] = json!("a b c")
        }),
        ("does not begin with the prefix '##'", |v| {
            v["model"]["continuing_subword_prefix"] = json!("##")
        }),
        ("drops merges at random", |v| v["model"]["dropout"] = json!(0.5)),
        ("the step 'Precompiled' is not supported", |v| {
            v["normalizer"] = json!({"type": "Precompiled"})
        }),
        ("normalizer: a step has no type", |v| {
            v["normalizer"] = json!({"type": "Sequence", "normalizers": [{"precompiled_charsmap": "AAAA"}]});
        }),
        ("the pre-tokenizer's pattern does not compile", |v| {
            v["pre_tokenizer"] =
                json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false});
        }),
        ("a Replace of a regex is not supported", |v| {
            v["normalizer"] = json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": "b"});
        }),
        ("the step 'BertPreTokenizer' is not supported", |v| {
            v["pre_tokenizer"] = json!({"type": "BertPreTokenizer"});
        }),
        ("decoder: the step 'WordPiece' is not supported", |v| {
            v["decoder"] = json!({"type": "WordPiece"})
        }),
        ("is empty once it is normalized", |v| {
            v["normalizer"] = json!({"type": "Strip", "strip_left": true, "strip_right": true});
            v["added_tokens"][0]["content"] = json!(" ");
            v["added_tokens"][0]["id"] = json!(700);
            v["added_tokens"][0]["normalized"] = json!(true);
        }),
    ];
    for (expected, change) in cases {
        let mut json: Value = serde_json::from_slice(&tiny_json("gpt-2")).unwrap();
        change(&mut json);
        let tokenizer_json = serde_json::to_vec(&json).unwrap();
        let problem = folder_problem(FolderTokenizer {
            tokenizer_json,
            ..FolderTokenizer::default()
        });
        assert!(
            problem.contains(expected),
            "{problem:?} does not say {expected:?}"
        );
    }
}

#[test]
fn broken_json_and_absent_named_tokens_are_named() {
    let bytes = |bytes: &[u8]| FolderTokenizer {
        tokenizer_json: bytes.to_vec(),
        ..FolderTokenizer::default()
    };
    assert!(folder_problem(bytes(b"")).contains("EOF"));
    assert!(
        folder_problem(bytes(
            b"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"\xFF\": 1}}}"
        ))
        .contains("unicode")
    );
    assert!(folder_problem(bytes(b"[[[[")).contains("tokenizer.json"));
    let doubled = br#"{"model": {"type": "BPE", "vocab": {"a": 1, "a": 2}, "merges": []}}"#;
    assert!(folder_problem(bytes(doubled)).contains("listed twice, as 1 and 2"));
    let eos = FolderTokenizer {
        eos_token: Some("<nope>".to_owned()),
        ..folder("gpt-2")
    };
    assert!(folder_problem(eos).contains("the eos_token '<nope>' is not in the vocabulary"));
}

#[test]
fn a_pattern_without_end_gives_up() {
    let mut json: Value = serde_json::from_slice(&tiny_json("gpt-2")).unwrap();
    let split =
        json!({"type": "Split", "pattern": {"Regex": "(?:a|aa)+$"}, "behavior": "Isolated", "invert": false});
    json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, json["pre_tokenizer"]]});
    let tokenizer_json = serde_json::to_vec(&json).unwrap();
    let folder = FolderTokenizer {
        tokenizer_json,
        ..FolderTokenizer::default()
    };
    let tokenizer = Tokenizer::from_folder(Path::new("x"), folder).unwrap();
    let text = format!("{}!", "a".repeat(100));
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text, Special::AsText)), text);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tokenizer_json in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = FolderTokenizer { tokenizer_json, ..FolderTokenizer::default() };
        prop_assert!(Tokenizer::from_folder(Path::new("x"), folder).is_err());
    }

    /// A good file with some bytes changed, cut or doubled: an error, or a tokenizer that works.
    #[test]
    fn damaged_files_never_panic(
        name in prop_oneof![Just("flags"), Just("spm-first"), Just("qwen2")],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut tokenizer_json = tiny_json(name);
        for (at, byte) in damage {
            let at = at.index(tokenizer_json.len());
            tokenizer_json[at] = byte;
        }
        if let Some(cut) = cut {
            tokenizer_json.truncate(cut.index(tokenizer_json.len()));
        }
        let folder = FolderTokenizer { tokenizer_json, ..FolderTokenizer::default() };
        if let Ok(tokenizer) = Tokenizer::from_folder(Path::new("x"), folder) {
            let tokens = tokenizer.encode(" a<|im_end|> Café 😀\n12", Special::Parse);
            tokenizer.decode(&tokens);
        }
    }

    /// Metadata put together at random from plausible parts.
    #[test]
    fn random_metadata_never_panics(
        model in prop_oneof![Just("gpt2"), Just("llama")],
        tokens in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..12),
        words in proptest::collection::vec("[ab▁]{0,3}", 0..12),
        types in proptest::collection::vec(0..7_i32, 0..24),
        scores in proptest::collection::vec(any::<f32>(), 0..24),
        merges in proptest::collection::vec("[ab▁ ]{0,5}", 0..4),
        id in proptest::option::of(0..30_u32),
    ) {
        let mut tokens = tokens;
        tokens.extend(words.into_iter().map(String::into_bytes));
        let vocab = GgufVocab {
            model: model.to_owned(),
            token_types: types.into_iter().chain(std::iter::repeat(1)).take(tokens.len()).collect(),
            scores: scores.into_iter().chain(std::iter::repeat(0.5)).take(tokens.len()).collect(),
            tokens,
            merges,
            eos_token_id: id,
            unknown_token_id: id,
            ..GgufVocab::default()
        };
        if let Ok(tokenizer) = Tokenizer::from_gguf(Path::new("x"), vocab) {
            let tokens = tokenizer.encode("ab a▁b  x😀", Special::Parse);
            tokenizer.decode(&tokens);
        }
    }
}
