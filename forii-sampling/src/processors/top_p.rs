//! Keeps the best tokens by probability.

use crate::math::exp;
use crate::{Candidate, Logits, LogitsProcessor};

/// Tokens that are looked at before the whole vocabulary: in a trained model's output a few hundred nearly
/// always hold the share.
const FIRST_LOOK: usize = 512;

/// Keeps the smallest set of best tokens that holds this share of the probability, at least one token.
#[derive(Debug, Clone)]
pub struct TopP {
    share: f32,
}

impl TopP {
    /// The share, 0 to 1.
    pub fn new(share: f32) -> Self {
        Self { share }
    }
}

impl LogitsProcessor for TopP {
    fn apply(&mut self, logits: &mut Logits<'_>) {
        let max = logits.max();
        let limit = f64::from(self.share) * logits.total_weight();
        let mut weighed = std::mem::take(&mut logits.workspace().weighed);
        let floor = logits.reached_by(FIRST_LOOK);
        let mut list = |logits: &Logits<'_>| {
            let all = logits.candidates().unwrap_or_default();
            weighed.clear();
            weighed.extend(all.iter().map(|c| (*c, exp(c.score - max))));
            mass(&weighed)
        };
        let dense = logits.candidates().is_none();
        logits.keep_at_least(floor);
        if list(logits) < limit && dense {
            logits.widen();
            list(logits);
        }
        if let Some(last) = last_within(&mut weighed, limit) {
            logits.retain(|c| c.rank(&last).is_le());
        }
        logits.workspace().weighed = weighed;
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}

fn mass(weighed: &[(Candidate, f32)]) -> f64 {
    weighed.iter().map(|&(_, weight)| f64::from(weight)).sum()
}

/// The last token, in order of rank, before which the running mass is still below `limit`: found by halving
/// the list at its median, which looks at each token about twice.
fn last_within(weighed: &mut [(Candidate, f32)], limit: f64) -> Option<Candidate> {
    let mut rest = weighed;
    let mut before = 0.0;
    while rest.len() > 32 {
        let middle = rest.len() / 2;
        rest.select_nth_unstable_by(middle, |a, b| a.0.rank(&b.0));
        let (better, worse) = rest.split_at_mut(middle);
        let sum = before + mass(better);
        if sum < limit {
            before = sum;
            rest = worse;
        } else {
            rest = better;
        }
    }
    rest.sort_unstable_by(|a, b| a.0.rank(&b.0));
    let mut last = rest.first()?.0;
    for &(candidate, weight) in rest.iter() {
        if before >= limit {
            break;
        }
        last = candidate;
        before += f64::from(weight);
    }
    Some(last)
}
