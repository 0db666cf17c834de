//! Sharpens or flattens the distribution.

use crate::{Logits, LogitsProcessor};

/// Divides the scores by a temperature above 0.
#[derive(Debug, Clone)]
pub struct Temperature {
    factor: f32,
}

impl Temperature {
    /// The temperature, above 0.
    pub fn new(temperature: f32) -> Self {
        // The reciprocal of the smallest numbers is infinite, and 0 times infinity is no number.
        Self {
            factor: (1.0 / temperature).min(f32::MAX),
        }
    }
}

impl LogitsProcessor for Temperature {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        logits.scale(self.factor);
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}
