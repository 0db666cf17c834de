//! What may come next: a [`Grammar`] is compiled once per model and starts a [`Constraint`] per choice, which
//! masks the vocabulary before each token. Whatever was promised holds or is refused with a reason; no
//! constraint ever falls back to free text.
//!
//! ```
//! use forii_sampling::constraint::{Grammar, GrammarCompiler, Vocabulary};
//!
//! let words = ["yes", "no", "maybe", "<end>"].iter().enumerate().map(|(id, word)| (word, id == 3));
//! let compiler = GrammarCompiler::new(Vocabulary::new(words, &[3])?);
//! let mut constraint = compiler.compile(&Grammar::choice(["yes", "no"]))?.start();
//! assert_eq!(constraint.mask()?.iter().collect::<Vec<_>>(), [0, 1]);
//! constraint.accept(1)?;
//! assert!(constraint.is_complete());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod compiler;
mod error;
mod grammar;
mod llguidance;
mod locate;
mod lower;
mod mask;
#[cfg(feature = "outlines")]
pub mod outlines;
mod vocabulary;

pub use compiler::GrammarCompiler;
pub use error::{ConstraintError, GrammarError};
pub use grammar::{Begin, Grammar, Trigger};
pub use llguidance::CompiledGrammar;
pub use mask::TokenMask;
pub use vocabulary::{Tokenizer, Vocabulary, VocabularyError};

use std::fmt::Debug;

use crate::TokenId;

/// What one choice may say next. Holds the state of that choice alone.
pub trait Constraint: Debug + Send {
    /// The tokens that may come next. Once nothing more may be said, the end-of-sequence tokens.
    ///
    /// # Errors
    /// The state has grown past its limits, or an earlier error stopped the constraint.
    fn mask(&mut self) -> Result<&TokenMask, ConstraintError>;

    /// Moves on by a token.
    ///
    /// # Errors
    /// [`ConstraintError::Rejected`] for a token that the grammar does not allow; the state is then unchanged.
    fn accept(&mut self, token: TokenId) -> Result<(), ConstraintError>;

    /// The run of tokens that must come next because nothing else may, as the model's own tokenizer would
    /// write it. Does not accept them. Empty where there is a choice, or where it is not known how the
    /// tokenizer would write the run.
    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }

    /// Whether all is said: nothing but the end may follow.
    fn is_complete(&self) -> bool;

    /// A copy of the state for another choice.
    fn fork(&self) -> Box<dyn Constraint>;
}
