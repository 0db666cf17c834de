//! Errors by who must act: [`LoadError`] (the operator), [`RequestError`] (the caller, before
//! generation), [`EngineError`] (nobody's request; it goes to every live stream).

use std::path::PathBuf;

/// A model could not be found, read or built. Names the file and the key, section or tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The operating system refused a read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model reference leads nowhere.
    #[error("no model at '{reference}': {reason}")]
    NotFound {
        /// The reference as it was given.
        reference: String,
        /// Why it leads nowhere, and what would help.
        reason: String,
    },
    /// A file breaks its own format.
    #[error("{}: {item}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The section, key or tensor that is wrong.
        item: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that the model needs is absent.
    #[error("{}: the key '{key}' is missing", path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key as the file's format spells it.
        key: String,
    },
    /// A tensor that the model needs is absent.
    #[error("{}: the tensor '{tensor}' is missing", path.display())]
    MissingTensor {
        /// The file or folder.
        path: PathBuf,
        /// The tensor's Hugging Face name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{}: the tensor '{tensor}' has the shape {found:?}, expected {expected:?}", path.display())]
    TensorShape {
        /// The file or folder.
        path: PathBuf,
        /// The tensor's Hugging Face name.
        tensor: String,
        /// The shape that the configuration asks for, rows first.
        expected: Vec<usize>,
        /// The shape in the file, rows first.
        found: Vec<usize>,
    },
    /// The file is well formed but asks for something that forii does not do.
    #[error("{}: {item} is not supported: {problem}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key, tensor or architecture.
        item: String,
        /// What is asked for, and what is supported.
        problem: String,
    },
    /// The tokenizer cannot be built.
    #[error("{}: tokenizer: {problem}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The chat template cannot be compiled.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A setting of the builder that this model or machine cannot satisfy.
    #[error("the setting '{setting}' cannot be used: {problem}")]
    Setting {
        /// The builder's method.
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A model could not be fetched.
    #[error("cannot fetch {reference}: {problem}")]
    Fetch {
        /// The model reference.
        reference: String,
        /// What went wrong, and what would help.
        problem: String,
    },
}

/// A chat template could not be compiled or rendered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The checkpoint has no chat template.
    #[error("the model has no chat template; give one with EngineBuilder::chat_template")]
    Missing,
    /// The template is no valid Jinja.
    #[error("the chat template does not compile: {0}")]
    Compile(String),
    /// The template refused these messages through `raise_exception`.
    #[error("the chat template refuses these messages: {0}")]
    Raised(String),
    /// The template failed, or ran past its limits of steps or depth.
    #[error("the chat template failed: {0}")]
    Render(String),
}

/// A request that cannot be served as it is. The caller must change it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A field has a value outside its domain.
    #[error("invalid '{field}': {problem}")]
    Invalid {
        /// The field, as a path.
        field: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// Prompt and answer do not fit the context.
    #[error(
        "the context holds {context_len} tokens, but the prompt takes {prompt_len} and leaves no room for an answer"
    )]
    ContextLengthExceeded {
        /// Tokens that the engine's context holds.
        context_len: usize,
        /// Tokens of the prompt.
        prompt_len: usize,
    },
    /// The sequence can never fit the cache.
    #[error("the request needs {needed} cache blocks, the cache has {available}")]
    CacheTooSmall {
        /// Blocks that the sequence may grow to.
        needed: usize,
        /// Blocks in the whole cache.
        available: usize,
    },
    /// Too many requests wait already.
    #[error("the queue is full ({limit} requests wait)")]
    QueueFull {
        /// The queue's bound.
        limit: usize,
    },
    /// The chat template refused the messages or failed on them.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A sampling parameter is outside its range.
    #[error(transparent)]
    Sampling(#[from] forii_sampling::ParamsError),
    /// The engine no longer takes requests.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The engine failed under way; no request is to blame.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine thread stopped after a panic; the engine must be built anew.
    #[error("the engine's worker has stopped: {reason}")]
    WorkerStopped {
        /// The panic's message.
        reason: String,
    },
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The model's scores could not be sampled (not a number, or nothing allowed).
    #[error("sampling failed at output position {position}: {reason}")]
    Sampling {
        /// The index of the output token.
        position: usize,
        /// What the sampler said.
        reason: String,
    },
    /// The request ran past its deadline.
    #[error("the request ran past its deadline")]
    DeadlineExceeded,
}

/// Anything that can go wrong with one chat request.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The request was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
