//! Files written by the Python package gguf; testdata/gguf/README.md says how.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::read_everything;
use crate::checkpoint::config::RopeScaling;
use crate::checkpoint::{Checkpoint, GgufCheckpoint};

#[test]
fn files_of_the_reference_writer_read_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/gguf");
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 20);
    for name in ["every-type.gguf", "split-00001-of-00003.gguf"] {
        let checkpoint = GgufCheckpoint::open(&folder.join(name)).unwrap();
        for tensor in &expected {
            let view = checkpoint.tensor(tensor["name"].as_str().unwrap()).unwrap();
            let shape: Vec<u64> = view.shape.iter().map(|dim| *dim as u64).collect();
            let digest: String = Sha256::digest(&view.data)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(view.format.name(), tensor["format"], "{}", view.name);
            assert_eq!(serde_json::json!(shape), tensor["shape"], "{}", view.name);
            assert_eq!(digest, tensor["sha256"], "{} of {name}", view.name);
        }
        read_everything(&checkpoint).unwrap();
        let config = checkpoint.config();
        assert_eq!(
            (config.vocab_size, config.head_dim, config.num_key_value_heads),
            (4, 32, 4)
        );
        let yarn = matches!(
            config.rope.scaling,
            RopeScaling::Yarn {
                factor: 4.0,
                beta_slow: 1.0,
                ..
            }
        );
        assert!(yarn, "{:?}", config.rope);
        let vocab = checkpoint.vocab().unwrap();
        assert_eq!(vocab.tokens[3], "▁naïve".as_bytes());
        assert_eq!(
            (vocab.scores, vocab.token_types),
            (vec![0.0, -1.0, -2.0, -3.5], vec![2, 3, 3, 1])
        );
        assert_eq!(vocab.add_space_prefix, Some(false));
        assert_eq!(checkpoint.chat_template(), Some("{{ bos_token }}"));
    }
}
