//! How tokens are chosen, and the range of each setting.

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SamplingParams {
    /// 0 (greedy) to 2.
    pub temperature: f32,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

/// A setting is outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// A number is outside its range.
    #[error("invalid '{field}': {value} is outside {range}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The value given.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
}
