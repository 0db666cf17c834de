//! Text ↔ token ids, through the tokenizers crate: from tokenizer.json or from GGUF metadata.
//!
//! Special tokens are found here, not in the crate: they are parsed where a template wrote them
//! and stay ordinary text where a user wrote them. Everything between them is normalized, split
//! and merged by the crate's parts.

mod ending;
mod folder;
mod gguf;
mod incremental;
mod pretokenizers;
mod special;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use forii_sampling::TokenId;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{Model, Normalizer, OffsetReferential, OffsetType, PreTokenizedString};

use crate::error::LoadError;
use crate::template::Prompt;
pub use folder::FolderTokenizer;
pub use gguf::GgufVocab;
pub use incremental::IncrementalDecoder;
use special::AddedTokens;
use table::TokenTable;
use words::Step;

/// What becomes of text that spells a special token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It becomes that token: text that a template or a program wrote.
    Parse,
    /// It becomes ordinary tokens: text that a user wrote.
    AsText,
}

/// A model's tokenizer. Cheap to clone; shared between threads.
#[derive(Clone)]
pub struct Tokenizer {
    parts: Arc<Parts>,
}

/// What both sources build.
struct Parts {
    normalizer: Option<NormalizerWrapper>,
    word_steps: Vec<Step>,
    model: BPE,
    added: AddedTokens,
    table: TokenTable,
    bos: Option<(TokenId, String)>,
    eos: Option<(TokenId, String)>,
    add_bos: bool,
    add_eos: bool,
    eos_token_ids: Vec<TokenId>,
    /// SentencePiece puts a space before a text; decoding takes it away again.
    strip_leading_space: bool,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file's metadata describes. `path` is named in errors.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where the metadata is inconsistent, or of a kind that forii does not
    /// know; the message names what is supported.
    pub fn from_gguf(path: &Path, vocab: GgufVocab) -> Result<Self, LoadError> {
        gguf::build(vocab)
            .map(Self::new)
            .map_err(|problem| load_error(path, problem))
    }

    /// Builds the tokenizer of a Hugging Face folder. `path` is named in errors.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where tokenizer.json is malformed, or of a kind that forii does not
    /// know; the message names what is supported.
    pub fn from_folder(path: &Path, folder: FolderTokenizer) -> Result<Self, LoadError> {
        folder::build(folder)
            .map(Self::new)
            .map_err(|problem| load_error(path, problem))
    }

    fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// The tokens of a text; no beginning-of-sequence token is added.
    pub fn encode(&self, text: &str, special: Special) -> Vec<TokenId> {
        match special {
            Special::Parse => self.encode_with_literal(text, &[]),
            Special::AsText => self.encode_with_literal(text, std::slice::from_ref(&(0..text.len()))),
        }
    }

    /// The tokens of a rendered chat: special tokens are parsed outside of `prompt.literal` only.
    pub fn encode_prompt(&self, prompt: &Prompt) -> Vec<TokenId> {
        self.encode_with_literal(&prompt.text, &prompt.literal)
    }

    fn encode_with_literal(&self, text: &str, literal: &[Range<usize>]) -> Vec<TokenId> {
        self.try_encode(text, literal).unwrap_or_else(|error| {
            // None of the accepted parts can fail on text: `folder` and `gguf` admit no model
            // without its unknown token and no normalizer that reads a table of its own.
            tracing::error!(%error, "a text could not be tokenized");
            Vec::new()
        })
    }

    /// The steps of `tokenizers::Tokenizer::encode`, with the special tokens under our control.
    fn try_encode(&self, text: &str, literal: &[Range<usize>]) -> tokenizers::Result<Vec<TokenId>> {
        let Parts {
            normalizer,
            word_steps,
            model,
            added,
            ..
        } = &*self.parts;
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| added.split(piece, special::Stage::Raw, literal))?;
        pieces.split(|_, mut piece| {
            if let Some(normalizer) = normalizer {
                normalizer.normalize(&mut piece)?;
            }
            added.split(piece, special::Stage::Normalized, literal)
        })?;
        for step in word_steps {
            step.apply(&mut pieces)?;
        }
        pieces.tokenize(|piece| model.tokenize(piece.get()))?;
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
        Ok(splits
            .iter()
            .flat_map(|(_, _, tokens)| tokens.iter().flatten().map(|token| token.id))
            .collect())
    }

    /// The text of a whole sequence: special tokens are left out, invalid UTF-8 is replaced.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut decoder = IncrementalDecoder::new(self);
        let mut text = String::new();
        for &token in tokens {
            decoder.push(token, &mut text);
        }
        decoder.finish(&mut text);
        text
    }

    /// The exact bytes that a token stands for; they may cut a character. `None` for an id that no
    /// token has. A special token yields its own spelling.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        self.parts.table.bytes(id)
    }

    /// Whether a token carries control, not text: it is never shown, and never parsed in user text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.parts.table.is_special(id)
    }

    /// The special tokens as text: what a template may write and a user's text must not.
    pub fn special_tokens(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.vocab_size() as TokenId)
            .filter(|&id| self.is_special(id))
            .filter_map(|id| self.token_str(id))
    }

    /// One more than the largest token id. Ids without a token may lie below it.
    pub fn vocab_size(&self) -> usize {
        self.parts.table.len()
    }

    /// The token with this spelling in the vocabulary ("Ġthe", "▁the", "<|im_end|>").
    pub fn token_id(&self, token: &str) -> Option<TokenId> {
        self.parts
            .added
            .id(token)
            .or_else(|| self.parts.model.token_to_id(token))
    }

    /// A token's spelling in the vocabulary; [`token_bytes`](Self::token_bytes) is what it stands for.
    pub fn token_str(&self, id: TokenId) -> Option<String> {
        self.parts
            .added
            .content(id)
            .map(str::to_owned)
            .or_else(|| self.parts.model.id_to_token(id))
    }

    /// The beginning-of-sequence token's spelling, for templates.
    pub fn bos_token(&self) -> Option<&str> {
        self.parts.bos.as_ref().map(|(_, token)| token.as_str())
    }

    /// The end-of-sequence token's spelling, for templates.
    pub fn eos_token(&self) -> Option<&str> {
        self.parts.eos.as_ref().map(|(_, token)| token.as_str())
    }

    /// The beginning-of-sequence token.
    pub fn bos_token_id(&self) -> Option<TokenId> {
        self.parts.bos.as_ref().map(|&(id, _)| id)
    }

    /// The end-of-sequence token; [`eos_token_ids`](Self::eos_token_ids) has all that end an answer.
    pub fn eos_token_id(&self) -> Option<TokenId> {
        self.parts.eos.as_ref().map(|&(id, _)| id)
    }

    /// Whether the model was trained with its beginning-of-sequence token before every text. A chat
    /// template writes it itself.
    pub fn add_bos(&self) -> bool {
        self.parts.add_bos
    }

    /// Whether the model was trained with its end-of-sequence token after every text.
    pub fn add_eos(&self) -> bool {
        self.parts.add_eos
    }

    /// Every token that ends an answer, ascending.
    pub fn eos_token_ids(&self) -> &[TokenId] {
        &self.parts.eos_token_ids
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("bos_token", &self.bos_token())
            .field("eos_token_ids", &self.eos_token_ids())
            .finish_non_exhaustive()
    }
}

fn load_error(path: &Path, problem: String) -> LoadError {
    LoadError::Tokenizer {
        path: path.to_owned(),
        problem,
    }
}
