//! Scores in, token out: processors, seeded draws, log-probabilities, grammar constraints.
//! No tensors, no text, no async; useful alone.

mod params;

pub use params::{ParamsError, SamplingParams};

/// A token's id in its model's vocabulary.
pub type TokenId = u32;
