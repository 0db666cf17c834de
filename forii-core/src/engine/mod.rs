//! The door: [`ChatEngine`]. Text work (templates, tokens, stop strings) happens on the caller's
//! side, in here and in the streams; the engine's own thread moves integers and tensors.

mod builder;
mod runner;
mod stats;
mod stream;
mod submission;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use forii_sampling::SamplingParams;

use crate::chat::{ChatRequest, ChatResponse};
use crate::checkpoint::config::{GenerationDefaults, ModelConfig};
use crate::error::{ChatError, RequestError, TemplateError};
use crate::scheduler::blocks_for;
use crate::template::{ChatTemplate, TemplateInput};
use crate::tokenizer::Tokenizer;

pub use builder::EngineBuilder;
pub use stats::EngineStats;
pub use stream::{BlockingChatStream, BlockingTokenStream, ChatStream, TokenEvent, TokenStream};
pub use submission::TokenRequest;

use stats::Gauges;
use stream::OutputState;
use submission::Submission;
use worker::Handle;

/// A loaded model that answers. Cheap to clone; all clones share one model, one cache and one
/// engine thread. Streams outlive the engine: the thread ends when the last of both is gone.
#[derive(Debug, Clone)]
pub struct ChatEngine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    worker: Handle,
    tokenizer: Tokenizer,
    template: Result<ChatTemplate, TemplateError>,
    config: ModelConfig,
    context_len: usize,
    num_blocks: usize,
    gauges: Arc<Gauges>,
}

impl ChatEngine {
    /// Starts building an engine from a path, a model reference or a catalogue name.
    pub fn builder(model: impl Into<crate::hub::ModelSource>) -> EngineBuilder {
        EngineBuilder::new(model.into())
    }

    /// Starts a chat request. Template and tokens are worked out before this returns; there is
    /// nothing to wait for. Dropping the stream cancels the request.
    ///
    /// # Errors
    /// [`RequestError`] where the request cannot be served as it is.
    pub fn stream(&self, request: ChatRequest) -> Result<ChatStream, RequestError> {
        let shared = &self.shared;
        check_stop(&request.stop)?;
        let template = shared.template.as_ref().map_err(Clone::clone)?;
        let prompt = template.render(&TemplateInput {
            messages: &request.messages,
            tools: &request.tools,
            documents: &[],
            add_generation_prompt: true,
            variables: &request.template_variables,
        })?;
        let prompt = shared.tokenizer.encode_prompt(&prompt);
        let params = request
            .sampling
            .unwrap_or_else(|| default_params(&shared.config.generation));
        let tokens = self.stream_tokens(TokenRequest {
            prompt,
            params,
            max_tokens: request.max_tokens,
        })?;
        Ok(ChatStream::new(
            tokens,
            OutputState::new(&shared.tokenizer, request.stop),
        ))
    }

    /// Answers a chat request.
    ///
    /// # Errors
    /// [`ChatError`] where the request is refused or the engine fails.
    pub async fn chat(&self, request: ChatRequest) -> Result<ChatResponse, ChatError> {
        Ok(self.stream(request)?.collect().await?)
    }

    /// Answers a chat request and blocks the calling thread until the answer is whole.
    ///
    /// # Errors
    /// [`ChatError`] where the request is refused or the engine fails.
    pub fn chat_blocking(&self, request: ChatRequest) -> Result<ChatResponse, ChatError> {
        Ok(self.stream(request)?.blocking().collect_response()?)
    }

    /// Continues a prompt of token ids: the level below chat, without template or text.
    ///
    /// # Errors
    /// [`RequestError`] where the prompt is empty, does not fit, or a parameter is out of range.
    pub fn stream_tokens(&self, request: TokenRequest) -> Result<TokenStream, RequestError> {
        let shared = &self.shared;
        let prompt_len = request.prompt.len();
        if prompt_len == 0 {
            return Err(invalid("prompt", "it is empty"));
        }
        if let Some(token) = request
            .prompt
            .iter()
            .find(|&&t| t as usize >= shared.config.vocab_size)
        {
            return Err(invalid(
                "prompt",
                format!("the token {token} is outside the vocabulary"),
            ));
        }
        if prompt_len >= shared.context_len {
            return Err(RequestError::ContextLengthExceeded {
                context_len: shared.context_len,
                prompt_len,
            });
        }
        let room = shared.context_len - prompt_len;
        let max_tokens = request.max_tokens.unwrap_or(room).min(room);
        if max_tokens == 0 {
            return Err(invalid("max_tokens", "it is 0, and must be at least 1"));
        }
        // The last token is sampled but never computed, so it needs no slot.
        let needed = blocks_for(prompt_len + max_tokens - 1);
        if needed > shared.num_blocks {
            return Err(RequestError::CacheTooSmall {
                needed,
                available: shared.num_blocks,
            });
        }
        let eos = shared.tokenizer.eos_token_ids();
        let (submission, stream) = Submission::new(
            request,
            max_tokens,
            shared.config.vocab_size,
            eos,
            shared.worker.stopped(),
        )?;
        shared.worker.submit(submission)?;
        Ok(stream)
    }

    /// What the engine is doing. Cheap enough to poll.
    pub fn stats(&self) -> EngineStats {
        self.shared.gauges.read()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.shared.tokenizer
    }

    /// The model's shape and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.shared.config
    }

    /// Tokens that prompt and answer may have together.
    pub fn context_len(&self) -> usize {
        self.shared.context_len
    }
}

fn invalid(field: &str, problem: impl Into<String>) -> RequestError {
    RequestError::Invalid {
        field: field.to_owned(),
        problem: problem.into(),
    }
}

fn check_stop(stop: &[String]) -> Result<(), RequestError> {
    const MAX_STOPS: usize = 4;
    if stop.len() > MAX_STOPS {
        return Err(invalid(
            "stop",
            format!(
                "{} strings are given, at most {MAX_STOPS} are allowed",
                stop.len()
            ),
        ));
    }
    match stop.iter().position(String::is_empty) {
        Some(index) => Err(invalid(&format!("stop[{index}]"), "it is empty")),
        None => Ok(()),
    }
}

/// The model's own recommendation where the request says nothing.
fn default_params(generation: &GenerationDefaults) -> SamplingParams {
    let mut params = SamplingParams::default();
    if let Some(temperature) = generation.temperature {
        params.temperature = temperature;
    }
    if let Some(top_p) = generation.top_p {
        params.top_p = top_p;
    }
    if let Some(top_k) = generation.top_k {
        params.top_k = i64::from(top_k);
    }
    if let Some(penalty) = generation.repetition_penalty {
        params.repetition_penalty = penalty;
    }
    params
}
