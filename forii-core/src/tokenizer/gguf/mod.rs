//! A tokenizer from GGUF metadata: `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE, whose
//! merges follow from the scores of its pieces).

mod merges;

use std::collections::hash_map::Entry;

use forii_sampling::TokenId;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};

use super::Parts;
use super::ending::eos_token_ids;
use super::pretokenizers;
use super::special::{AddedToken, AddedTokens};
use super::table::{Kind, Spelling, TokenTable, byte_token};
use super::words::Step;

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

/// What the families do differently.
struct Rules {
    model: BpeBuilder,
    normalizer: Option<NormalizerWrapper>,
    word_steps: Vec<Step>,
    /// Where the file does not say.
    add_bos: bool,
    strip_leading_space: bool,
}

pub(super) fn build(mut vocab: GgufVocab) -> Result<Parts, String> {
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
    let tokens = spellings(std::mem::take(&mut vocab.tokens))?;
    let table = table(&tokens, &types, family);
    let added = added_tokens(&tokens, &types);
    let (add_bos_token, add_eos_token) = (vocab.add_bos_token, vocab.add_eos_token);
    let spelled = |id: Option<TokenId>| id.map(|id| (id, tokens[id as usize].clone()));
    let (bos, eos) = (spelled(named.bos), spelled(named.eos));
    let rules = match family {
        Family::ByteLevel => byte_level(vocab, tokens, &types, &added)?,
        Family::SentencePiece => sentencepiece(vocab, tokens, &types, &added, named.unknown)?,
    };
    let model = rules
        .model
        .build()
        .map_err(|error| format!("the merges do not fit the tokens: {error}"))?;
    let added = AddedTokens::new(added, |content| Ok(content.to_owned()))?;
    let special_id = |token: &str| added.id(token).filter(|&id| table.is_special(id));
    Ok(Parts {
        eos_token_ids: eos_token_ids(named.eos.into_iter().chain(named.eot), special_id),
        add_bos: add_bos_token.unwrap_or(rules.add_bos) && bos.is_some(),
        add_eos: add_eos_token.unwrap_or(false) && eos.is_some(),
        bos,
        eos,
        strip_leading_space: rules.strip_leading_space,
        normalizer: rules.normalizer,
        word_steps: rules.word_steps,
        model,
        added,
        table,
    })
}

fn byte_level(
    vocab: GgufVocab,
    tokens: Vec<String>,
    types: &[TokenType],
    added: &[AddedToken],
) -> Result<Rules, String> {
    let split = pretokenizers::by_name(vocab.pre.as_deref())?;
    let merges = merges::from_file(vocab.merges, added, longest(&tokens))?;
    let vocabulary = vocabulary(tokens, types, None)?;
    Ok(Rules {
        model: BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(split.ignore_merges),
        normalizer: None,
        word_steps: split.steps,
        add_bos: split.add_bos,
        strip_leading_space: false,
    })
}

fn sentencepiece(
    vocab: GgufVocab,
    tokens: Vec<String>,
    types: &[TokenType],
    added: &[AddedToken],
    unknown: Option<TokenId>,
) -> Result<Rules, String> {
    let vocabulary = vocabulary(tokens.clone(), types, unknown)?;
    let merges = match (vocab.merges.is_empty(), vocab.scores.is_empty()) {
        (false, _) => merges::from_file(vocab.merges, added, longest(&tokens))?,
        (true, false) => merges::from_scores(&tokens, types, &vocab.scores, &vocabulary),
        (true, true) => return Err("there are neither merges nor scores to derive them from".to_owned()),
    };
    let mut model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token(tokens[unknown as usize].clone());
    }
    let add_space_prefix = vocab.add_space_prefix.unwrap_or(true);
    Ok(Rules {
        model,
        normalizer: Some(sentencepiece_normalizer(add_space_prefix)?),
        word_steps: Vec::new(),
        add_bos: true,
        strip_leading_space: add_space_prefix,
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

fn longest(tokens: &[String]) -> usize {
    tokens.iter().map(String::len).max().unwrap_or(0)
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
fn vocabulary(tokens: Vec<String>, types: &[TokenType], unknown: Option<TokenId>) -> Result<Vocab, String> {
    let mut vocabulary = Vocab::default();
    vocabulary.reserve(tokens.len());
    let mut special = Vec::new();
    for (id, (token, kind)) in tokens.into_iter().zip(types).enumerate() {
        let id = id as TokenId;
        if kind.is_special() && unknown != Some(id) {
            special.push(token.clone());
        }
        match vocabulary.entry(token) {
            Entry::Vacant(entry) => entry.insert(id),
            Entry::Occupied(entry) => {
                return Err(format!(
                    "the tokens {} and {id} are both '{}'",
                    entry.get(),
                    entry.key()
                ));
            }
        };
    }
    for token in special {
        vocabulary.remove(&token);
    }
    Ok(vocabulary)
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
