//! What an answer must look like, in words that no engine owns.

use serde_json::Value;

use crate::TokenId;

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Grammar {
    /// A JSON value that is valid under a schema, keys in the schema's order, on one line.
    JsonSchema {
        /// The schema: an object, `true` or `false`.
        schema: Value,
        /// Whether all of the schema is enforced or refused. Otherwise what the engine does not know is left
        /// out and `oneOf` is taken for `anyOf`; the compiled grammar lists that as warnings.
        strict: bool,
    },
    /// Any JSON object, on one line.
    JsonObject,
    /// Text that a regular expression matches as a whole (the regex crate's syntax, no look-around).
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A Lark grammar (llguidance's dialect).
    Lark(String),
    /// Exactly this text, not empty.
    Literal(String),
    /// Exactly this token; the way to ask for a special one.
    Token(TokenId),
    /// One after the other.
    Sequence(Vec<Self>),
    /// Any one of these.
    Either(Vec<Self>),
    /// The same again and again.
    Repeat {
        /// What is repeated.
        item: Box<Self>,
        /// The least number of times.
        min: usize,
        /// The greatest number of times, if any.
        max: Option<usize>,
    },
    /// Free text in which a trigger may appear; from then on what it stands for must follow.
    Triggered {
        /// The triggers.
        triggers: Vec<Trigger>,
        /// The least number of times that triggers must appear.
        min: usize,
        /// After this many the answer ends. Otherwise free text may go on.
        max: Option<usize>,
    },
}

/// A mark in free text, and what must follow it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// The mark.
    pub begin: Begin,
    /// What follows.
    pub body: Grammar,
}

/// How a trigger is recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// This text, not empty, however it is split into tokens.
    Text(String),
    /// This special token.
    Token(TokenId),
}

impl Grammar {
    /// A strict JSON schema.
    pub fn strict_schema(schema: Value) -> Self {
        Self::JsonSchema { schema, strict: true }
    }

    /// One of these texts.
    pub fn choice<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        Self::Choice(texts.into_iter().map(Into::into).collect())
    }

    /// The name of this kind of grammar in error messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::JsonSchema { .. } => "JSON schema",
            Self::JsonObject => "JSON object",
            Self::Regex(_) => "regular expression",
            Self::Choice(_) => "choice",
            Self::Lark(_) => "Lark grammar",
            Self::Literal(_) | Self::Token(_) => "literal",
            Self::Sequence(_) | Self::Either(_) | Self::Repeat { .. } => "composite grammar",
            Self::Triggered { .. } => "trigger",
        }
    }
}
