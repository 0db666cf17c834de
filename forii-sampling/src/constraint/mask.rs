//! A set of tokens, one bit each.

use crate::TokenId;

/// A set of tokens of one vocabulary, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenMask {
    words: Vec<u32>,
    len: usize,
}

impl TokenMask {
    /// The empty set over a vocabulary of this many tokens.
    pub fn empty(vocab_size: usize) -> Self {
        Self {
            words: vec![0; vocab_size.div_ceil(32)],
            len: vocab_size,
        }
    }

    /// All tokens of a vocabulary of this many.
    pub fn full(vocab_size: usize) -> Self {
        let mut mask = Self {
            words: vec![u32::MAX; vocab_size.div_ceil(32)],
            len: vocab_size,
        };
        mask.clear_tail();
        mask
    }

    /// How many tokens the vocabulary has.
    pub fn vocab_size(&self) -> usize {
        self.len
    }

    /// How many tokens are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }

    /// Whether the token is in the set.
    pub fn contains(&self, token: TokenId) -> bool {
        self.words
            .get(token as usize / 32)
            .is_some_and(|w| w >> (token % 32) & 1 == 1)
    }

    /// Adds a token. One outside the vocabulary is never in the set.
    pub fn insert(&mut self, token: TokenId) {
        if (token as usize) < self.len {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    /// Takes a token out.
    pub fn remove(&mut self, token: TokenId) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    /// The tokens in the set, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = TokenId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u32 * 32 + bit
                })
            })
        })
    }

    /// The bits, 32 tokens a word, the lowest id in the lowest bit.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Sets all bits; missing words are empty, superfluous ones ignored.
    pub fn copy_from_words(&mut self, words: &[u32]) {
        let known = words.len().min(self.words.len());
        self.words[..known].copy_from_slice(&words[..known]);
        self.words[known..].fill(0);
        self.clear_tail();
    }

    fn clear_tail(&mut self) {
        if let Some(last) = self.words.last_mut().filter(|_| !self.len.is_multiple_of(32)) {
            *last &= (1 << (self.len % 32)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_the_vocabulary_stay_clear() {
        let mut mask = TokenMask::full(33);
        assert_eq!(
            (mask.count(), mask.contains(32), mask.contains(33)),
            (33, true, false)
        );
        mask.copy_from_words(&[u32::MAX; 3]);
        assert_eq!(mask, TokenMask::full(33));
        mask.insert(40);
        mask.remove(400);
        assert_eq!(mask.count(), 33);
        mask.copy_from_words(&[0b101]);
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn iteration_finds_what_was_inserted() {
        let ids = [0, 1, 31, 32, 63, 64, 99];
        let mut mask = TokenMask::empty(100);
        assert!(mask.is_empty());
        ids.iter().for_each(|&id| mask.insert(id));
        assert_eq!(mask.iter().collect::<Vec<_>>(), ids);
        assert!(!mask.is_empty() && mask.contains(99) && !mask.contains(98));
        mask.remove(31);
        assert_eq!(mask.count(), ids.len() - 1);
    }
}
