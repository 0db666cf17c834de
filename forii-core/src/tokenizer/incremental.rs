//! Tokens → text, one by one: whole characters as soon as they are whole, never half of one.

use forii_sampling::TokenId;

use super::Tokenizer;

/// Decodes a growing sequence of tokens. Special tokens are left out. What comes out, over all
/// calls, is what `String::from_utf8_lossy` makes of all bytes together.
#[derive(Debug, Clone)]
pub struct IncrementalDecoder {
    tokenizer: Tokenizer,
    /// Bytes of a character that later tokens may complete; at most three.
    pending: Vec<u8>,
    /// Whether the next byte is the first, where SentencePiece's own space is dropped.
    at_start: bool,
}

impl IncrementalDecoder {
    /// A decoder at the beginning of a text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            pending: Vec::new(),
            at_start: tokenizer.parts.strip_leading_space,
        }
    }

    /// Appends to `text` what is whole once `token` has come. An id without a token adds nothing.
    pub fn push(&mut self, token: TokenId, text: &mut String) {
        if self.tokenizer.is_special(token) {
            return;
        }
        let mut bytes = self.tokenizer.token_bytes(token).unwrap_or_default();
        if self.at_start && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.at_start = false;
        }
        self.pending.extend_from_slice(bytes);
        let mut kept = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            kept += chunk.valid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            if kept + chunk.invalid().len() == self.pending.len() && is_incomplete(chunk.invalid()) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            kept += chunk.invalid().len();
        }
        self.pending.drain(..kept);
    }

    /// Appends the replacement character for a character that stayed incomplete, and begins anew.
    pub fn finish(&mut self, text: &mut String) {
        if !self.pending.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.pending.clear();
        }
        self.at_start = self.tokenizer.parts.strip_leading_space;
    }
}

/// Whether more bytes could make `bytes` valid, rather than nothing could.
fn is_incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
