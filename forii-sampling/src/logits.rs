//! One row of scores on its way through the chain. It starts dense, in the caller's memory; the first step
//! that removes many tokens narrows it to a short list of candidates, so that no step sorts the vocabulary.
//! The highest score of each block of 64 is kept beside the row: most blocks are never looked at again.

use std::cmp::Ordering;

use crate::math::{BLOCK, exp, scan, sum_exp};
use crate::{SampleError, TokenId, TokenMask};

/// A token that may still be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: TokenId,
    /// Its score so far, finite.
    pub score: f32,
}

impl Candidate {
    /// The order of preference: higher scores first, the lower id on a tie.
    pub fn rank(&self, other: &Self) -> Ordering {
        let by_score = other.score.partial_cmp(&self.score).unwrap_or(Ordering::Equal);
        by_score.then(self.token.cmp(&other.token))
    }
}

/// Buffers that a row needs, kept from token to token so that none is allocated anew.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    block_max: Vec<f32>,
    bounds: Vec<f32>,
    pub(crate) sums: Vec<f64>,
    candidates: Vec<Candidate>,
    pub(crate) ranked: Vec<Candidate>,
    pub(crate) weighed: Vec<(Candidate, f32)>,
}

/// One row of scores: dense, or narrowed to candidates in order of their ids.
#[derive(Debug)]
pub struct Logits<'a> {
    scores: &'a mut [f32],
    work: &'a mut Workspace,
    narrowed: bool,
    stale: bool,
}

impl<'a> Logits<'a> {
    /// Takes a row of raw scores, one for each token of the vocabulary.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] where a score is not a number or plus infinity.
    pub fn new(scores: &'a mut [f32], work: &'a mut Workspace) -> Result<Self, SampleError> {
        let mut row = Self {
            scores,
            work,
            narrowed: false,
            stale: true,
        };
        if row.scan_blocks() || row.max() == f32::INFINITY {
            let bad = |x: &f32| x.is_nan() || *x == f32::INFINITY;
            let token = row.scores.iter().position(bad).unwrap_or(0) as TokenId;
            return Err(SampleError::NotFinite { token });
        }
        Ok(row)
    }

    /// Changes the score of one token, if it is still there. The new score must be a number below
    /// plus infinity.
    pub fn update(&mut self, token: TokenId, f: impl FnOnce(f32) -> f32) {
        if self.narrowed {
            if let Ok(at) = self.work.candidates.binary_search_by_key(&token, |c| c.token) {
                let score = f(self.work.candidates[at].score);
                if score > f32::NEG_INFINITY {
                    self.work.candidates[at].score = score;
                } else {
                    self.work.candidates.remove(at);
                }
            }
        } else if let Some(score) = self.scores.get_mut(token as usize) {
            *score = f(*score);
            self.stale = true;
        }
    }

    /// Removes one token.
    pub fn ban(&mut self, token: TokenId) {
        self.update(token, |_| f32::NEG_INFINITY);
    }

    /// Removes every token that the mask does not hold.
    pub fn allow_only(&mut self, mask: &TokenMask) {
        if self.narrowed {
            self.work.candidates.retain(|c| mask.contains(c.token));
        } else if mask.count() < self.scores.len() / 16 {
            self.work.candidates.clear();
            for token in mask.iter() {
                match self.scores.get(token as usize) {
                    Some(&score) if score > f32::NEG_INFINITY => {
                        self.work.candidates.push(Candidate { token, score });
                    }
                    _ => {}
                }
            }
            self.narrowed = true;
        } else {
            let words = mask.words().iter().copied().chain(std::iter::repeat(0));
            for (scores, word) in self.scores.chunks_mut(32).zip(words) {
                if word != u32::MAX {
                    for (bit, score) in scores.iter_mut().enumerate() {
                        *score = if word >> bit & 1 == 1 {
                            *score
                        } else {
                            f32::NEG_INFINITY
                        };
                    }
                }
            }
            self.stale = true;
        }
    }

    /// The highest score; minus infinity where no token is left.
    pub fn max(&mut self) -> f32 {
        if self.narrowed {
            let scores = self.work.candidates.iter().map(|c| c.score);
            scores.fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
        } else {
            self.refresh();
            scan(&self.work.block_max).0
        }
    }

    /// Shifts the scores so that the highest is 0, then multiplies them by a positive factor. The shift
    /// changes no probability and keeps the product exact where it matters.
    pub fn scale(&mut self, factor: f32) {
        let max = self.max();
        if max == f32::NEG_INFINITY {
            return;
        }
        if self.narrowed {
            // Two finite scores can be so far apart that the product leaves the range of f32.
            self.work
                .candidates
                .iter_mut()
                .for_each(|c| c.score = ((c.score - max) * factor).max(f32::MIN));
        } else {
            self.scores.iter_mut().for_each(|x| *x = (*x - max) * factor);
            // Both operations keep the order, so the blocks' maxima change in the same way.
            self.work
                .block_max
                .iter_mut()
                .for_each(|x| *x = (*x - max) * factor);
        }
    }

    /// The candidates, in order of their ids, where the row has been narrowed.
    pub fn candidates(&self) -> Option<&[Candidate]> {
        self.narrowed.then_some(&self.work.candidates)
    }

    /// A score that at least `count` tokens reach, as high as the blocks tell without a closer look.
    pub fn reached_by(&mut self, count: usize) -> f32 {
        if self.narrowed || count == 0 {
            return f32::NEG_INFINITY;
        }
        self.refresh();
        let Workspace {
            block_max, bounds, ..
        } = &mut *self.work;
        if count > block_max.len() {
            return f32::NEG_INFINITY;
        }
        bounds.clone_from(block_max);
        let descending = |a: &f32, b: &f32| b.partial_cmp(a).unwrap_or(Ordering::Equal);
        *bounds.select_nth_unstable_by(count - 1, descending).1
    }

    /// Narrows the row to the tokens that score at least `floor`.
    pub fn keep_at_least(&mut self, floor: f32) {
        if self.narrowed {
            self.work.candidates.retain(|c| c.score >= floor);
            return;
        }
        self.refresh();
        let Workspace {
            block_max,
            candidates,
            ..
        } = &mut *self.work;
        candidates.clear();
        for (index, (block, &max)) in self.scores.chunks(BLOCK).zip(block_max.iter()).enumerate() {
            if max >= floor && max > f32::NEG_INFINITY {
                for (token, &score) in (index * BLOCK..).zip(block) {
                    if score >= floor && score > f32::NEG_INFINITY {
                        candidates.push(Candidate {
                            token: token as TokenId,
                            score,
                        });
                    }
                }
            }
        }
        self.narrowed = true;
    }

    /// The scores, minus infinity for what was removed, where the row is dense.
    pub(crate) fn scores(&self) -> Option<&[f32]> {
        (!self.narrowed).then_some(&*self.scores)
    }

    /// Goes back from a list that [`keep_at_least`](Self::keep_at_least) made: the dense row is still as it
    /// was.
    pub(crate) fn widen(&mut self) {
        self.narrowed = false;
    }

    /// Removes what ranks behind `last` from a dense row, which stays dense.
    pub(crate) fn drop_after(&mut self, last: &Candidate) {
        for (token, score) in (0..).zip(self.scores.iter_mut()) {
            let behind = *score < last.score || *score == last.score && token > last.token;
            *score = if behind { f32::NEG_INFINITY } else { *score };
        }
        self.stale = true;
    }

    /// Keeps a token where `keep` says so. Narrows the row.
    pub fn retain(&mut self, keep: impl FnMut(&Candidate) -> bool) {
        if !self.narrowed {
            self.keep_at_least(f32::NEG_INFINITY);
        }
        self.work.candidates.retain(keep);
    }

    /// The sum of `exp(score − max)` over all tokens.
    pub fn total_weight(&mut self) -> f64 {
        let max = self.max();
        if max == f32::NEG_INFINITY {
            0.0
        } else if self.narrowed {
            self.work
                .candidates
                .iter()
                .map(|c| f64::from(exp(c.score - max)))
                .sum()
        } else {
            self.work.sums.clear();
            self.work
                .sums
                .extend(self.scores.chunks(BLOCK).map(|block| sum_exp(block, max)));
            self.work.sums.iter().sum()
        }
    }

    /// The token of the highest score, the lowest id on a tie. `None` where no token is left.
    pub fn best(&mut self) -> Option<TokenId> {
        let max = self.max();
        if max == f32::NEG_INFINITY {
            None
        } else if self.narrowed {
            self.work
                .candidates
                .iter()
                .find(|c| c.score == max)
                .map(|c| c.token)
        } else {
            let block = self.work.block_max.iter().position(|&m| m == max)?;
            let within = self
                .scores
                .chunks(BLOCK)
                .nth(block)?
                .iter()
                .position(|&x| x == max)?;
            Some((block * BLOCK + within) as TokenId)
        }
    }

    /// The token that the draw `u` in [0, 1) falls on, as [`Draws`](crate::Draws) describes. `None` where no
    /// token is left.
    pub fn draw(&mut self, u: f64) -> Option<TokenId> {
        let target = u * self.total_weight();
        let max = self.max();
        if max == f32::NEG_INFINITY {
            return None;
        }
        if self.narrowed {
            let weights = self.work.candidates.iter().map(|c| (c.token, exp(c.score - max)));
            return pick(weights, 0.0, target);
        }
        let mut before = 0.0;
        let mut chosen = (0, 0.0);
        for (index, &sum) in self.work.sums.iter().enumerate() {
            if sum > 0.0 {
                chosen = (index, before);
            }
            before += sum;
            if before > target {
                break;
            }
        }
        let (index, before) = chosen;
        let block = self.scores.chunks(BLOCK).nth(index)?;
        let weights = block.iter().enumerate();
        pick(
            weights.map(|(i, &x)| ((index * BLOCK + i) as TokenId, exp(x - max))),
            before,
            target,
        )
    }

    /// The score of a token that is still there.
    pub fn score(&self, token: TokenId) -> Option<f32> {
        if self.narrowed {
            let at = self
                .work
                .candidates
                .binary_search_by_key(&token, |c| c.token)
                .ok()?;
            Some(self.work.candidates[at].score)
        } else {
            self.scores
                .get(token as usize)
                .copied()
                .filter(|&x| x > f32::NEG_INFINITY)
        }
    }

    pub(crate) fn workspace(&mut self) -> &mut Workspace {
        self.work
    }

    fn refresh(&mut self) {
        if self.stale {
            self.scan_blocks();
        }
    }

    /// Finds the blocks' maxima; true where some score is not a number.
    fn scan_blocks(&mut self) -> bool {
        let mut nan = false;
        self.work.block_max.clear();
        self.work.block_max.extend(self.scores.chunks(BLOCK).map(|block| {
            let (max, bad) = scan(block);
            nan |= bad;
            max
        }));
        self.stale = false;
        nan
    }
}

/// The first token whose running weight exceeds `target`; the last of any weight where rounding hides it.
fn pick(weights: impl Iterator<Item = (TokenId, f32)>, mut running: f64, target: f64) -> Option<TokenId> {
    let mut last = None;
    for (token, weight) in weights {
        if weight > 0.0 {
            last = Some(token);
            running += f64::from(weight);
            if running > target {
                break;
            }
        }
    }
    last
}
