//! Scores in, token out: processors, seeded draws, log-probabilities, grammar constraints.
//! No tensors, no text, no async; useful alone.
//!
//! ```
//! use forii_sampling::{Sampler, SamplingParams};
//!
//! let params = SamplingParams::default().temperature(0.8).top_k(2);
//! let prompt = [3, 1];
//! let mut sampler = Sampler::new(&params, 4, &prompt, 42, 0)?;
//! let mut scores = [0.5, 3.0, -1.0, 2.0]; // one row of a model's output
//! let sample = sampler.sample(&mut scores)?;
//! assert!(sample.token == 1 || sample.token == 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod constraint;
mod logits;
mod logprobs;
mod math;
mod params;
mod processor;
pub mod processors;
mod rng;
mod sampler;

pub use constraint::TokenMask;
pub use logits::{Candidate, Logits, Workspace};
pub use logprobs::{LogprobsMode, MAX_TOP_LOGPROBS, TokenLogprob, TokenLogprobs, VERY_UNLIKELY};
pub use params::{ParamsError, SamplingParams};
pub use processor::LogitsProcessor;
pub use rng::Draws;
pub use sampler::{Sample, SampleError, Sampler};

/// A token's id in its model's vocabulary.
pub type TokenId = u32;

/// Runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
