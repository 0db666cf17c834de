//! Why a grammar cannot be promised, and why one stopped under way.

use std::time::Duration;

use crate::TokenId;

/// A grammar cannot be compiled. The caller must change it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// A part of a JSON schema that cannot be enforced.
    #[error("the keyword '{keyword}' at '{path}' cannot be enforced: {problem}")]
    Schema {
        /// The keyword.
        keyword: String,
        /// The JSON pointer of the schema that holds it.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A regular expression, Lark grammar or choice that is not valid or not supported.
    #[error("invalid {kind}: {problem}")]
    Invalid {
        /// What kind of grammar.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A grammar is larger than may be compiled.
    #[error("{what} at '{path}' exceeds {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The JSON pointer where the limit was passed, or an empty string.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// Compiling took too long and was given up.
    #[error("compiling took more than {limit:?}; most likely because of '{keyword}' at '{path}'")]
    TooSlow {
        /// The limit.
        limit: Duration,
        /// The keyword with the most to expand, or the kind of grammar.
        keyword: String,
        /// The JSON pointer of the schema that holds it, or an empty string.
        path: String,
    },
    /// Several compilations that were given up still run.
    #[error("too many slow grammars are being compiled; try again later")]
    Busy,
    /// The engine cannot use this vocabulary, or cannot start.
    #[error("the grammar engine cannot start: {0}")]
    Engine(String),
}

/// A constraint stopped under way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// The token may not come next.
    #[error("the grammar does not allow token {token} here")]
    Rejected {
        /// The token.
        token: TokenId,
    },
    /// The grammar's state has grown past its limits, or the engine failed.
    #[error("the grammar engine stopped: {0}")]
    Stopped(String),
}
