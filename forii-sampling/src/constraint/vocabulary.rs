//! What each token stands for: all that constraints need to know of a tokenizer.

use std::fmt;
use std::sync::Arc;

use crate::{TokenId, TokenMask};

/// Tokenizes bytes as the model's own tokenizer would, with no special tokens.
pub type Tokenizer = Arc<dyn Fn(&[u8]) -> Vec<TokenId> + Send + Sync>;

/// The tokens of a model: their bytes, which of them are special, and which of these end an answer.
#[derive(Clone)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    special: TokenMask,
    eos: Vec<TokenId>,
    tokenizer: Option<Tokenizer>,
}

/// A vocabulary that no constraint could use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// There are no tokens, or more than a constraint can hold.
    #[error("a vocabulary has 1 to {limit} tokens of 4 GiB in all")]
    Size {
        /// The most tokens.
        limit: usize,
    },
    /// No end-of-sequence token is named, or one that is not there.
    #[error("the end-of-sequence tokens must name tokens of the vocabulary, at least one")]
    Eos,
}

impl Vocabulary {
    const LIMIT: usize = 1 << 22;

    /// Tokens in order of their ids: the bytes each stands for, and whether it is special. A special token's
    /// bytes are its name; as text it stands for nothing.
    ///
    /// # Errors
    /// There are too few or too many tokens, or `eos` does not name some of them.
    pub fn new<B: AsRef<[u8]>>(
        tokens: impl IntoIterator<Item = (B, bool)>,
        eos: &[TokenId],
    ) -> Result<Self, VocabularyError> {
        let size = VocabularyError::Size { limit: Self::LIMIT };
        let (mut bytes, mut ends, mut special) = (Vec::new(), Vec::new(), Vec::new());
        for (token, is_special) in tokens {
            bytes.extend_from_slice(token.as_ref());
            ends.push(u32::try_from(bytes.len()).map_err(|_| size.clone())?);
            if is_special {
                special.push(ends.len() as TokenId - 1);
            }
            if ends.len() > Self::LIMIT {
                return Err(size);
            }
        }
        if ends.is_empty() {
            return Err(size);
        }
        if eos.is_empty() || eos.iter().any(|&id| id as usize >= ends.len()) {
            return Err(VocabularyError::Eos);
        }
        let mut mask = TokenMask::empty(ends.len());
        special
            .into_iter()
            .chain(eos.iter().copied())
            .for_each(|id| mask.insert(id));
        Ok(Self {
            bytes,
            ends,
            special: mask,
            eos: eos.to_vec(),
            tokenizer: None,
        })
    }

    /// Names the model's tokenizer, which forced runs of text need: without it none are forced.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// How many tokens there are.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token: of a special one, its name.
    pub fn bytes(&self, token: TokenId) -> Option<&[u8]> {
        let index = token as usize;
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 {
            0
        } else {
            self.ends[index - 1] as usize
        };
        self.bytes.get(start..end)
    }

    /// Whether a token is special.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.special.contains(token)
    }

    /// The tokens that end an answer.
    pub fn eos(&self) -> &[TokenId] {
        &self.eos
    }

    pub(crate) fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("len", &self.len())
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_their_bytes() {
        let v = Vocabulary::new(
            [("a", false), ("", false), ("\u{20ac}", false), ("<s>", true)],
            &[3],
        )
        .unwrap();
        assert_eq!(
            (v.len(), v.bytes(0), v.bytes(1)),
            (4, Some(&b"a"[..]), Some(&b""[..]))
        );
        assert_eq!(v.bytes(2), Some("\u{20ac}".as_bytes()));
        assert_eq!(
            (v.bytes(4), v.is_special(3), v.is_special(2)),
            (None, true, false)
        );
    }

    #[test]
    fn a_vocabulary_needs_tokens_and_an_end() {
        let none: [(&str, bool); 0] = [];
        assert!(matches!(
            Vocabulary::new(none, &[]),
            Err(VocabularyError::Size { .. })
        ));
        assert_eq!(
            Vocabulary::new([("a", false)], &[]).err(),
            Some(VocabularyError::Eos)
        );
        assert_eq!(
            Vocabulary::new([("a", false)], &[1]).err(),
            Some(VocabularyError::Eos)
        );
    }
}
