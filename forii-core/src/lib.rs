//! An embeddable chat model.
//!
//! Load a GGUF file or a Hugging Face folder and get a typed chat engine that answers in-process.
//! Modules point down one list and nothing imports upward:
//! engine → output, template, scheduler, models → nn → kernels → quant, checkpoint; `error` and
//! `chat` are leaves for all. ARCHITECTURE.md at the top of the repository shows the whole path.

pub mod chat;
pub mod checkpoint;
pub mod engine;
pub mod error;
pub mod hub;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod output;
pub mod quant;
pub mod scheduler;
pub mod template;
pub mod tokenizer;

/// The token-choosing half of forii, re-exported for its parameters.
pub use forii_sampling as sampling;

/// The README's example, so that it compiles as printed.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
