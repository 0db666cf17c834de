//! The seam for one step of the chain from raw scores to the distribution that is drawn from.

use std::fmt::Debug;

use crate::{Logits, TokenId};

/// One step of the chain: changes scores or removes tokens.
pub trait LogitsProcessor: Debug + Send {
    /// Changes one row. Called once for each token to choose.
    fn apply(&mut self, logits: &mut Logits<'_>);

    /// Takes note of a token that was chosen by sampling. Forced tokens are not reported: they are not the
    /// model's choice and do not count for penalties.
    fn accept(&mut self, _token: TokenId) {}

    /// A copy for another choice of the same request.
    fn fork(&self) -> Box<dyn LogitsProcessor>;
}
