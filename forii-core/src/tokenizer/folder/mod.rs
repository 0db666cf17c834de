//! A tokenizer from a Hugging Face folder: tokenizer.json, read here instead of by the crate, which
//! panics on some malformed files and accepts ids that contradict each other.

mod file;
mod steps;

use std::collections::HashMap;

use forii_sampling::TokenId;
use serde::de::DeserializeOwned;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::Parts;
use super::ending::eos_token_ids;
use super::special::{AddedToken, AddedTokens, SpecialSpellings};
use super::table::{Kind, Spelling, TokenTable, byte_token};
use file::{AddedTokenEntry, MergeTable, ModelOutline, ModelTables, Outline, Tables, VocabTable};
use steps::Decoding;

/// The tokenizer files of a Hugging Face folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderTokenizer {
    /// tokenizer.json, whole.
    pub tokenizer_json: Vec<u8>,
    /// `bos_token` of tokenizer_config.json.
    pub bos_token: Option<String>,
    /// `eos_token` of tokenizer_config.json.
    pub eos_token: Option<String>,
    /// `unk_token` of tokenizer_config.json.
    pub unk_token: Option<String>,
    /// `pad_token` of tokenizer_config.json.
    pub pad_token: Option<String>,
    /// `add_bos_token` of tokenizer_config.json.
    pub add_bos_token: Option<bool>,
    /// `add_eos_token` of tokenizer_config.json.
    pub add_eos_token: Option<bool>,
}

pub(super) fn build(folder: FolderTokenizer) -> Result<Parts, String> {
    let json = folder.tokenizer_json.as_slice();
    let outline: Outline = parse(json)?;
    check_kind(&outline.model)?;
    let Tables {
        model:
            ModelTables {
                vocab: VocabTable(vocab),
                merges: MergeTable(merges),
            },
    } = parse(json)?;
    if vocab.is_empty() {
        return Err("the vocabulary is empty (model.vocab)".to_owned());
    }
    let decoding = steps::decoding(outline.decoder.as_ref())?;
    let added = added_tokens(&folder, outline.added_tokens, &vocab)?;
    let table = table(&vocab, &added, &decoding, json.len())?;
    let bos = named("bos_token", folder.bos_token, &added)?;
    let eos = named("eos_token", folder.eos_token, &added)?;
    let model = model(outline.model, vocab, merges, &added)?;
    let normalizer = steps::normalizer(outline.normalizer)?;
    let word_steps = steps::word_steps(outline.pre_tokenizer)?;
    let added = AddedTokens::new(added, |content| steps::normalize(normalizer.as_ref(), content))?;

    let special_id = |token: &str| added.id(token).filter(|&id| table.is_special(id));
    // Where tokenizer_config.json does not say, the post-processor's template does.
    let adds = |said: Option<bool>, token: &Option<(TokenId, String)>, place: steps::Place| {
        let template = outline.post_processor.as_ref();
        token
            .as_ref()
            .is_some_and(|(_, token)| said.unwrap_or_else(|| steps::template_adds(template, token, place)))
    };
    Ok(Parts {
        eos_token_ids: eos_token_ids(eos.as_ref().map(|&(id, _)| id), special_id),
        add_bos: adds(folder.add_bos_token, &bos, |single| single.first()),
        add_eos: adds(folder.add_eos_token, &eos, |single| single.last()),
        bos,
        eos,
        strip_leading_space: decoding.strip_leading_space,
        normalizer,
        word_steps,
        model,
        added,
        table,
    })
}

fn check_kind(model: &ModelOutline) -> Result<(), String> {
    let kind = model.kind.as_deref();
    if kind != Some("BPE") && !(kind.is_none() && model.merges.is_some()) {
        let kind = kind.unwrap_or("none");
        return Err(format!(
            "the model type '{kind}' is not supported; supported is BPE"
        ));
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("the model drops merges at random (dropout), which is for training only".to_owned());
    }
    Ok(())
}

fn model(
    outline: ModelOutline,
    mut vocab: Vocab,
    merges: Merges,
    added: &[AddedToken],
) -> Result<BPE, String> {
    let unknown = outline.unk_token;
    if let Some(unknown) = unknown.as_ref().filter(|&unknown| !vocab.contains_key(unknown)) {
        return Err(format!(
            "the unknown token '{unknown}' is not in the vocabulary (model.unk_token)"
        ));
    }
    let prefix = outline
        .continuing_subword_prefix
        .filter(|prefix| !prefix.is_empty());
    let merges = keep_merges(merges, added, &vocab, prefix.as_deref().unwrap_or_default())?;
    for token in added.iter().filter(|token| token.special) {
        if unknown.as_ref() != Some(&token.content) {
            vocab.remove(&token.content);
        }
    }
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(outline.fuse_unk)
        .byte_fallback(outline.byte_fallback)
        .ignore_merges(outline.ignore_merges);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(unknown);
    }
    if let Some(prefix) = prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = outline.end_of_word_suffix.filter(|suffix| !suffix.is_empty()) {
        builder = builder.end_of_word_suffix(suffix);
    }
    builder
        .build()
        .map_err(|error| format!("the merges do not fit the vocabulary: {error}"))
}

/// A token that tokenizer_config.json names, and its id.
fn named(
    key: &str,
    token: Option<String>,
    added: &[AddedToken],
) -> Result<Option<(TokenId, String)>, String> {
    let Some(token) = token else { return Ok(None) };
    match added.iter().find(|added| added.content == token) {
        Some(added) => Ok(Some((added.id, token))),
        None => Err(format!("the {key} '{token}' is not in the vocabulary")),
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("tokenizer.json: {error}"))
}

/// The added tokens, and those that tokenizer_config.json names, checked against the vocabulary.
fn added_tokens(
    folder: &FolderTokenizer,
    entries: Vec<AddedTokenEntry>,
    vocab: &Vocab,
) -> Result<Vec<AddedToken>, String> {
    let mut contents = HashMap::new();
    let mut ids = HashMap::new();
    let mut added = Vec::with_capacity(entries.len());
    for entry in entries {
        let AddedTokenEntry {
            id,
            content,
            single_word,
            lstrip,
            rstrip,
            normalized,
            special,
        } = entry;
        if content.is_empty() {
            continue;
        }
        if let Some(other) = ids.insert(id, content.clone()) {
            return Err(format!(
                "the added tokens '{other}' and '{content}' both have the id {id}"
            ));
        }
        if let Some(other) = contents.insert(content.clone(), id) {
            return Err(format!(
                "the added token '{content}' has two ids, {other} and {id}"
            ));
        }
        if let Some(other) = vocab.get(&content).filter(|&&other| other != id) {
            return Err(format!(
                "the added token '{content}' has the id {id}, in the vocabulary {other}"
            ));
        }
        added.push(AddedToken {
            id,
            content,
            special,
            single_word,
            lstrip,
            rstrip,
            normalized,
        });
    }
    // As in transformers, what tokenizer_config.json names is special. A padding token may be any
    // ordinary token, which texts need: it must be an added token already.
    let named = [
        &folder.bos_token,
        &folder.eos_token,
        &folder.unk_token,
        &folder.pad_token,
    ];
    for (index, token) in named.into_iter().enumerate() {
        let Some(token) = token else { continue };
        if let Some(added) = added.iter_mut().find(|added| added.content == *token) {
            added.special = true;
        } else if let (0 | 1, Some(&id)) = (index, vocab.get(token)) {
            added.push(AddedToken::new(id, token.clone(), true));
        }
    }
    Ok(added)
}

fn table(
    vocab: &Vocab,
    added: &[AddedToken],
    decoding: &Decoding,
    file_len: usize,
) -> Result<TokenTable, String> {
    let in_added: HashMap<&str, &AddedToken> = added
        .iter()
        .map(|token| (token.content.as_str(), token))
        .collect();
    let only_added = added.iter().filter(|token| !vocab.contains_key(&token.content));
    let mut by_id: Vec<(TokenId, &str)> = vocab.iter().map(|(token, &id)| (id, token.as_str())).collect();
    by_id.extend(only_added.map(|token| (token.id, token.content.as_str())));
    by_id.sort_unstable();
    if let Some([(id, one), (_, other)]) = by_id.array_windows().find(|[one, other]| one.0 == other.0) {
        return Err(format!("the tokens '{one}' and '{other}' both have the id {id}"));
    }
    // Each token takes more bytes in the file than the table takes for an id.
    let count = by_id.last().map_or(0, |&(id, _)| id as usize + 1);
    if count > file_len {
        return Err(format!(
            "a token has the id {}, far beyond the number of tokens",
            count - 1
        ));
    }
    let mut table = TokenTable::with_capacity(count, by_id.iter().map(|(_, token)| token.len()).sum());
    for (id, token) in by_id {
        let added = in_added.get(token);
        while table.len() < id as usize {
            table.push(Kind::Hole, |_| {});
        }
        let special = added.is_some_and(|added| added.special);
        let plain = special || (added.is_some() && decoding.spelling == Spelling::ByteLevel);
        let spelling = if plain { Spelling::Plain } else { decoding.spelling };
        let byte = byte_token(token).filter(|_| decoding.byte_fallback && added.is_none());
        table.push(
            if special { Kind::Special } else { Kind::Text },
            |out| match byte {
                Some(byte) => out.push(byte),
                None => spelling.write_bytes(token, out),
            },
        );
    }
    Ok(table)
}

/// The merges but for those that lead to a special token, checked for what the crate takes on trust.
fn keep_merges(
    mut merges: Merges,
    added: &[AddedToken],
    vocab: &Vocab,
    prefix: &str,
) -> Result<Merges, String> {
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    for (index, (left, right)) in merges.iter().enumerate() {
        let Some(rest) = right.strip_prefix(prefix) else {
            return Err(format!(
                "merge {index}: '{right}' does not begin with the prefix '{prefix}'"
            ));
        };
        if left.len() + rest.len() > longest {
            return Err(format!(
                "merge {index} leads to '{left}{rest}', which is not a token"
            ));
        }
    }
    let special = SpecialSpellings::new(added);
    merges.retain(|(left, right)| !special.has_merge(left, &right[prefix.len()..]));
    Ok(merges)
}
