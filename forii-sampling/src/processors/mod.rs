//! The chain from raw scores to the distribution that is drawn from, and its order in one place.
//!
//! 1. What must not be chosen at all comes first, in the sampler: the constraint's mask, and the
//!    end-of-sequence tokens while [`EndBan`] holds. It touches nothing but whether a token is there.
//! 2. [`LogitBias`], then [`RepetitionPenalty`], then [`OccurrencePenalty`]: they shift single scores on the
//!    model's own scale, so they come before the temperature changes that scale. The bias is first, as the
//!    sign that decides between dividing and multiplying is that of the score the caller asked for; the
//!    factor precedes the subtractions, as in vLLM.
//! 3. [`TopK`] before [`Temperature`]: the temperature keeps the order of scores, so the same tokens survive
//!    either way, and the temperature then touches k scores in place of the vocabulary.
//! 4. [`TopP`] after the temperature and over what top-k left, as in transformers and vLLM.
//! 5. [`MinP`] last. It compares with the best token, which always survives, so its verdict on a token does
//!    not depend on what the others removed; run first it would change what top-p sums over. transformers
//!    has it last too.
//!
//! At temperature 0 only the steps that can change which token is best remain.

mod bias;
mod ending;
mod min_p;
mod penalties;
mod temperature;
mod top_k;
mod top_p;

pub use bias::LogitBias;
pub use ending::EndBan;
pub use min_p::MinP;
pub use penalties::{OccurrencePenalty, RepetitionPenalty};
pub use temperature::Temperature;
pub use top_k::TopK;
pub use top_p::TopP;

use crate::{LogitsProcessor, SamplingParams, TokenId};

/// The steps that these parameters ask for, in their order. A setting that is off adds no step.
pub fn chain(
    params: &SamplingParams,
    vocab_size: usize,
    prompt: &[TokenId],
) -> Vec<Box<dyn LogitsProcessor>> {
    let mut chain: Vec<Box<dyn LogitsProcessor>> = Vec::new();
    if !params.logit_bias.is_empty() {
        chain.push(Box::new(LogitBias::new(&params.logit_bias)));
    }
    if params.repetition_penalty != 1.0 {
        chain.push(Box::new(RepetitionPenalty::new(
            params.repetition_penalty,
            vocab_size,
            prompt,
        )));
    }
    let (frequency, presence) = (params.frequency_penalty, params.presence_penalty);
    if frequency != 0.0 || presence != 0.0 {
        chain.push(Box::new(OccurrencePenalty::new(frequency, presence, vocab_size)));
    }
    if params.temperature == 0.0 {
        return chain;
    }
    if let Ok(k @ 1..) = usize::try_from(params.top_k) {
        chain.push(Box::new(TopK::new(k)));
    }
    if params.temperature != 1.0 {
        chain.push(Box::new(Temperature::new(params.temperature)));
    }
    if params.top_p < 1.0 {
        chain.push(Box::new(TopP::new(params.top_p)));
    }
    if params.min_p > 0.0 {
        chain.push(Box::new(MinP::new(params.min_p)));
    }
    chain
}
