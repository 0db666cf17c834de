//! Tokens → text, on the caller's side: whole characters only, ended by stop strings.

mod processor;
mod stop;

pub use processor::OutputProcessor;
pub use stop::StopMatcher;
