//! Log-probabilities of the chosen token and of the likeliest ones.

use crate::processors::TopK;
use crate::{Candidate, Logits, LogitsProcessor, TokenId};

/// The most tokens whose log-probabilities can be asked for beside the chosen one's.
pub const MAX_TOP_LOGPROBS: u8 = 20;

/// Reported in place of minus infinity, which JSON cannot write.
pub const VERY_UNLIKELY: f32 = -9999.0;

/// Which distribution log-probabilities describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LogprobsMode {
    /// The model's own: log-softmax of the raw scores, before bias, penalties, temperature and constraint.
    #[default]
    Raw,
    /// The one that the token was drawn from, after the whole chain: what was removed is very unlikely. At
    /// temperature 0, which draws nothing, the scores after mask, bias and penalties.
    Processed,
}

/// A token and its log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of its probability; [`VERY_UNLIKELY`] where that is 0.
    pub logprob: f32,
}

/// The chosen token's log-probability, and those of the likeliest tokens. Held in place, so that reporting
/// allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprobs {
    /// The token that was chosen or forced.
    pub chosen: TokenLogprob,
    top: [TokenLogprob; MAX_TOP_LOGPROBS as usize],
    len: usize,
}

impl TokenLogprobs {
    /// As many of the likeliest tokens as were asked for, the likeliest first; fewer where fewer have any
    /// probability.
    pub fn top(&self) -> &[TokenLogprob] {
        &self.top[..self.len]
    }

    /// Reads the report off a row, which is left narrowed.
    pub(crate) fn of(logits: &mut Logits<'_>, chosen: TokenId, top: u8) -> Self {
        let log_total = f64::from(logits.max()) + logits.total_weight().ln();
        let entry = |token, score: Option<f32>| {
            let logprob = score.map_or(VERY_UNLIKELY, |s| (f64::from(s) - log_total).min(0.0) as f32);
            TokenLogprob {
                token,
                logprob: logprob.max(VERY_UNLIKELY),
            }
        };
        let mut report = Self {
            chosen: entry(chosen, logits.score(chosen)),
            top: Default::default(),
            len: 0,
        };
        if top > 0 {
            TopK::new(top.min(MAX_TOP_LOGPROBS).into()).apply(logits);
            let mut ranked = std::mem::take(&mut logits.workspace().ranked);
            ranked.clear();
            ranked.extend_from_slice(logits.candidates().unwrap_or_default());
            ranked.sort_unstable_by(Candidate::rank);
            for (slot, c) in report.top.iter_mut().zip(&ranked) {
                *slot = entry(c.token, Some(c.score));
                report.len += 1;
            }
            logits.workspace().ranked = ranked;
        }
        report
    }
}
