//! How tokens are chosen, and the range of each setting. A value outside its range is a typed error
//! that names the field; nothing is clamped or dropped in silence.

use std::collections::BTreeMap;

use crate::{LogprobsMode, MAX_TOP_LOGPROBS, TokenId};

/// How tokens are chosen. Start from [`Default`] (temperature 1, everything else off) or
/// [`greedy`](Self::greedy) and set what differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SamplingParams {
    /// 0 (exactly the highest score, the lowest id on a tie) to 2.
    pub temperature: f32,
    /// 0 to 1: keep the smallest set of tokens that holds this share of the probability, at least one
    /// token. 1 is off.
    pub top_p: f32,
    /// Keep this many tokens of the highest scores. 0 and −1 are off.
    pub top_k: i64,
    /// 0 to 1: keep the tokens that have at least this share of the best token's probability. 0 is off.
    pub min_p: f32,
    /// −2 to 2: taken off a token's score once for each time that it was generated. 0 is off.
    pub frequency_penalty: f32,
    /// −2 to 2: taken off a token's score if it was generated at all. 0 is off.
    pub presence_penalty: f32,
    /// Above 0, at most 2: divides the positive and multiplies the negative scores of all tokens of prompt
    /// and answer. 1 is off.
    pub repetition_penalty: f32,
    /// −100 to 100 by token, added to its score; −100 bans the token.
    pub logit_bias: BTreeMap<TokenId, f32>,
    /// Fixes the draws. Whoever makes the [`Sampler`](crate::Sampler) picks a seed where this is `None`.
    pub seed: Option<i64>,
    /// Bans the end-of-sequence tokens, so that the answer runs to its limit or to a stop.
    pub ignore_eos: bool,
    /// Bans the end-of-sequence tokens and `stop_token_ids` until the answer has this many tokens.
    pub min_tokens: usize,
    /// Further tokens that end the answer. The engine stops on them; here they matter to `min_tokens`.
    pub stop_token_ids: Vec<TokenId>,
    /// Report log-probabilities: of the chosen token and of this many of the likeliest, 0 to 20.
    pub logprobs: Option<u8>,
    /// Which distribution the log-probabilities describe.
    pub logprobs_mode: LogprobsMode,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: BTreeMap::new(),
            seed: None,
            ignore_eos: false,
            min_tokens: 0,
            stop_token_ids: Vec::new(),
            logprobs: None,
            logprobs_mode: LogprobsMode::Raw,
        }
    }
}

/// A builder-style setter per field.
macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

impl SamplingParams {
    /// Always the highest score: temperature 0, everything else off.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    setters! {
        /// Sets the temperature, 0 to 2.
        temperature: f32,
        /// Sets the share of probability to keep, 0 to 1.
        top_p: f32,
        /// Sets how many of the best tokens to keep; 0 and −1 are off.
        top_k: i64,
        /// Sets the least share of the best token's probability, 0 to 1.
        min_p: f32,
        /// Sets the penalty per earlier occurrence in the answer, −2 to 2.
        frequency_penalty: f32,
        /// Sets the penalty for any earlier occurrence in the answer, −2 to 2.
        presence_penalty: f32,
        /// Sets the factor against tokens of prompt and answer, above 0 to 2.
        repetition_penalty: f32,
        /// Sets whether the end-of-sequence tokens are banned.
        ignore_eos: bool,
        /// Sets the least number of tokens before the answer may end.
        min_tokens: usize,
        /// Sets which distribution the log-probabilities describe.
        logprobs_mode: LogprobsMode,
    }

    /// Sets the bias of each token, −100 (bans it) to 100.
    #[must_use]
    pub fn logit_bias(mut self, bias: impl IntoIterator<Item = (TokenId, f32)>) -> Self {
        self.logit_bias = bias.into_iter().collect();
        self
    }

    /// Fixes the draws.
    #[must_use]
    pub fn seed(mut self, seed: i64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets further tokens that end the answer.
    #[must_use]
    pub fn stop_token_ids(mut self, ids: impl IntoIterator<Item = TokenId>) -> Self {
        self.stop_token_ids = ids.into_iter().collect();
        self
    }

    /// Asks for log-probabilities of the chosen token and of the `top` likeliest ones, 0 to 20.
    #[must_use]
    pub fn logprobs(mut self, top: u8) -> Self {
        self.logprobs = Some(top);
        self
    }

    /// Checks each value against its range, and token ids against the number of scores per row.
    ///
    /// # Errors
    /// The first field that is outside its range.
    pub fn validate(&self, vocab_size: usize) -> Result<(), ParamsError> {
        let range = |field, value: f32, inside: bool, range| {
            if inside {
                Ok(())
            } else {
                Err(ParamsError::OutOfRange {
                    field,
                    value: value.into(),
                    range,
                })
            }
        };
        let (t, p, m, r) = (self.temperature, self.top_p, self.min_p, self.repetition_penalty);
        range("temperature", t, (0.0..=2.0).contains(&t), "0 to 2")?;
        range("top_p", p, (0.0..=1.0).contains(&p), "0 to 1")?;
        range("min_p", m, (0.0..=1.0).contains(&m), "0 to 1")?;
        for (field, v) in [
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ] {
            range(field, v, (-2.0..=2.0).contains(&v), "-2 to 2")?;
        }
        range("repetition_penalty", r, r > 0.0 && r <= 2.0, "above 0, at most 2")?;
        if self.top_k < -1 {
            let range = "0 or -1 (off), or at least 1";
            return Err(ParamsError::OutOfRange {
                field: "top_k",
                value: self.top_k as f64,
                range,
            });
        }
        if let Some(n) = self.logprobs.filter(|&n| n > MAX_TOP_LOGPROBS) {
            return Err(ParamsError::OutOfRange {
                field: "top_logprobs",
                value: n.into(),
                range: "0 to 20",
            });
        }
        let token = |field, token: TokenId| {
            let known = usize::try_from(token).is_ok_and(|t| t < vocab_size);
            if known {
                Ok(())
            } else {
                Err(ParamsError::UnknownToken {
                    field,
                    token,
                    vocab_size,
                })
            }
        };
        for (&id, &bias) in &self.logit_bias {
            token("logit_bias", id)?;
            range(
                "logit_bias",
                bias,
                (-100.0..=100.0).contains(&bias),
                "-100 to 100",
            )?;
        }
        for &id in &self.stop_token_ids {
            token("stop_token_ids", id)?;
        }
        Ok(())
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
    /// A token id that the model does not have.
    #[error("invalid '{field}': token {token} is outside the vocabulary of {vocab_size} tokens")]
    UnknownToken {
        /// The field.
        field: &'static str,
        /// The id given.
        token: TokenId,
        /// How many tokens the model has.
        vocab_size: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(params: &SamplingParams) -> Option<&'static str> {
        match params.validate(100) {
            Ok(()) => None,
            Err(ParamsError::OutOfRange { field, .. } | ParamsError::UnknownToken { field, .. }) => {
                Some(field)
            }
        }
    }

    #[test]
    fn the_ends_of_each_range_are_inside() {
        let p = SamplingParams::default;
        for params in [
            p(),
            SamplingParams::greedy(),
            p().temperature(2.0).top_p(0.0).min_p(1.0).top_k(-1),
            p().top_p(1.0).min_p(0.0).top_k(i64::MAX),
            p().frequency_penalty(-2.0)
                .presence_penalty(2.0)
                .repetition_penalty(2.0),
            p().repetition_penalty(1e-6)
                .logit_bias([(0, -100.0), (99, 100.0)])
                .logprobs(20),
            p().stop_token_ids([0, 99]).seed(i64::MIN),
        ] {
            assert_eq!(params.validate(100), Ok(()), "{params:?}");
        }
    }

    #[test]
    fn an_error_names_its_field() {
        let p = SamplingParams::default;
        for (params, name) in [
            (p().temperature(2.01), "temperature"),
            (p().temperature(-0.1), "temperature"),
            (p().temperature(f32::NAN), "temperature"),
            (p().top_p(1.1), "top_p"),
            (p().top_k(-2), "top_k"),
            (p().min_p(f32::INFINITY), "min_p"),
            (p().frequency_penalty(2.5), "frequency_penalty"),
            (p().presence_penalty(-2.5), "presence_penalty"),
            (p().repetition_penalty(0.0), "repetition_penalty"),
            (p().repetition_penalty(f32::NAN), "repetition_penalty"),
            (p().logit_bias([(1, 101.0)]), "logit_bias"),
            (p().logit_bias([(100, 1.0)]), "logit_bias"),
            (p().stop_token_ids([100]), "stop_token_ids"),
            (p().logprobs(21), "top_logprobs"),
        ] {
            assert_eq!(field(&params), Some(name), "{params:?}");
        }
    }
}
