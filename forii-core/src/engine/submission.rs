//! A request as the engine thread sees it: token ids, a sampler, limits, and where events go.

use forii_sampling::{Sampler, SamplingParams};

use super::stream::{EngineEvent, TokenStream};
use super::worker::Stopped;
use crate::error::RequestError;

/// A prompt of token ids to continue.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// The prompt; not empty.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub params: SamplingParams,
    /// The longest continuation; to the end of the context where `None`.
    pub max_tokens: Option<usize>,
}

/// Proof that a request was checked: everything in it is in range and fits.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) prompt: Vec<u32>,
    pub(super) sampler: Sampler,
    pub(super) max_tokens: usize,
    /// Tokens that end the sequence, ascending.
    pub(super) end_tokens: Vec<u32>,
    pub(super) events: async_channel::Sender<EngineEvent>,
}

impl Submission {
    /// Checks the sampling parameters and opens the channel between engine and caller.
    pub(super) fn new(
        request: TokenRequest,
        max_tokens: usize,
        vocab_size: usize,
        eos: &[u32],
        stopped: Stopped,
    ) -> Result<(Self, TokenStream), RequestError> {
        let params = &request.params;
        let seed = params.seed.map_or_else(random_seed, i64::cast_unsigned);
        let sampler = Sampler::new(params, vocab_size, &request.prompt, seed, 0)?.with_eos(eos);
        let mut end_tokens = if params.ignore_eos {
            Vec::new()
        } else {
            eos.to_vec()
        };
        end_tokens.extend_from_slice(&params.stop_token_ids);
        end_tokens.sort_unstable();
        end_tokens.dedup();
        // Unbounded, yet never more than `max_tokens` small events: a slow reader stalls nobody.
        let (events, receiver) = async_channel::unbounded();
        let stream = TokenStream::new(receiver, stopped);
        Ok((
            Self {
                prompt: request.prompt,
                sampler,
                max_tokens,
                end_tokens,
                events,
            },
            stream,
        ))
    }
}

/// A seed for a request that names none: from the keys that the standard library draws for its maps.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}
