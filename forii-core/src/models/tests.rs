//! What loading refuses and gives back; the numbers are checked in tests/golden.rs.

use std::path::Path;
use std::sync::Mutex;

use burn::tensor::Device;

use super::*;
use crate::checkpoint::{self, ModelConfig, TensorView};
use crate::tokenizer::Tokenizer;

/// A real checkpoint that denies one tensor or changes its architecture, and notes what is read
/// and released.
#[derive(Debug)]
struct Watched {
    inner: Box<dyn Checkpoint>,
    config: ModelConfig,
    missing: &'static str,
    read: Mutex<Vec<String>>,
    released: Mutex<Vec<String>>,
}

impl Watched {
    fn open(name: &str, missing: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/checkpoints");
        let inner = checkpoint::open(&root.join(name)).unwrap();
        Self {
            config: inner.config().clone(),
            inner,
            missing,
            read: Mutex::default(),
            released: Mutex::default(),
        }
    }

    fn load(&self) -> Result<Box<dyn Model>, LoadError> {
        load(self, &Compute::reference(Device::flex()))
    }
}

impl Checkpoint for Watched {
    fn path(&self) -> &Path {
        self.inner.path()
    }
    fn config(&self) -> &ModelConfig {
        &self.config
    }
    fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        self.inner.tokenizer()
    }
    fn chat_template(&self) -> Option<&str> {
        self.inner.chat_template()
    }
    fn has_tensor(&self, hf_name: &str) -> bool {
        hf_name != self.missing && self.inner.has_tensor(hf_name)
    }
    fn tensor(&self, hf_name: &str) -> Result<TensorView<'_>, LoadError> {
        if hf_name == self.missing {
            return Err(LoadError::MissingTensor {
                path: self.path().into(),
                tensor: hf_name.into(),
            });
        }
        self.read.lock().unwrap().push(hf_name.to_string());
        self.inner.tensor(hf_name)
    }
    fn release(&self, hf_name: &str) {
        self.released.lock().unwrap().push(hf_name.to_string());
        self.inner.release(hf_name);
    }
}

#[test]
fn every_tensor_that_is_read_is_released() {
    for name in ["llama", "llama-tied-bias", "qwen2", "qwen3", "gemma3"] {
        let checkpoint = Watched::open(name, "");
        checkpoint.load().unwrap();
        let [mut read, mut released] =
            [&checkpoint.read, &checkpoint.released].map(|names| names.lock().unwrap().clone());
        for names in [&mut read, &mut released] {
            names.sort();
            names.dedup();
        }
        assert!(read.len() > 10);
        assert_eq!(read, released, "{name}");
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for (name, missing) in [
        ("llama", "model.layers.1.mlp.up_proj.weight"),
        ("llama", "lm_head.weight"),
        ("qwen2", "model.layers.0.self_attn.v_proj.bias"),
        ("qwen3", "model.layers.1.self_attn.k_norm.weight"),
        ("gemma3", "model.layers.6.post_feedforward_layernorm.weight"),
    ] {
        match Watched::open(name, missing).load() {
            Err(LoadError::MissingTensor { tensor, .. }) => assert_eq!(tensor, missing),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_wrong_shape_is_named() {
    let mut checkpoint = Watched::open("qwen3", "");
    checkpoint.config.intermediate_size += 32;
    match checkpoint.load() {
        Err(LoadError::TensorShape {
            tensor,
            expected,
            found,
            ..
        }) => {
            assert_eq!(tensor, "model.layers.0.mlp.gate_proj.weight");
            assert_eq!((expected, found), (vec![96, 32], vec![64, 32]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_architecture_is_refused() {
    let mut checkpoint = Watched::open("llama", "");
    checkpoint.config.architecture = "mamba".to_string();
    let error = checkpoint.load().unwrap_err();
    assert!(matches!(error, LoadError::Unsupported { .. }));
    assert!(
        error.to_string().contains("'mamba'") && error.to_string().contains("qwen3"),
        "{error}"
    );
}

#[test]
fn no_name_belongs_to_two_families() {
    let mut names: Vec<&str> = ARCHITECTURES
        .iter()
        .flat_map(|architecture| architecture.names)
        .copied()
        .collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
