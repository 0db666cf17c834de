//! Which files of a hub's repository make a model: names only, nothing is fetched here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::not_found;
use crate::error::LoadError;

/// A model's shape and constants; its presence makes a repository one of safetensors.
pub(super) const CONFIG: &str = "config.json";
/// Which shard holds which tensor.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// What a Hugging Face folder holds beside its weights, as far as forii reads it.
pub(super) const BESIDE_WEIGHTS: [&str; 5] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// The files to fetch from a repository that holds `names`, the weights last.
pub(super) fn select(repo: &str, names: &[String]) -> Result<Vec<String>, LoadError> {
    let has = |name: &str| names.iter().any(|known| known == name);
    let weights = ["model.safetensors", INDEX].into_iter().find(|name| has(name));
    if let (true, Some(weights)) = (has(CONFIG), weights) {
        let beside = BESIDE_WEIGHTS.into_iter().filter(|name| has(name));
        return Ok(beside.chain([weights]).map(str::to_owned).collect());
    }
    let ggufs: Vec<&String> = names.iter().filter(|name| is_first_gguf(name)).collect();
    let preferred = ggufs
        .iter()
        .find(|name| name.to_ascii_uppercase().contains("Q4_K_M"));
    match (preferred, ggufs.as_slice()) {
        (Some(file), _) | (None, [file]) => Ok(split_pieces(file)),
        (None, []) => Err(not_found(
            repo,
            "the repository holds neither config.json with safetensors nor a GGUF file",
        )),
        (None, many) => Err(not_found(
            repo,
            format!("it holds several GGUF files; add one of them as {repo}:FILE: {many:?}"),
        )),
    }
}

/// The shards that an index names.
pub(super) fn shards(index: &Path) -> Result<Vec<String>, LoadError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let malformed = |problem: String| LoadError::Malformed {
        path: index.to_owned(),
        item: "weight_map".to_owned(),
        problem,
    };
    let json = fs::read(index).map_err(|e| malformed(e.to_string()))?;
    let index: Index = serde_json::from_slice(&json).map_err(|e| malformed(e.to_string()))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(shards.into_iter().collect())
}

/// Whether a model begins with this file: any GGUF but the later pieces of a split one, and no
/// projector of images.
fn is_first_gguf(name: &str) -> bool {
    let first = split_pieces(name).into_iter().next();
    name.ends_with(".gguf") && !name.contains("mmproj") && first.as_deref() == Some(name)
}

/// All pieces of a file that is named like one (`-00001-of-00003.gguf`), else the file alone.
pub(super) fn split_pieces(file: &str) -> Vec<String> {
    let pieces = || {
        let stem = file.strip_suffix(".gguf")?;
        let (head, count) = stem.rsplit_once("-of-")?;
        let (head, index) = head.rsplit_once('-')?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let total: usize = count
            .parse()
            .ok()
            .filter(|_| is_number(count) && is_number(index))?;
        Some(
            (1..=total)
                .map(|i| format!("{head}-{i:05}-of-{count}.gguf"))
                .collect(),
        )
    };
    pieces().unwrap_or_else(|| vec![file.to_owned()])
}
