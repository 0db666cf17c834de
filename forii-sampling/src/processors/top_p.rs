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
        let dense = logits.scores().is_some();
        let floor = logits.reached_by(FIRST_LOOK);
        logits.keep_at_least(floor);
        weighed.clear();
        let candidates = logits.candidates().unwrap_or_default();
        weighed.extend(candidates.iter().map(|c| (*c, exp(c.score - max))));
        if dense && mass(&weighed) < limit {
            logits.widen();
            let mut bands = std::mem::take(&mut logits.workspace().sums);
            if let Some(last) = last_of_many(logits, &mut bands, &mut weighed, limit) {
                logits.drop_after(&last);
            }
            logits.workspace().sums = bands;
        } else if let Some(last) = last_within(&mut weighed, limit) {
            logits.retain(|c| c.rank(&last).is_le());
        }
        logits.workspace().weighed = weighed;
    }

    fn fork(&self) -> Box<dyn LogitsProcessor> {
        Box::new(self.clone())
    }
}

/// Finds the last token to keep on a dense row where thousands are: the mass of each narrow band of scores
/// tells which band holds it, and only that band is ranked.
fn last_of_many(
    logits: &mut Logits<'_>,
    bands: &mut Vec<f64>,
    weighed: &mut Vec<(Candidate, f32)>,
    limit: f64,
) -> Option<Candidate> {
    const BANDS: usize = 4096;
    const PER_NAT: f32 = 128.0;
    let max = logits.max();
    let scores = logits.scores()?;
    // Each operation keeps the order of scores, so a higher score is never in a later band.
    let band = |score: f32| (((max - score) * PER_NAT) as usize).min(BANDS - 1);
    bands.clear();
    bands.resize(BANDS, 0.0);
    for &score in scores {
        bands[band(score)] += f64::from(exp(score - max));
    }
    let mut before = 0.0;
    let crossing = bands.iter().position(|mass| {
        before += mass;
        before >= limit
    })?;
    before -= bands[crossing];
    weighed.clear();
    for (token, &score) in (0..).zip(scores) {
        if band(score) == crossing && score > f32::NEG_INFINITY {
            weighed.push((Candidate { token, score }, exp(score - max)));
        }
    }
    last_within(weighed, limit - before)
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
