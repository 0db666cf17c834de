//! Text ↔ token ids, through the tokenizers crate: from tokenizer.json or from GGUF metadata.

use std::path::Path;

use crate::error::LoadError;

/// To be written.
#[derive(Debug)]
pub struct Tokenizer;

/// A GGUF file's vocabulary, as its metadata holds it.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`.
    pub model: String,
    /// `tokenizer.ggml.pre`.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<Vec<u8>>,
    /// `tokenizer.ggml.token_type`.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.scores`.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.merges`.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos_token_id: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos_token_id: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`.
    pub eot_token_id: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown_token_id: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub padding_token_id: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos_token: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos_token: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
}

/// The tokenizer files of a Hugging Face folder.
#[derive(Debug, Clone, Default)]
pub struct FolderTokenizer {
    /// The bytes of tokenizer.json.
    pub tokenizer_json: Vec<u8>,
    /// The text of the beginning-of-sequence token.
    pub bos_token: Option<String>,
    /// The text of the end-of-sequence token.
    pub eos_token: Option<String>,
    /// The text of the unknown token.
    pub unk_token: Option<String>,
    /// The text of the padding token.
    pub pad_token: Option<String>,
    /// Whether encoding puts `bos_token` first.
    pub add_bos_token: Option<bool>,
    /// Whether encoding puts `eos_token` last.
    pub add_eos_token: Option<bool>,
}

impl Tokenizer {
    /// To be written.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where the vocabulary is broken.
    pub fn from_gguf(_path: &Path, _vocab: GgufVocab) -> Result<Self, LoadError> {
        Ok(Self)
    }

    /// To be written.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where the vocabulary is broken.
    pub fn from_folder(_path: &Path, _files: FolderTokenizer) -> Result<Self, LoadError> {
        Ok(Self)
    }
}
