//! The format of tokenizer.json. Its two large tables are read apart from the rest, once the rest
//! says that they are BPE's, and straight into what the model is built from.

use std::fmt;

use forii_sampling::TokenId;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::models::bpe::{Merges, Vocab};

/// tokenizer.json without the tables.
#[derive(Deserialize)]
pub(super) struct Outline {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedTokenEntry>,
    pub(super) normalizer: Option<Value>,
    pub(super) pre_tokenizer: Option<Value>,
    pub(super) post_processor: Option<Value>,
    pub(super) decoder: Option<Value>,
    pub(super) model: ModelOutline,
}

#[derive(Deserialize)]
pub(super) struct AddedTokenEntry {
    pub(super) id: TokenId,
    pub(super) content: String,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) special: bool,
}

#[derive(Deserialize)]
pub(super) struct ModelOutline {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) dropout: Option<f32>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    /// Only where `kind` is absent does its presence tell BPE from the others.
    pub(super) merges: Option<IgnoredAny>,
}

/// tokenizer.json's tables; read once the outline says that they are BPE's.
#[derive(Deserialize)]
pub(super) struct Tables {
    pub(super) model: ModelTables,
}

#[derive(Deserialize)]
pub(super) struct ModelTables {
    pub(super) vocab: VocabTable,
    pub(super) merges: MergeTable,
}

pub(super) struct VocabTable(pub(super) Vocab);

pub(super) struct MergeTable(pub(super) Merges);

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
