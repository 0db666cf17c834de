//! From a model reference to a running engine.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use super::runner::Runner;
use super::stats::Gauges;
use super::worker::Handle;
use super::{ChatEngine, Shared};
use crate::checkpoint::{self, Checkpoint};
use crate::error::{LoadError, TemplateError};
use crate::hub::{self, ModelSource, Progress};
use crate::kernels::{BLOCK_LEN, Compute, DeviceKind, KvCache};
use crate::models;
use crate::scheduler::{Limits, Scheduler, blocks_for};
use crate::template::{ChatTemplate, TemplateTokens};
use crate::tokenizer::Tokenizer;

const MAX_SEQUENCES: usize = 16;
const MAX_BATCH_TOKENS: usize = 256;

/// Settings of a [`ChatEngine`]; what is not set has a sane default.
pub struct EngineBuilder {
    source: ModelSource,
    device: DeviceKind,
    threads: Option<usize>,
    context_len: Option<usize>,
    cache_bytes: Option<usize>,
    max_sequences: usize,
    max_batch_tokens: usize,
    chat_template: Option<String>,
    progress: Box<dyn FnMut(Progress) + Send>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("source", &self.source)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(super) fn new(source: ModelSource) -> Self {
        Self {
            source,
            device: DeviceKind::default(),
            threads: None,
            context_len: None,
            cache_bytes: None,
            max_sequences: MAX_SEQUENCES,
            max_batch_tokens: MAX_BATCH_TOKENS,
            chat_template: None,
            progress: Box::new(|_| {}),
        }
    }

    /// The device that computes. Default: the CPU.
    #[must_use]
    pub fn device(mut self, device: DeviceKind) -> Self {
        self.device = device;
        self
    }

    /// Threads of the CPU kernels, the engine's own included. Default: one per core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Tokens that a prompt and its answer may have together. Default: what the model was made for,
    /// or what the cache holds if that is less.
    #[must_use]
    pub fn context_len(mut self, tokens: usize) -> Self {
        self.context_len = Some(tokens);
        self
    }

    /// Bytes of the key/value cache. Default: enough for all sequences at full context, at most a
    /// quarter of the memory that is free. Memory is taken only as the cache fills.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = Some(bytes);
        self
    }

    /// Sequences computed together; further ones wait. Default: 16.
    #[must_use]
    pub fn max_sequences(mut self, sequences: usize) -> Self {
        self.max_sequences = sequences;
        self
    }

    /// Tokens computed in one step, over all sequences. A long prompt is read in pieces of this
    /// size, between which other streams go on. Default: 256.
    #[must_use]
    pub fn max_batch_tokens(mut self, tokens: usize) -> Self {
        self.max_batch_tokens = tokens;
        self
    }

    /// A chat template in Jinja, in place of the one in the model's files.
    #[must_use]
    pub fn chat_template(mut self, source: impl Into<String>) -> Self {
        self.chat_template = Some(source.into());
        self
    }

    /// Told about downloads. Default: nobody is.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Fetches the model if need be, loads it, and starts the engine's thread.
    ///
    /// # Errors
    /// [`LoadError`] names the file, key, tensor or setting that stands in the way.
    pub fn build(mut self) -> Result<ChatEngine, LoadError> {
        self.check()?;
        let path = hub::resolve(&self.source, &mut *self.progress)?;
        let checkpoint = checkpoint::open(&path)?;
        let threads = self
            .threads
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let compute = Compute::new(self.device, threads)?;
        // Building a large vocabulary takes as long as packing the weights: do both at once.
        let (tokenizer, model) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| checkpoint.tokenizer());
            let model = models::load(&*checkpoint, &compute);
            let tokenizer = tokenizer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (tokenizer, model)
        });
        let (tokenizer, model) = (tokenizer?, model?);
        let template = self.compile_template(&*checkpoint, &tokenizer)?;

        let config = checkpoint.config();
        let shape = model.kv_shape();
        let context = self.context_len.unwrap_or(config.max_position_embeddings);
        let num_blocks = self.num_blocks(context, shape.bytes_per_block())?;
        // The last token needs no slot: it is never computed.
        let context_len = context.min(num_blocks * BLOCK_LEN + 1);
        if self.context_len.is_some_and(|wanted| wanted > context_len) {
            return Err(setting(
                "context_len",
                format!("the cache holds {context_len} tokens; raise cache_bytes"),
            ));
        }
        let cache = KvCache::new(&compute, &shape, num_blocks)?;
        let limits = Limits {
            max_batch_tokens: self.max_batch_tokens,
            max_sequences: self.max_sequences,
        };
        let gauges = Arc::new(Gauges::default());
        let scheduler = Scheduler::new(limits, num_blocks);
        gauges.set_counts(&scheduler.counts());
        let runner = Runner::new(model, cache, config.vocab_size);
        let worker = Handle::spawn(scheduler, runner, Arc::clone(&gauges))
            .map_err(|source| setting("threads", format!("the engine's thread cannot start: {source}")))?;
        let config = config.clone();
        let shared = Shared {
            worker,
            tokenizer,
            template,
            config,
            context_len,
            num_blocks,
            gauges,
        };
        Ok(ChatEngine {
            shared: Arc::new(shared),
        })
    }

    fn check(&self) -> Result<(), LoadError> {
        let positive = [
            ("threads", self.threads.unwrap_or(1)),
            ("context_len", self.context_len.unwrap_or(1)),
            ("max_sequences", self.max_sequences),
            ("max_batch_tokens", self.max_batch_tokens),
        ];
        if let Some((name, _)) = positive.into_iter().find(|&(_, value)| value == 0) {
            return Err(setting(name, "it is 0, and must be at least 1".to_owned()));
        }
        if self.max_batch_tokens < self.max_sequences {
            let problem = format!(
                "it is below max_sequences ({}): some streams would stall",
                self.max_sequences
            );
            return Err(setting("max_batch_tokens", problem));
        }
        Ok(())
    }

    /// A missing template is no error before a chat asks for it: token streams need none.
    fn compile_template(
        &self,
        checkpoint: &dyn Checkpoint,
        tokenizer: &Tokenizer,
    ) -> Result<Result<ChatTemplate, TemplateError>, LoadError> {
        let Some(source) = self
            .chat_template
            .as_deref()
            .or_else(|| checkpoint.chat_template())
        else {
            return Ok(Err(TemplateError::Missing));
        };
        let tokens = TemplateTokens {
            bos_token: tokenizer.bos_token().map(str::to_owned),
            eos_token: tokenizer.eos_token().map(str::to_owned),
            special_tokens: tokenizer.special_tokens().collect(),
        };
        Ok(Ok(ChatTemplate::compile(source, tokens)?))
    }

    fn num_blocks(&self, context: usize, bytes_per_block: usize) -> Result<usize, LoadError> {
        let wanted = blocks_for(context) * self.max_sequences;
        let bytes = self.cache_bytes.unwrap_or_else(|| free_memory() / 4);
        let num_blocks = wanted.min(bytes / bytes_per_block.max(1));
        if num_blocks == 0 {
            return Err(setting(
                "cache_bytes",
                format!("one cache block takes {bytes_per_block} bytes, given are {bytes}"),
            ));
        }
        Ok(num_blocks)
    }
}

fn setting(setting: &'static str, problem: String) -> LoadError {
    LoadError::Setting { setting, problem }
}

/// Bytes of memory that are free for the asking; 4 GiB where the system does not say.
fn free_memory() -> usize {
    const UNKNOWN: usize = 4 << 30;
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        return UNKNOWN;
    };
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<usize>().ok());
    kib.map_or(UNKNOWN, |kib| kib * 1024)
}
