//! The engine behind every grammar: llguidance over a trie of our own vocabulary.

use std::fmt;
use std::sync::Arc;

use ::llguidance::api::{StopReason, TopLevelGrammar};
use ::llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use ::llguidance::{Matcher, ParserFactory};

use super::{Constraint, ConstraintError, GrammarError, Tokenizer, Vocabulary};
use crate::{TokenId, TokenMask};

/// The engine's trie cannot hold longer tokens. They are never allowed.
const LONGEST_TOKEN: usize = 250;

/// An engine's message without the state that it dumps.
fn plain(message: &str) -> String {
    let end = message.find("\n<").unwrap_or(message.len());
    message[..end].trim().to_owned()
}

/// The engine's tables for one vocabulary.
pub(super) struct Engine {
    factory: ParserFactory,
    vocabulary: Arc<Vocabulary>,
}

impl Engine {
    pub(super) fn new(vocabulary: &Arc<Vocabulary>) -> Result<Self, GrammarError> {
        Ok(Self {
            factory: factory(vocabulary)?,
            vocabulary: Arc::clone(vocabulary),
        })
    }

    /// Compiles a grammar, or says in the engine's words why not.
    pub(super) fn compile(&self, lowered: TopLevelGrammar) -> Result<CompiledGrammar, String> {
        let mut matcher = Matcher::new(self.factory.create_parser(lowered));
        if let Some(message) = matcher.get_error() {
            return Err(plain(&message));
        }
        let warnings = matcher.grammar_warnings();
        let vocabulary = Arc::clone(&self.vocabulary);
        Ok(CompiledGrammar {
            matcher: Arc::new(matcher),
            warnings: warnings.into(),
            vocabulary,
        })
    }
}

fn factory(vocabulary: &Vocabulary) -> Result<ParserFactory, GrammarError> {
    let engine = |e: &dyn fmt::Display| GrammarError::Engine(plain(&e.to_string()));
    let size = u32::try_from(vocabulary.len()).map_err(|e| engine(&e))?;
    let words: Vec<Vec<u8>> = (0..size)
        .map(|token| match vocabulary.bytes(token) {
            Some(bytes) if bytes.len() > LONGEST_TOKEN => Vec::new(),
            Some(name) if vocabulary.is_special(token) => [&[TokTrie::SPECIAL_TOKEN_MARKER], name].concat(),
            Some(bytes) => bytes.to_vec(),
            None => Vec::new(),
        })
        .collect();
    let eos = vocabulary.eos();
    let info = TokRxInfo::new(size, eos.first().copied().unwrap_or_default());
    let trie = TokTrie::from(&info, &words).with_eos_tokens(eos);
    let tokens: TokEnv = Arc::new(Tokens {
        trie,
        tokenizer: vocabulary.tokenizer().cloned(),
    });
    let slices = ::llguidance::earley::SlicedBiasComputer::general_slices();
    let mut factory =
        ParserFactory::new(&tokens, InferenceCapabilities::default(), &slices).map_err(|e| engine(&e))?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.verbose_errors = false;
    limits.max_lexer_states = 50_000; // one to two KiB each
    Ok(factory)
}

/// Our vocabulary as the engine wants it.
struct Tokens {
    trie: TokTrie,
    tokenizer: Option<Tokenizer>,
}

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.tokenizer
            .as_ref()
            .map_or_else(|| self.trie.greedy_tokenize(text), |tokenize| tokenize(text))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.tokenizer.is_some()
    }
}

/// A compiled grammar, from which constraints start. Cheap to clone.
#[derive(Clone)]
pub struct CompiledGrammar {
    matcher: Arc<Matcher>,
    warnings: Arc<[String]>,
    vocabulary: Arc<Vocabulary>,
}

impl CompiledGrammar {
    /// A constraint at the start of the grammar. Shares no state with others.
    pub fn start(&self) -> Box<dyn Constraint> {
        let mask = TokenMask::empty(self.vocabulary.len());
        let vocabulary = Arc::clone(&self.vocabulary);
        Box::new(Llguidance {
            matcher: self.matcher.deep_clone(),
            mask,
            masked: false,
            vocabulary,
        })
    }

    /// What a schema that is not strict asks for and the engine leaves out.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl fmt::Debug for CompiledGrammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledGrammar")
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

struct Llguidance {
    matcher: Matcher,
    mask: TokenMask,
    masked: bool,
    vocabulary: Arc<Vocabulary>,
}

impl Llguidance {
    fn stopped(&self) -> ConstraintError {
        let message = self
            .matcher
            .get_error()
            .unwrap_or_else(|| self.matcher.stop_reason().to_string());
        ConstraintError::Stopped(plain(&message))
    }
}

impl Constraint for Llguidance {
    fn mask(&mut self) -> Result<&TokenMask, ConstraintError> {
        if !self.masked {
            let allowed = self.matcher.compute_mask_or_eos().map_err(|_| self.stopped())?;
            self.mask.copy_from_words(allowed.as_slice());
            self.masked = true;
        }
        Ok(&self.mask)
    }

    fn accept(&mut self, token: TokenId) -> Result<(), ConstraintError> {
        if self.matcher.is_error() {
            return Err(self.stopped());
        }
        if self.is_complete() {
            let ends = self.vocabulary.eos().contains(&token);
            return if ends {
                Ok(())
            } else {
                Err(ConstraintError::Rejected { token })
            };
        }
        if token as usize >= self.vocabulary.len() {
            return Err(ConstraintError::Rejected { token });
        }
        match self.matcher.try_consume_tokens(&[token]) {
            Ok(0) => Err(ConstraintError::Rejected { token }),
            Ok(_) => {
                self.masked = false;
                Ok(())
            }
            Err(_) => Err(self.stopped()),
        }
    }

    fn forced(&mut self) -> Vec<TokenId> {
        if self.is_complete() {
            Vec::new()
        } else {
            self.matcher.compute_ff_tokens()
        }
    }

    fn is_complete(&self) -> bool {
        matches!(
            self.matcher.stop_reason(),
            StopReason::NoExtension | StopReason::EndOfSentence
        )
    }

    fn fork(&self) -> Box<dyn Constraint> {
        let (mask, vocabulary) = (self.mask.clone(), Arc::clone(&self.vocabulary));
        Box::new(Self {
            matcher: self.matcher.deep_clone(),
            mask,
            masked: self.masked,
            vocabulary,
        })
    }
}

impl fmt::Debug for Llguidance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llguidance")
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}
