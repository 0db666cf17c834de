//! The sampler of one choice of one request: owns its chain, its draws and its history.

use crate::constraint::{Constraint, ConstraintError};
use crate::processors::{EndBan, chain};
use crate::{
    Draws, Logits, LogitsProcessor, LogprobsMode, ParamsError, SamplingParams, TokenId, TokenLogprobs,
    Workspace,
};

/// Chooses the tokens of one choice of one request, one row of scores after the other.
#[derive(Debug)]
pub struct Sampler {
    vocab_size: usize,
    greedy: bool,
    ending: EndBan,
    stop_token_ids: Vec<TokenId>,
    min_tokens: usize,
    ignore_eos: bool,
    constraint: Option<Box<dyn Constraint>>,
    chain: Vec<Box<dyn LogitsProcessor>>,
    draws: Draws,
    position: u64,
    logprobs: Option<u8>,
    mode: LogprobsMode,
    raw: Vec<f32>,
    work: Workspace,
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The token.
    pub token: TokenId,
    /// Its log-probability and its rivals', where the parameters ask for them.
    pub logprob: Option<TokenLogprobs>,
}

/// No token can be chosen from a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The model's output is broken: a score is not a number, or plus infinity.
    #[error("the score of token {token} is not finite")]
    NotFinite {
        /// The first such token.
        token: TokenId,
    },
    /// Every token is banned or has a score of minus infinity.
    #[error("no token is left to choose from")]
    NothingAllowed,
    /// The row has another length than the vocabulary.
    #[error("a row has {found} scores, expected {expected}")]
    RowLength {
        /// The vocabulary's size.
        expected: usize,
        /// The row's length.
        found: usize,
    },
    /// A token outside the vocabulary was accepted.
    #[error("token {token} is outside the vocabulary of {vocab_size} tokens")]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// The constraint stopped, or refuses a token.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
}

impl Sampler {
    /// A sampler for the choice of index `choice` of a request: 0 where only one was asked for.
    ///
    /// `vocab_size` is the length of a row of scores. `prompt` counts for the repetition penalty alone.
    /// `seed` is the parameters' seed, or one that the caller picks where they name none.
    ///
    /// # Errors
    /// A parameter is outside its range.
    pub fn new(
        params: &SamplingParams,
        vocab_size: usize,
        prompt: &[TokenId],
        seed: u64,
        choice: u32,
    ) -> Result<Self, ParamsError> {
        params.validate(vocab_size)?;
        let sampler = Self {
            vocab_size,
            greedy: params.temperature == 0.0,
            ending: EndBan::default(),
            stop_token_ids: params.stop_token_ids.clone(),
            min_tokens: params.min_tokens,
            ignore_eos: params.ignore_eos,
            constraint: None,
            chain: chain(params, vocab_size, prompt),
            draws: Draws::new(seed, choice),
            position: 0,
            logprobs: params.logprobs,
            mode: params.logprobs_mode,
            raw: Vec::new(),
            work: Workspace::default(),
        };
        Ok(sampler.with_eos(&[]))
    }

    /// Names the model's end-of-sequence tokens, which `ignore_eos` and `min_tokens` ban.
    #[must_use]
    pub fn with_eos(mut self, eos: &[TokenId]) -> Self {
        let always = if self.ignore_eos { eos.to_vec() } else { Vec::new() };
        let at_first = [&self.stop_token_ids, eos].concat();
        self.ending = EndBan::new(always, at_first, self.min_tokens);
        self
    }

    /// Holds the answer to a constraint. Its state must be that of an answer's beginning, or of what was
    /// accepted so far.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Box<dyn Constraint>) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// The sampler of another choice of the same request: the same history, other draws.
    #[must_use]
    pub fn fork(&self, choice: u32) -> Self {
        Self {
            ending: self.ending.clone(),
            stop_token_ids: self.stop_token_ids.clone(),
            constraint: self.constraint.as_ref().map(|c| c.fork()),
            chain: self.chain.iter().map(|p| p.fork()).collect(),
            draws: self.draws.with_choice(choice),
            raw: Vec::new(),
            work: Workspace::default(),
            ..*self
        }
    }

    /// How many tokens were chosen or forced so far; the position of the next draw.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the constraint leaves nothing but the end. The answer is then complete and needs no further
    /// token. Always false without a constraint.
    pub fn is_complete(&self) -> bool {
        self.constraint.as_ref().is_some_and(|c| c.is_complete())
    }

    /// Tokens that the constraint leaves no choice about. Put them into the answer in one step and
    /// [`accept`](Self::accept) each; empty without a constraint.
    pub fn forced(&mut self) -> Vec<TokenId> {
        self.constraint.as_mut().map(|c| c.forced()).unwrap_or_default()
    }

    /// Chooses the next token and takes note of it. The row serves as working memory: what it holds
    /// afterwards has no meaning.
    ///
    /// # Errors
    /// The row is broken or leaves nothing to choose; the sampler's history is then unchanged.
    pub fn sample(&mut self, scores: &mut [f32]) -> Result<Sample, SampleError> {
        if scores.len() != self.vocab_size {
            return Err(SampleError::RowLength {
                expected: self.vocab_size,
                found: scores.len(),
            });
        }
        if self.logprobs.is_some() && self.mode == LogprobsMode::Raw {
            self.raw.clear();
            self.raw.extend_from_slice(scores);
        }
        let mut logits = Logits::new(scores, &mut self.work)?;
        if let Some(constraint) = &mut self.constraint {
            logits.allow_only(constraint.mask()?);
        }
        // A complete constraint has the last word: it leaves the end tokens alone.
        if !self.constraint.as_ref().is_some_and(|c| c.is_complete()) {
            self.ending.apply(&mut logits);
        }
        for step in &mut self.chain {
            step.apply(&mut logits);
        }
        let chosen = if self.greedy {
            logits.best()
        } else {
            logits.draw(self.draws.uniform(self.position))
        };
        let token = chosen.ok_or(SampleError::NothingAllowed)?;
        let logprob = match (self.logprobs, self.mode) {
            (None, _) => None,
            (Some(top), LogprobsMode::Processed) => Some(TokenLogprobs::of(&mut logits, token, top)),
            (Some(top), LogprobsMode::Raw) => {
                let mut raw = Logits::new(&mut self.raw, &mut self.work)?;
                Some(TokenLogprobs::of(&mut raw, token, top))
            }
        };
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.ending.accept(token);
        self.chain.iter_mut().for_each(|step| step.accept(token));
        self.position += 1;
        Ok(Sample { token, logprob })
    }

    /// Takes note of a token that was not sampled but put into the answer. It moves the position of the next
    /// draw and counts for `min_tokens`, but not for penalties: it was not the model's choice.
    ///
    /// # Errors
    /// The token is outside the vocabulary, or the constraint does not allow it.
    pub fn accept(&mut self, token: TokenId) -> Result<(), SampleError> {
        if token as usize >= self.vocab_size {
            return Err(SampleError::UnknownToken {
                token,
                vocab_size: self.vocab_size,
            });
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.ending.count();
        self.position += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
