//! The processing steps that tokenizer.json lists. Only steps that are sound on every text are let in;
//! the decoder is reduced to what it undoes.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer, SplitDelimiterBehavior};

use crate::tokenizer::table::Spelling;
use crate::tokenizer::words::Step;

/// How the decoder undoes spellings.
pub(super) struct Decoding {
    pub(super) spelling: Spelling,
    pub(super) byte_fallback: bool,
    pub(super) strip_leading_space: bool,
}

/// What the tokenizer does to a text before it looks for words.
pub(super) fn normalize(normalizer: Option<&NormalizerWrapper>, content: &str) -> Result<String, String> {
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

pub(super) fn normalizer(value: Option<Value>) -> Result<Option<NormalizerWrapper>, String> {
    let Some(value) = value else { return Ok(None) };
    check_types("normalizer", &value, NORMALIZERS)?;
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| format!("normalizer: {error}"))
}

pub(super) fn word_steps(value: Option<Value>) -> Result<Vec<Step>, String> {
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
pub(super) fn decoding(decoder: Option<&Value>) -> Result<Decoding, String> {
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

/// One end of a template.
pub(super) type Place = fn(&[Value]) -> Option<&Value>;

/// Whether a `TemplateProcessing` puts `token` at one end of every single text.
pub(super) fn template_adds(processor: Option<&Value>, token: &str, place: Place) -> bool {
    let Some(processor) = processor else { return false };
    if let Some(steps) = processor.get("processors").and_then(Value::as_array) {
        return steps.iter().any(|step| template_adds(Some(step), token, place));
    }
    let single = processor.get("single").and_then(Value::as_array);
    let piece = single.and_then(|single| place(single));
    piece.and_then(|piece| piece.get("SpecialToken")?.get("id")?.as_str()) == Some(token)
}
