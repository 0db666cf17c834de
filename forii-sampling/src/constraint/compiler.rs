//! Compiles grammars for one model: on threads of their own, with room on the stack and an end to their time.
//! The compiled ones are kept, and what the engine refuses is put into terms that a grammar's author knows.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ::llguidance::api::TopLevelGrammar;
use serde_json::Value;

use super::llguidance::{CompiledGrammar, Engine};
use super::{Grammar, GrammarError, Vocabulary, locate, lower};

/// Compiled grammars that are kept.
const CACHED: usize = 64;
/// A cached grammar's text may be this long; longer ones are compiled anew.
const CACHED_BYTES: usize = 64 * 1024;
/// The longest time that compiling may take.
const TIME_LIMIT: Duration = Duration::from_millis(1500);
/// The longest time that is spent on finding out what to blame for a refusal.
const BLAME_LIMIT: Duration = Duration::from_millis(300);
/// Compilations past their time that may still run. They end by the engine's own limits.
const RUNAWAYS: usize = 4;
/// The engine recurses along references, of which a grammar within its limits can chain thousands, at up to
/// 8 KiB each. Only what is used becomes memory.
const STACK: usize = 128 * 1024 * 1024;

/// Compiles grammars for one model and keeps the compiled ones. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct GrammarCompiler {
    shared: Arc<Shared>,
}

struct Shared {
    vocabulary: Arc<Vocabulary>,
    engine: OnceLock<Result<Engine, GrammarError>>,
    cache: Mutex<Cache>,
    runaways: AtomicUsize,
}

impl GrammarCompiler {
    /// A compiler for the model with this vocabulary. The engine's tables (0.1 to 0.6 s for 50,000 to
    /// 150,000 tokens) are built with the first grammar, or by [`prepare`](Self::prepare).
    pub fn new(vocabulary: impl Into<Arc<Vocabulary>>) -> Self {
        let cache = Mutex::new(Cache::default());
        let (engine, runaways) = (OnceLock::new(), AtomicUsize::new(0));
        Self {
            shared: Arc::new(Shared {
                vocabulary: vocabulary.into(),
                engine,
                cache,
                runaways,
            }),
        }
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.shared.vocabulary
    }

    /// Builds the engine's tables now, so that no request waits for them.
    ///
    /// # Errors
    /// The engine cannot use this vocabulary.
    pub fn prepare(&self) -> Result<(), GrammarError> {
        self.shared.engine().map(|_| ())
    }

    /// Compiles a grammar, or finds it among the last ones compiled. Takes from a tenth of a millisecond to
    /// its limit of 1.5 s, so never call it where other sequences wait.
    ///
    /// # Errors
    /// The grammar is invalid, asks for something that cannot be enforced, or is too large.
    pub fn compile(&self, grammar: &Grammar) -> Result<CompiledGrammar, GrammarError> {
        let lowered = lower::lower(grammar, &self.shared.vocabulary)?;
        let key = serde_json::to_string(&lowered)
            .ok()
            .filter(|key| key.len() <= CACHED_BYTES);
        if let Some(hit) = key.as_deref().and_then(|key| self.shared.cache().find(key)) {
            return Ok(hit);
        }
        self.shared.engine()?;
        let compiled = self
            .compile_in_time(lowered, TIME_LIMIT)
            .map_err(|e| self.explain(grammar, e))?;
        if let Some(key) = key {
            self.shared.cache().keep(key, compiled.clone());
        }
        Ok(compiled)
    }

    fn compile_in_time(&self, lowered: TopLevelGrammar, limit: Duration) -> Result<CompiledGrammar, Refusal> {
        if self.shared.runaways.load(Ordering::Relaxed) >= RUNAWAYS {
            return Err(Refusal::Error(GrammarError::Busy));
        }
        let (sender, receiver) = sync_channel(1);
        let job = Job {
            shared: Arc::clone(&self.shared),
            state: Arc::default(),
        };
        let state = Arc::clone(&job.state);
        let thread = std::thread::Builder::new()
            .name("forii-grammar".into())
            .stack_size(STACK);
        let spawned = thread.spawn(move || {
            let result = job.shared.compile(lowered);
            drop(job);
            let _ = sender.send(result); // nobody waits any more: the result is dropped
        });
        if let Err(e) = spawned {
            return Err(Refusal::Error(GrammarError::Engine(e.to_string())));
        }
        match receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                // Counted first, so that the job's own end never counts below zero.
                self.shared.runaways.fetch_add(1, Ordering::Relaxed);
                if state.swap(ABANDONED, Ordering::Relaxed) == ENDED {
                    self.shared.runaways.fetch_sub(1, Ordering::Relaxed);
                }
                Err(Refusal::Time)
            }
            Err(RecvTimeoutError::Disconnected) => Err(Refusal::Error(GrammarError::Engine(
                "the compiler panicked".into(),
            ))),
        }
    }

    /// Puts a refusal into terms that its author knows.
    fn explain(&self, grammar: &Grammar, refusal: Refusal) -> GrammarError {
        let (mut problem, schemas) = match refusal {
            Refusal::Error(error) => return error,
            Refusal::Time => {
                let schemas = schemas(grammar);
                let (path, keyword) = schemas.first().map_or_else(
                    || (String::new(), grammar.kind().to_owned()),
                    |(schema, _)| locate::widest(schema),
                );
                return GrammarError::TooSlow {
                    limit: TIME_LIMIT,
                    keyword,
                    path,
                };
            }
            Refusal::Engine(message) => (message, schemas(grammar)),
        };
        problem.truncate(problem.floor_char_boundary(300));
        for (schema, strict) in &schemas {
            let alone = Grammar::JsonSchema {
                schema: (*schema).clone(),
                strict: *strict,
            };
            if schemas.len() > 1 && self.compiles(&alone, TIME_LIMIT) {
                continue;
            }
            let (path, keyword) = self.blame(schema, *strict, &problem);
            return GrammarError::Schema {
                keyword,
                path,
                problem,
            };
        }
        GrammarError::Invalid {
            kind: grammar.kind(),
            problem,
        }
    }

    fn blame(&self, schema: &Value, strict: bool, problem: &str) -> (String, String) {
        // Where the whole is too large, no single part is at fault, and all that could be left out is tried in
        // vain or slowly.
        if ["too large", "too big", "too many", "fuel", "exceeded"]
            .iter()
            .any(|words| problem.contains(words))
        {
            return locate::widest(schema);
        }
        let quoted = |prefix: &str| {
            let rest = problem.split(prefix).nth(1)?;
            Some(rest.split(['"', ']', '\n']).next()?.to_owned())
        };
        if let Some(keyword) = quoted("Unimplemented keys: [\"")
            && let Some(path) = locate::first_use(schema, &keyword, None)
        {
            return (path, keyword);
        }
        if let Some(format) = quoted("Unknown format: ")
            && let Some(path) = locate::first_use(schema, "format", Some(&format))
        {
            return (path, "format".into());
        }
        let deadline = Instant::now() + BLAME_LIMIT;
        locate::culprit(schema, |variant| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Out of time, everything seems fine: the search ends where it is.
            let variant = Grammar::JsonSchema {
                schema: variant.clone(),
                strict,
            };
            left.is_zero() || self.compiles(&variant, left)
        })
    }

    fn compiles(&self, grammar: &Grammar, limit: Duration) -> bool {
        lower::lower(grammar, &self.shared.vocabulary)
            .is_ok_and(|lowered| self.compile_in_time(lowered, limit).is_ok())
    }
}

/// The schemas in a grammar, and whether each is strict.
fn schemas(grammar: &Grammar) -> Vec<(&Value, bool)> {
    match grammar {
        Grammar::JsonSchema { schema, strict } => vec![(schema, *strict)],
        Grammar::Sequence(parts) | Grammar::Either(parts) => parts.iter().flat_map(schemas).collect(),
        Grammar::Repeat { item, .. } => schemas(item),
        Grammar::Triggered { triggers, .. } => triggers.iter().flat_map(|t| schemas(&t.body)).collect(),
        _ => Vec::new(),
    }
}

enum Refusal {
    Engine(String),
    Time,
    Error(GrammarError),
}

// 0 is running.
const ABANDONED: u8 = 1;
const ENDED: u8 = 2;

/// A compilation on its thread. However it ends, it no longer counts as a runaway.
struct Job {
    shared: Arc<Shared>,
    state: Arc<AtomicU8>,
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.state.swap(ENDED, Ordering::Relaxed) == ABANDONED {
            self.shared.runaways.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn engine(&self) -> Result<&Engine, GrammarError> {
        self.engine
            .get_or_init(|| Engine::new(&self.vocabulary))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(&self, lowered: TopLevelGrammar) -> Result<CompiledGrammar, Refusal> {
        self.engine()
            .map_err(Refusal::Error)?
            .compile(lowered)
            .map_err(Refusal::Engine)
    }
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrammarCompiler")
            .field("vocabulary", self.vocabulary())
            .finish_non_exhaustive()
    }
}

/// The last compiled grammars by their content.
#[derive(Default)]
struct Cache {
    entries: HashMap<String, (u64, CompiledGrammar)>,
    clock: u64,
}

impl Cache {
    fn find(&mut self, key: &str) -> Option<CompiledGrammar> {
        self.clock += 1;
        let (used, grammar) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(grammar.clone())
    }

    fn keep(&mut self, key: String, grammar: CompiledGrammar) {
        self.clock += 1;
        if self.entries.len() >= CACHED && !self.entries.contains_key(&key) {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
        self.entries.insert(key, (self.clock, grammar));
    }
}
