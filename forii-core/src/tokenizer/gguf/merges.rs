//! The merges of a GGUF file's vocabulary: as listed, or as its scores imply.

use tokenizers::models::bpe::{Merges, Vocab};

use super::TokenType;
use crate::tokenizer::special::{AddedToken, SpecialSpellings};

/// The merges that the file lists, but for those that lead to a special token.
pub(super) fn from_file(merges: Vec<String>, added: &[AddedToken], longest: usize) -> Result<Merges, String> {
    if merges.is_empty() {
        return Err("there are no merges (tokenizer.ggml.merges)".to_owned());
    }
    let special = SpecialSpellings::new(added);
    let mut pairs = Merges::with_capacity(merges.len());
    for (index, merge) in merges.into_iter().enumerate() {
        // The first byte belongs to a spelling, even where it is a space.
        let space = merge
            .bytes()
            .skip(1)
            .position(|byte| byte == b' ')
            .map(|at| at + 1);
        let Some((left, right)) = space.and_then(|at| Some((merge.get(..at)?, merge.get(at + 1..)?))) else {
            return Err(format!(
                "merge {index} ('{merge}') is not two tokens with a space between"
            ));
        };
        if left.len() + right.len() > longest {
            return Err(format!(
                "merge {index} leads to '{left}{right}', which is not a token"
            ));
        }
        if special.has_merge(left, right) {
            continue;
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    Ok(pairs)
}

/// Every way to put a token together from two others, best token first: what transformers derives,
/// and what SentencePiece does when it merges the pair whose union has the best score.
pub(super) fn from_scores(
    tokens: &[String],
    types: &[TokenType],
    scores: &[f32],
    vocabulary: &Vocab,
) -> Merges {
    let mergeable = |kind: TokenType| {
        matches!(
            kind,
            TokenType::Normal | TokenType::UserDefined | TokenType::Unused
        )
    };
    let id = |token: &str| {
        vocabulary
            .get(token)
            .copied()
            .filter(|&id| mergeable(types[id as usize]))
    };
    // (score, letters left, letters right, token, bytes left)
    let mut found: Vec<(f32, usize, usize, usize, usize)> = Vec::new();
    for (index, (token, kind)) in tokens.iter().zip(types).enumerate() {
        if !mergeable(*kind) {
            continue;
        }
        let letters = token.chars().count();
        for (left_letters, (at, _)) in token.char_indices().enumerate().skip(1) {
            if id(&token[..at]).is_some() && id(&token[at..]).is_some() {
                found.push((scores[index], left_letters, letters - left_letters, index, at));
            }
        }
    }
    found.sort_by(|a, b| {
        let by_score = b.0.total_cmp(&a.0);
        by_score
            .then(b.1.cmp(&a.1))
            .then(b.2.cmp(&a.2))
            .then(a.3.cmp(&b.3))
    });
    let pair = |&(_, _, _, index, at): &(f32, usize, usize, usize, usize)| {
        let (left, right) = tokens[index].split_at(at);
        (left.to_owned(), right.to_owned())
    };
    found.iter().map(pair).collect()
}
