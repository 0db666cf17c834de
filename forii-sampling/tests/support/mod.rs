//! Vocabularies for tests: single bytes, and those of real models.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

pub(crate) mod gguf;

use std::path::PathBuf;
use std::sync::OnceLock;

use forii_sampling::constraint::{Constraint, ConstraintError, GrammarCompiler, Vocabulary};
use serde_json::Value;

/// The end token of [`bytes`].
pub(crate) const EOS: u32 = 256;

/// A token for each byte, and an end.
pub(crate) fn bytes() -> &'static GrammarCompiler {
    static COMPILER: OnceLock<GrammarCompiler> = OnceLock::new();
    COMPILER.get_or_init(|| {
        let bytes = (0..=255u8).map(|b| (vec![b], false));
        let end = std::iter::once((b"<end>".to_vec(), true));
        GrammarCompiler::new(Vocabulary::new(bytes.chain(end), &[EOS]).unwrap())
    })
}

/// The vocabulary of a GGUF file in `$FORII_MODELS` or ~/.cache/forii/models, if it is there.
pub(crate) fn model(file: &str) -> Option<Vocabulary> {
    let folder = std::env::var_os("FORII_MODELS")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/forii/models")))?;
    let path = folder.join(file);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(gguf::vocabulary(&path))
}

/// Feeds text token by token, then the end; whether each was in the mask.
pub(crate) fn accepts(
    constraint: &mut dyn Constraint,
    tokens: &[u32],
    eos: u32,
) -> Result<bool, ConstraintError> {
    for &token in tokens.iter().chain(&[eos]) {
        let allowed = constraint.mask()?.contains(token);
        match constraint.accept(token) {
            Ok(()) => assert!(allowed, "token {token} was accepted against the mask"),
            Err(ConstraintError::Rejected { .. }) => {
                assert!(!allowed, "token {token} was rejected against the mask");
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Whether a grammar over single bytes accepts the whole text.
pub(crate) fn accepts_text(constraint: &mut dyn Constraint, text: &str) -> bool {
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    accepts(constraint, &tokens, EOS).unwrap()
}

/// The longest token of the vocabulary at each point, as no tokenizer but any program might split the text.
pub(crate) struct Greedy {
    by_bytes: std::collections::HashMap<Vec<u8>, u32>,
    longest: usize,
}

impl Greedy {
    pub(crate) fn new(vocabulary: &Vocabulary) -> Self {
        let mut by_bytes = std::collections::HashMap::new();
        for token in (0..vocabulary.len() as u32).filter(|&t| !vocabulary.is_special(t)) {
            by_bytes
                .entry(vocabulary.bytes(token).unwrap().to_vec())
                .or_insert(token);
        }
        let longest = by_bytes.keys().map(Vec::len).max().unwrap();
        Self { by_bytes, longest }
    }

    pub(crate) fn tokenize(&self, text: &[u8]) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let len = (1..=self.longest.min(rest.len()))
                .rev()
                .find(|&len| self.by_bytes.contains_key(&rest[..len]))
                .expect("every byte is a token");
            tokens.push(self.by_bytes[&rest[..len]]);
            rest = &rest[len..];
        }
        tokens
    }
}

/// A group of the schema suites.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) schema: Value,
    pub(crate) tests: Vec<(String, bool)>,
}

/// The groups of a file in `$FORII_SHARED/schemas` or ../shared/schemas beside the workspace, if it is there.
pub(crate) fn schemas(file: &str) -> Option<Vec<Group>> {
    let shared = std::env::var_os("FORII_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = shared.join("schemas").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let group = |line: &str| {
        let v: Value = serde_json::from_str(line).unwrap();
        let test = |t: &Value| {
            (
                t["text"].as_str().unwrap().to_owned(),
                t["valid"].as_bool().unwrap(),
            )
        };
        Group {
            name: v["name"].as_str().unwrap().to_owned(),
            schema: v["schema"].clone(),
            tests: v["tests"].as_array().unwrap().iter().map(test).collect(),
        }
    };
    Some(text.lines().map(group).collect())
}
