//! Text ↔ token ids, through the tokenizers crate: from tokenizer.json or from GGUF metadata.

/// To be written.
#[derive(Debug)]
pub struct Tokenizer;
