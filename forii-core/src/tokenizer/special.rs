//! Finding added tokens in text: special ones only where they may be, user-defined ones always.
//! The matching rules (leftmost longest, the flags, two stages) are those of the tokenizers crate.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use forii_sampling::TokenId;
use tokenizers::normalizer::Range as TextRange;
use tokenizers::{NormalizedString, Token};

/// A token that is matched in the text before anything else happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) id: TokenId,
    pub(super) content: String,
    /// Control: never matched in a user's text.
    pub(super) special: bool,
    /// Not matched inside a word.
    pub(super) single_word: bool,
    /// Takes the white space before it along.
    pub(super) lstrip: bool,
    /// Takes the white space after it along.
    pub(super) rstrip: bool,
    /// Matched in the text once it is normalized, not before.
    pub(super) normalized: bool,
}

impl AddedToken {
    pub(super) fn new(id: TokenId, content: String, special: bool) -> Self {
        Self {
            id,
            content,
            special,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
        }
    }
}

/// Which tokens are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Those that match the text as it is.
    Raw,
    /// Those that match the normalized text.
    Normalized,
}

/// A piece of text, and the token it is, if it is one.
pub(super) type Piece = (NormalizedString, Option<Vec<Token>>);

/// All added tokens of a tokenizer.
#[derive(Debug)]
pub(super) struct AddedTokens {
    tokens: Vec<AddedToken>,
    by_content: HashMap<String, TokenId>,
    by_id: HashMap<TokenId, usize>,
    raw: Option<Matcher>,
    normalized: Option<Matcher>,
}

/// An automaton, and the token of each of its patterns.
#[derive(Debug)]
struct Matcher {
    automaton: AhoCorasick,
    tokens: Vec<usize>,
}

impl AddedTokens {
    /// `normalize` is applied to the spelling of tokens that match normalized text.
    pub(super) fn new(
        tokens: Vec<AddedToken>,
        normalize: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let mut raw = Vec::new();
        let mut normalized = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            if token.normalized {
                normalized.push((index, normalize(&token.content)?));
            } else {
                raw.push((index, token.content.clone()));
            }
        }
        Ok(Self {
            raw: Matcher::new(raw)?,
            normalized: Matcher::new(normalized)?,
            by_content: tokens
                .iter()
                .map(|token| (token.content.clone(), token.id))
                .collect(),
            by_id: tokens
                .iter()
                .enumerate()
                .map(|(index, token)| (token.id, index))
                .collect(),
            tokens,
        })
    }

    pub(super) fn id(&self, content: &str) -> Option<TokenId> {
        self.by_content.get(content).copied()
    }

    pub(super) fn content(&self, id: TokenId) -> Option<&str> {
        self.by_id
            .get(&id)
            .map(|&index| self.tokens[index].content.as_str())
    }

    /// Cuts `piece` at its added tokens. `literal` holds ascending, disjoint byte ranges of the
    /// whole original text in which no special token is recognised, not even in part.
    pub(super) fn split(
        &self,
        piece: NormalizedString,
        stage: Stage,
        literal: &[Range<usize>],
    ) -> tokenizers::Result<Vec<Piece>> {
        let matcher = match stage {
            Stage::Raw => &self.raw,
            Stage::Normalized => &self.normalized,
        };
        let Some(matcher) = matcher else {
            return Ok(vec![(piece, None)]);
        };
        let original = |range: &Range<usize>| {
            let shift = piece.offsets_original().0;
            let range = piece.convert_offsets(TextRange::Normalized(range.clone()));
            range.map_or(0..usize::MAX, |range| range.start + shift..range.end + shift)
        };
        let found = self.find(matcher, piece.get(), |range| overlaps(literal, &original(range)));
        if found.is_empty() {
            return Ok(vec![(piece, None)]);
        }
        let slice = |range: Range<usize>| {
            piece
                .slice(TextRange::Normalized(range))
                .ok_or("an added token cuts a character")
        };
        let mut pieces = Vec::with_capacity(2 * found.len() + 1);
        let mut done = 0;
        for (token, range) in found {
            if done < range.start {
                pieces.push((slice(done..range.start)?, None));
            }
            done = range.end;
            let token = Token::new(token.id, token.content.clone(), (0, range.len()));
            pieces.push((slice(range)?, Some(vec![token])));
        }
        if done < piece.get().len() {
            pieces.push((slice(done..piece.get().len())?, None));
        }
        Ok(pieces)
    }

    /// The tokens of `text` and where they are, white space that they take along included.
    fn find(
        &self,
        matcher: &Matcher,
        text: &str,
        is_literal: impl Fn(&Range<usize>) -> bool,
    ) -> Vec<(&AddedToken, Range<usize>)> {
        let mut found = Vec::new();
        let mut done = 0;
        let mut from = 0;
        while let Some(hit) = matcher.automaton.find(Input::new(text).range(from..)) {
            let token = &self.tokens[matcher.tokens[hit.pattern().as_usize()]];
            let (mut start, mut end) = (hit.start(), hit.end());
            from = end;
            if token.special && is_literal(&(start..end)) {
                // A special token may begin in what a user's text only seemed to begin.
                let next = text[start..].chars().next().map_or(1, char::len_utf8);
                from = if is_literal(&(end - 1..end)) {
                    end
                } else {
                    start + next
                };
                continue;
            }
            let inside_word = text[..start].chars().next_back().is_some_and(is_word)
                || text[end..].chars().next().is_some_and(is_word);
            if token.single_word && inside_word {
                continue;
            }
            if token.lstrip {
                // An earlier token may have taken the space already.
                start = text[..start].trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            found.push((token, start..end));
            done = end;
        }
        found
    }
}

/// The spellings of special tokens, quick to say no: asked about every merge of a vocabulary.
pub(super) struct SpecialSpellings<'a> {
    spellings: HashSet<&'a str>,
    /// Whether any has so many bytes.
    lengths: Vec<bool>,
}

impl<'a> SpecialSpellings<'a> {
    pub(super) fn new(added: &'a [AddedToken]) -> Self {
        let special = added.iter().filter(|token| token.special);
        let spellings: HashSet<&str> = special.map(|token| token.content.as_str()).collect();
        let mut lengths = Vec::new();
        for spelling in &spellings {
            lengths.resize(lengths.len().max(spelling.len() + 1), false);
            lengths[spelling.len()] = true;
        }
        Self { spellings, lengths }
    }

    /// Whether the merge of `left` and `right` starts from a special token or leads to one.
    pub(super) fn has_merge(&self, left: &str, right: &str) -> bool {
        let known = |length: usize| self.lengths.get(length) == Some(&true);
        (known(left.len()) && self.spellings.contains(left))
            || (known(right.len()) && self.spellings.contains(right))
            || (known(left.len() + right.len()) && self.spellings.contains([left, right].concat().as_str()))
    }
}

impl Matcher {
    fn new(patterns: Vec<(usize, String)>) -> Result<Option<Self>, String> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(patterns.iter().map(|(_, pattern)| pattern))
            .map_err(|error| format!("the added tokens cannot be searched: {error}"))?;
        Ok(Some(Self {
            automaton,
            tokens: patterns.into_iter().map(|(index, _)| index).collect(),
        }))
    }
}

fn overlaps(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    let next = ranges.partition_point(|other| other.end <= range.start);
    ranges.get(next).is_some_and(|other| other.start < range.end)
}

/// `\w` of the regex crate, which the tokenizers crate asks.
fn is_word(character: char) -> bool {
    regex_syntax::try_is_word_character(character).unwrap_or(false)
}
