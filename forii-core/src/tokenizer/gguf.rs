//! A tokenizer from GGUF metadata: `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE, whose
//! merges follow from the scores of its pieces).

use std::collections::HashSet;

use forii_sampling::TokenId;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};

use super::Parts;
use super::ending::eos_token_ids;
use super::pretokenizers;
use super::special::{AddedToken, AddedTokens};
use super::table::{Kind, Spelling, TokenTable, byte_token};

/// The `tokenizer.ggml.*` metadata of a GGUF file, as it stands there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocab {
    /// `model`: "gpt2" or "llama".
    pub model: String,
    /// `pre`: how text is cut before merging; byte-level vocabularies only.
    pub pre: Option<String>,
    /// `tokens`: the spelling of every id.
    pub tokens: Vec<Vec<u8>>,
    /// `token_type`: one for each token, or none at all.
    pub token_types: Vec<i32>,
    /// `scores`: one for each token, or none at all.
    pub scores: Vec<f32>,
    /// `merges`: two spellings with a space between, best first.
    pub merges: Vec<String>,
    /// `bos_token_id`.
    pub bos_token_id: Option<u32>,
    /// `eos_token_id`.
    pub eos_token_id: Option<u32>,
    /// `eot_token_id`: ends a turn.
    pub eot_token_id: Option<u32>,
    /// `unknown_token_id`.
    pub unknown_token_id: Option<u32>,
    /// `padding_token_id`.
    pub padding_token_id: Option<u32>,
    /// `add_bos_token`.
    pub add_bos_token: Option<bool>,
    /// `add_eos_token`.
    pub add_eos_token: Option<bool>,
    /// `add_space_prefix`; SentencePiece vocabularies only.
    pub add_space_prefix: Option<bool>,
}

/// No real token comes near; keeps the derivation of merges linear in the file's size.
const MAX_TOKEN_BYTES: usize = 1024;

/// SentencePiece's space.
const METASPACE: char = '▁';

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenType {
    fn from_gguf(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    fn is_special(self) -> bool {
        matches!(self, Self::Unknown | Self::Control)
    }
}

/// The two kinds of vocabulary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    ByteLevel,
    SentencePiece,
}

pub(super) fn build(vocab: GgufVocab) -> Result<Parts, String> {
    let family = match vocab.model.as_str() {
        "gpt2" => Family::ByteLevel,
        "llama" => Family::SentencePiece,
        other => {
            return Err(format!(
                "the model '{other}' (tokenizer.ggml.model) is not supported; supported are gpt2, llama"
            ));
        }
    };
    let mut types = token_types(&vocab)?;
    let named = named_tokens(&vocab, family)?;
    for id in [named.bos, named.eos, named.eot].into_iter().flatten() {
        if types[id as usize] == TokenType::UserDefined {
            types[id as usize] = TokenType::Control;
        }
    }
    let tokens = spellings(vocab.tokens)?;
    let longest = tokens.iter().map(String::len).max().unwrap_or(0);
    let table = table(&tokens, &types, family);
    let added = added_tokens(&tokens, &types);
    let unknown = named.unknown.filter(|_| family == Family::SentencePiece);
    let vocabulary = vocabulary(&tokens, &types, unknown)?;
    let mut builder = BPE::builder();
    let (normalizer, word_steps, add_bos);
    match family {
        Family::ByteLevel => {
            let split = pretokenizers::by_name(vocab.pre.as_deref())?;
            let merges = file_merges(vocab.merges, &added, longest)?;
            builder = builder
                .vocab_and_merges(vocabulary, merges)
                .ignore_merges(split.ignore_merges);
            normalizer = None;
            word_steps = split.steps;
            add_bos = split.add_bos;
        }
        Family::SentencePiece => {
            let merges = if vocab.merges.is_empty() {
                if vocab.scores.is_empty() {
                    return Err("there are neither merges nor scores to derive them from".to_owned());
                }
                derive_merges(&tokens, &types, &vocab.scores, &vocabulary)
            } else {
                file_merges(vocab.merges, &added, longest)?
            };
            builder = builder
                .vocab_and_merges(vocabulary, merges)
                .byte_fallback(true)
                .fuse_unk(true);
            if let Some(unknown) = unknown {
                builder = builder.unk_token(tokens[unknown as usize].clone());
            }
            normalizer = Some(sentencepiece_normalizer(vocab.add_space_prefix != Some(false))?);
            word_steps = Vec::new();
            add_bos = true;
        }
    }
    let model = builder
        .build()
        .map_err(|error| format!("the merges do not fit the tokens: {error}"))?;
    let added = AddedTokens::new(added, |content| Ok(content.to_owned()))?;
    let spelled = |id: Option<TokenId>| id.map(|id| (id, tokens[id as usize].clone()));
    let special_id = |token: &str| added.id(token).filter(|&id| table.is_special(id));
    Ok(Parts {
        eos_token_ids: eos_token_ids(named.eos.into_iter().chain(named.eot), special_id),
        add_bos: vocab.add_bos_token.unwrap_or(add_bos) && named.bos.is_some(),
        add_eos: vocab.add_eos_token.unwrap_or(false) && named.eos.is_some(),
        bos: spelled(named.bos),
        eos: spelled(named.eos),
        strip_leading_space: family == Family::SentencePiece && vocab.add_space_prefix != Some(false),
        normalizer,
        word_steps,
        model,
        added,
        table,
    })
}

/// One type for each token; all normal where the file has none.
fn token_types(vocab: &GgufVocab) -> Result<Vec<TokenType>, String> {
    let count = vocab.tokens.len();
    if count == 0 {
        return Err("the vocabulary is empty (tokenizer.ggml.tokens)".to_owned());
    }
    for (key, length) in [
        ("token_type", vocab.token_types.len()),
        ("scores", vocab.scores.len()),
    ] {
        if length != 0 && length != count {
            return Err(format!(
                "tokenizer.ggml.{key} has {length} entries for {count} tokens"
            ));
        }
    }
    if vocab.token_types.is_empty() {
        return Ok(vec![TokenType::Normal; count]);
    }
    let types = vocab.token_types.iter().enumerate().map(|(id, &number)| {
        TokenType::from_gguf(number).ok_or_else(|| format!("token {id} has the unknown type {number}"))
    });
    types.collect()
}

/// The tokens that the file names by id.
struct NamedTokens {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    eot: Option<TokenId>,
    unknown: Option<TokenId>,
}

fn named_tokens(vocab: &GgufVocab, family: Family) -> Result<NamedTokens, String> {
    let count = vocab.tokens.len();
    let check = |key: &str, id: Option<u32>| match id {
        Some(id) if id as usize >= count => Err(format!(
            "tokenizer.ggml.{key} is {id}, but there are {count} tokens"
        )),
        id => Ok(id),
    };
    // Where a SentencePiece file is silent, its tokens stand at their usual places.
    let usual = |id: u32, spelling: &str| {
        let found = vocab
            .tokens
            .get(id as usize)
            .is_some_and(|token| token == spelling.as_bytes());
        (family == Family::SentencePiece && found).then_some(id)
    };
    check("padding_token_id", vocab.padding_token_id)?;
    Ok(NamedTokens {
        bos: check("bos_token_id", vocab.bos_token_id)?.or_else(|| usual(1, "<s>")),
        eos: check("eos_token_id", vocab.eos_token_id)?.or_else(|| usual(2, "</s>")),
        eot: check("eot_token_id", vocab.eot_token_id)?,
        unknown: check("unknown_token_id", vocab.unknown_token_id)?.or_else(|| usual(0, "<unk>")),
    })
}

fn spellings(tokens: Vec<Vec<u8>>) -> Result<Vec<String>, String> {
    let mut total = 0_usize;
    let check = tokens.into_iter().enumerate().map(|(id, token)| {
        total += token.len();
        if token.len() > MAX_TOKEN_BYTES {
            return Err(format!(
                "token {id} has {} bytes, more than {MAX_TOKEN_BYTES}",
                token.len()
            ));
        }
        String::from_utf8(token).map_err(|_| format!("token {id} is not valid UTF-8"))
    });
    let tokens = check.collect::<Result<Vec<_>, _>>()?;
    if u32::try_from(total).is_err() {
        return Err(format!("the tokens have {total} bytes together, more than 4 GiB"));
    }
    Ok(tokens)
}

fn table(tokens: &[String], types: &[TokenType], family: Family) -> TokenTable {
    let mut table = TokenTable::with_capacity(tokens.len(), tokens.iter().map(String::len).sum());
    for (token, kind) in tokens.iter().zip(types) {
        let spelling = match (family, kind) {
            (_, TokenType::Control | TokenType::Unknown) => Spelling::Plain,
            (Family::ByteLevel, TokenType::UserDefined) => Spelling::Plain,
            (Family::ByteLevel, _) => Spelling::ByteLevel,
            (Family::SentencePiece, _) => Spelling::Metaspace(METASPACE),
        };
        let byte = if *kind == TokenType::Byte {
            byte_token(token)
        } else {
            None
        };
        let kind = if kind.is_special() {
            Kind::Special
        } else {
            Kind::Text
        };
        table.push(kind, |out| match byte {
            Some(byte) => out.push(byte),
            None => spelling.write_bytes(token, out),
        });
    }
    table
}

/// Control tokens, and user-defined ones, which are matched in every text.
fn added_tokens(tokens: &[String], types: &[TokenType]) -> Vec<AddedToken> {
    let added = tokens.iter().zip(types).enumerate().filter(|(_, (token, kind))| {
        !token.is_empty() && (kind.is_special() || **kind == TokenType::UserDefined)
    });
    added
        .map(|(id, (token, kind))| AddedToken::new(id as TokenId, token.clone(), kind.is_special()))
        .collect()
}

/// What the merges work with: all tokens but the special ones, which no text may lead to. `unknown`
/// stays, for text that nothing else stands for.
fn vocabulary(tokens: &[String], types: &[TokenType], unknown: Option<TokenId>) -> Result<Vocab, String> {
    let mut vocabulary = Vocab::default();
    vocabulary.reserve(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(other) = vocabulary.insert(token.clone(), id as TokenId) {
            return Err(format!("the tokens {other} and {id} are both '{token}'"));
        }
    }
    for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
        if kind.is_special() && unknown != Some(id as TokenId) {
            vocabulary.remove(token);
        }
    }
    Ok(vocabulary)
}

/// The merges that the file lists, but for those that lead to a special token.
fn file_merges(merges: Vec<String>, added: &[AddedToken], longest: usize) -> Result<Merges, String> {
    if merges.is_empty() {
        return Err("there are no merges (tokenizer.ggml.merges)".to_owned());
    }
    let special: HashSet<&str> = added
        .iter()
        .filter(|token| token.special)
        .map(|token| token.content.as_str())
        .collect();
    let mut joined = String::new();
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
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        if joined.len() > longest {
            return Err(format!("merge {index} leads to '{joined}', which is not a token"));
        }
        if special.contains(joined.as_str()) || special.contains(left) || special.contains(right) {
            continue;
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    Ok(pairs)
}

/// Every way to put a token together from two others, best token first: what transformers derives,
/// and what SentencePiece does when it merges the pair whose union has the best score.
fn derive_merges(tokens: &[String], types: &[TokenType], scores: &[f32], vocabulary: &Vocab) -> Merges {
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

/// Spaces become `▁`, and one is put before every piece between special tokens.
fn sentencepiece_normalizer(add_space_prefix: bool) -> Result<NormalizerWrapper, String> {
    let spaces = Replace::new(" ", METASPACE.to_string()).map_err(|error| error.to_string())?;
    let mut steps = Vec::new();
    if add_space_prefix {
        steps.push(Prepend::new(METASPACE.to_string()).into());
    }
    steps.push(spaces.into());
    Ok(Sequence::new(steps).into())
}
