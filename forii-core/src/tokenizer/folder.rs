//! A tokenizer from a Hugging Face folder: tokenizer.json, read here instead of by the crate, which
//! panics on some malformed files and accepts ids that contradict each other.

use std::collections::HashMap;
use std::fmt;

use forii_sampling::TokenId;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer, SplitDelimiterBehavior};

use super::Parts;
use super::ending::eos_token_ids;
use super::special::{AddedToken, AddedTokens};
use super::table::{Kind, Spelling, TokenTable, byte_token};
use super::words::Step;

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

/// tokenizer.json without the tables.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<AddedTokenEntry>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: ModelOutline,
}

#[derive(Deserialize)]
struct AddedTokenEntry {
    id: TokenId,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct ModelOutline {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    /// Only where `kind` is absent does its presence tell BPE from the others.
    merges: Option<IgnoredAny>,
}

/// tokenizer.json's tables; read once the outline says that they are BPE's.
#[derive(Deserialize)]
struct Tables {
    model: ModelTables,
}

#[derive(Deserialize)]
struct ModelTables {
    vocab: VocabTable,
    merges: MergeTable,
}

struct VocabTable(Vocab);

struct MergeTable(Merges);

/// How the decoder undoes spellings.
struct Decoding {
    spelling: Spelling,
    byte_fallback: bool,
    strip_leading_space: bool,
}

pub(super) fn build(folder: FolderTokenizer) -> Result<Parts, String> {
    let json = folder.tokenizer_json.as_slice();
    let outline: Outline = parse(json)?;
    let kind = outline.model.kind.as_deref();
    if kind != Some("BPE") && !(kind.is_none() && outline.model.merges.is_some()) {
        return Err(format!(
            "the model type '{}' is not supported; supported is BPE",
            kind.unwrap_or("none")
        ));
    }
    if outline.model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("the model drops merges at random (dropout), which is for training only".to_owned());
    }
    let Tables {
        model:
            ModelTables {
                vocab: VocabTable(mut vocab),
                merges: MergeTable(merges),
            },
    } = parse(json)?;
    if vocab.is_empty() {
        return Err("the vocabulary is empty (model.vocab)".to_owned());
    }

    let decoding = decoding(outline.decoder.as_ref())?;
    let added = added_tokens(&folder, outline.added_tokens, &vocab)?;
    let table = table(&vocab, &added, &decoding, json.len())?;
    let named = |key: &str, token: &Option<String>| match token {
        None => Ok(None),
        Some(token) => match added.iter().find(|added| added.content == *token) {
            Some(added) => Ok(Some((added.id, token.clone()))),
            None => Err(format!("the {key} '{token}' is not in the vocabulary")),
        },
    };
    let bos = named("bos_token", &folder.bos_token)?;
    let eos = named("eos_token", &folder.eos_token)?;

    let unknown = outline.model.unk_token;
    if let Some(unknown) = unknown.as_ref().filter(|&unknown| !vocab.contains_key(unknown)) {
        return Err(format!(
            "the unknown token '{unknown}' is not in the vocabulary (model.unk_token)"
        ));
    }
    let merges = keep_merges(
        merges,
        &added,
        &vocab,
        outline.model.continuing_subword_prefix.as_deref(),
    )?;
    for token in added
        .iter()
        .filter(|token| token.special && unknown.as_ref() != Some(&token.content))
    {
        vocab.remove(&token.content);
    }
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(outline.model.fuse_unk)
        .byte_fallback(outline.model.byte_fallback)
        .ignore_merges(outline.model.ignore_merges);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(unknown);
    }
    if let Some(prefix) = outline.model.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = outline.model.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    let model = builder
        .build()
        .map_err(|error| format!("the merges do not fit the vocabulary: {error}"))?;

    let normalizer = normalizer(outline.normalizer)?;
    let word_steps = word_steps(outline.pre_tokenizer)?;
    let added = AddedTokens::new(added, |content| normalize(normalizer.as_ref(), content))?;
    let special_id = |token: &str| added.id(token).filter(|&id| table.is_special(id));
    let adds = |token: &Option<(TokenId, String)>, place: fn(&Vec<Value>) -> Option<&Value>| {
        token
            .as_ref()
            .is_some_and(|(_, token)| template_adds(outline.post_processor.as_ref(), token, place))
    };
    Ok(Parts {
        eos_token_ids: eos_token_ids(eos.as_ref().map(|&(id, _)| id), special_id),
        add_bos: folder
            .add_bos_token
            .unwrap_or_else(|| adds(&bos, |single| single.first()))
            && bos.is_some(),
        add_eos: folder
            .add_eos_token
            .unwrap_or_else(|| adds(&eos, |single| single.last()))
            && eos.is_some(),
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
    prefix: Option<&str>,
) -> Result<Merges, String> {
    let special: HashMap<&str, TokenId> = added
        .iter()
        .filter(|token| token.special)
        .map(|token| (token.content.as_str(), token.id))
        .collect();
    let prefix = prefix.unwrap_or_default();
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
    let mut joined = String::new();
    merges.retain(|(left, right)| {
        joined.clear();
        joined.push_str(left);
        joined.push_str(&right[prefix.len()..]);
        ![left, right, &joined]
            .iter()
            .any(|token| special.contains_key(token.as_str()))
    });
    Ok(merges)
}

/// The normalizers that are known to be sound on every text. `Precompiled` belongs to Unigram models.
const NORMALIZERS: &[&str] = &[
    "Sequence",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Lowercase",
    "Strip",
    "StripAccents",
    "Replace",
    "Prepend",
    "ByteLevel",
];

/// The pre-tokenizers of byte-level and SentencePiece vocabularies.
const PRE_TOKENIZERS: &[&str] = &[
    "Sequence",
    "ByteLevel",
    "Metaspace",
    "Split",
    "Digits",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
    "UnicodeScripts",
];

fn normalizer(value: Option<Value>) -> Result<Option<NormalizerWrapper>, String> {
    let Some(value) = value else { return Ok(None) };
    check_types("normalizer", &value, NORMALIZERS)?;
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| format!("normalizer: {error}"))
}

fn word_steps(value: Option<Value>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    if let Some(value) = value {
        check_types("pre_tokenizer", &value, PRE_TOKENIZERS)?;
        push_word_steps(value, &mut steps)?;
    }
    Ok(steps)
}

fn push_word_steps(value: Value, steps: &mut Vec<Step>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Split {
        behavior: SplitDelimiterBehavior,
        invert: bool,
    }
    let regex = value
        .get("pattern")
        .and_then(|pattern| pattern.get("Regex"))
        .and_then(Value::as_str);
    if let Some(list) = value.get("pretokenizers").and_then(Value::as_array) {
        return list
            .iter()
            .try_for_each(|step| push_word_steps(step.clone(), steps));
    }
    let problem = |error| format!("pre_tokenizer: {error}");
    steps.push(match regex {
        Some(pattern) => {
            let Split { behavior, invert } = Split::deserialize(&value).map_err(problem)?;
            Step::regex(pattern, behavior, invert)?
        }
        None => Step::Crate(serde_json::from_value(value).map_err(problem)?),
    });
    Ok(())
}

/// The crate guesses a step that has no type, and panics on some of its guesses.
fn check_types(key: &str, value: &Value, known: &[&str]) -> Result<(), String> {
    match value.get("type").and_then(Value::as_str) {
        None => Err(format!("{key}: a step has no type")),
        Some(kind) if !known.contains(&kind) => Err(format!(
            "{key}: the step '{kind}' is not supported; supported are {}",
            known.join(", ")
        )),
        Some("Sequence") => {
            let steps = ["normalizers", "pretokenizers"]
                .iter()
                .find_map(|list| value.get(list)?.as_array());
            steps
                .into_iter()
                .flatten()
                .try_for_each(|step| check_types(key, step, known))
        }
        // The crate panics where a text makes a regex backtrace without end.
        Some("Replace")
            if value
                .get("pattern")
                .is_some_and(|pattern| pattern.get("String").is_none()) =>
        {
            Err(format!("{key}: a Replace of a regex is not supported"))
        }
        Some(_) => Ok(()),
    }
}

/// What the decoder's steps undo; the order in which real files list them does not matter.
fn decoding(decoder: Option<&Value>) -> Result<Decoding, String> {
    let mut decoding = Decoding {
        spelling: Spelling::Plain,
        byte_fallback: false,
        strip_leading_space: false,
    };
    let Some(decoder) = decoder else {
        return Ok(decoding);
    };
    let single = std::slice::from_ref(decoder);
    for step in decoder
        .get("decoders")
        .and_then(Value::as_array)
        .map_or(single, Vec::as_slice)
    {
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        match text("type") {
            Some("ByteLevel") => decoding.spelling = Spelling::ByteLevel,
            Some("ByteFallback") => decoding.byte_fallback = true,
            Some("Fuse") => {}
            Some("Metaspace") => {
                decoding.spelling = Spelling::Metaspace(one_char(text("replacement")).unwrap_or('▁'));
                decoding.strip_leading_space = text("prepend_scheme") != Some("never")
                    && step.get("add_prefix_space").and_then(Value::as_bool) != Some(false);
            }
            Some("Replace") => {
                let pattern = step
                    .get("pattern")
                    .and_then(|pattern| pattern.get("String"))
                    .and_then(Value::as_str);
                match (one_char(pattern), text("content")) {
                    (Some(space), Some(" ")) => decoding.spelling = Spelling::Metaspace(space),
                    _ => {
                        return Err(
                            "decoder: a Replace that does not yield spaces is not supported".to_owned()
                        );
                    }
                }
            }
            Some("Strip") => {
                let count = |key: &str| step.get(key).and_then(Value::as_u64).unwrap_or(0);
                if text("content") != Some(" ") || count("start") > 1 || count("stop") > 0 {
                    return Err("decoder: a Strip of more than one leading space is not supported".to_owned());
                }
                decoding.strip_leading_space = count("start") == 1;
            }
            other => {
                return Err(format!(
                    "decoder: the step '{}' is not supported; supported are ByteLevel, ByteFallback, Fuse, \
                     Metaspace, Replace, Strip",
                    other.unwrap_or("without a type")
                ));
            }
        }
    }
    Ok(decoding)
}

fn one_char(text: Option<&str>) -> Option<char> {
    let mut chars = text?.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// Whether a `TemplateProcessing` puts `token` at one end of every single text.
fn template_adds(processor: Option<&Value>, token: &str, place: fn(&Vec<Value>) -> Option<&Value>) -> bool {
    let Some(processor) = processor else { return false };
    if let Some(steps) = processor.get("processors").and_then(Value::as_array) {
        return steps.iter().any(|step| template_adds(Some(step), token, place));
    }
    let single = processor.get("single").and_then(Value::as_array);
    let special = single
        .and_then(place)
        .and_then(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
    special == Some(token)
}

fn normalize(normalizer: Option<&NormalizerWrapper>, content: &str) -> Result<String, String> {
    let mut text = NormalizedString::from(content);
    if let Some(normalizer) = normalizer {
        normalizer
            .normalize(&mut text)
            .map_err(|error| format!("normalizer: {error}"))?;
    }
    match text.get() {
        "" => Err(format!(
            "the added token '{content}' is empty once it is normalized"
        )),
        text => Ok(text.to_owned()),
    }
}

impl<'de> Deserialize<'de> for VocabTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableVisitor;
        impl<'de> Visitor<'de> for TableVisitor {
            type Value = VocabTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from token to id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabTable, A::Error> {
                let mut vocab = Vocab::default();
                while let Some((token, id)) = map.next_entry::<String, TokenId>()? {
                    if let Some(other) = vocab.insert(token, id) {
                        return Err(A::Error::custom(format!(
                            "a token is listed twice, as {other} and {id}"
                        )));
                    }
                }
                Ok(VocabTable(vocab))
            }
        }
        deserializer.deserialize_map(TableVisitor)
    }
}

impl<'de> Deserialize<'de> for MergeTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// `"a b"`, or since tokenizers 0.20 `["a", "b"]`.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(String, String),
            Line(String),
        }
        struct TableVisitor;
        impl<'de> Visitor<'de> for TableVisitor {
            type Value = MergeTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MergeTable, A::Error> {
                let mut merges = Merges::new();
                while let Some(merge) = list.next_element::<Merge>()? {
                    merges.push(match merge {
                        Merge::Pair(left, right) => (left, right),
                        Merge::Line(line) => match line.split_once(' ') {
                            Some((left, right)) if !right.contains(' ') => {
                                (left.to_owned(), right.to_owned())
                            }
                            _ => {
                                let index = merges.len();
                                return Err(A::Error::custom(format!(
                                    "merge {index} ('{line}') is not two tokens"
                                )));
                            }
                        },
                    });
                }
                Ok(MergeTable(merges))
            }
        }
        deserializer.deserialize_seq(TableVisitor)
    }
}
