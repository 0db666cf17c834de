//! A second engine, outlines-core, for grammars that are registered ahead of time: choices, small regular
//! expressions, and schemas of a checked white list, where it has been found exact. Registering takes up to
//! seconds; then a mask is a lookup. Everything else is refused with the reason, as outlines-core itself
//! leaves out in silence what it does not know.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use outlines_core::index::Index;
use outlines_core::json_schema;
use outlines_core::vocabulary::Vocabulary as OutlinesVocabulary;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_syntax::escape;
use serde_json::{Map, Value};

use super::check::join;
use super::{Constraint, ConstraintError, Grammar, GrammarError, Vocabulary};
use crate::{TokenId, TokenMask};

/// States of a regular expression's automaton.
const MAX_REGEX_STATES: usize = 64;
/// States of a schema's or a choice's automaton: what a schema of the white list may reasonably need.
const MAX_STATES: usize = 4096;
/// Bytes that building an automaton may take.
const MAX_BYTES: usize = 32 * 1024 * 1024;
const MAX_ITEMS: u64 = 8;
const MAX_LENGTH: u64 = 16;
const MAX_DEPTH: usize = 8;

type Dfa = dense::DFA<Vec<u32>>;

/// Turns grammars into automata over one model's vocabulary.
#[derive(Clone)]
pub struct OutlinesRegistry {
    vocabulary: Arc<Vocabulary>,
    tokens: Arc<OutlinesVocabulary>,
}

impl OutlinesRegistry {
    /// A registry for the model with this vocabulary.
    ///
    /// # Errors
    /// The engine cannot use this vocabulary.
    pub fn new(vocabulary: impl Into<Arc<Vocabulary>>) -> Result<Self, GrammarError> {
        let vocabulary = vocabulary.into();
        let mut tokens = OutlinesVocabulary::new(vocabulary.eos().first().copied().unwrap_or_default());
        for token in (0..vocabulary.len() as TokenId).filter(|&token| !vocabulary.is_special(token)) {
            if let Some(bytes) = vocabulary.bytes(token).filter(|bytes| !bytes.is_empty()) {
                tokens
                    .try_insert(bytes, token)
                    .map_err(|e| GrammarError::Engine(e.to_string()))?;
            }
        }
        Ok(Self {
            vocabulary,
            tokens: Arc::new(tokens),
        })
    }

    /// Builds the automaton of a choice, a regular expression or a strict schema, with a mask for each of its
    /// states. May take seconds: call it ahead of time.
    ///
    /// # Errors
    /// The grammar is outside the domain in which outlines-core is exact; the error says why.
    pub fn register(&self, grammar: &Grammar) -> Result<RegisteredGrammar, GrammarError> {
        let invalid = |problem: &dyn fmt::Display| GrammarError::Invalid {
            kind: grammar.kind(),
            problem: problem.to_string(),
        };
        let (regex, max_states) = match grammar {
            Grammar::Choice(texts) if texts.is_empty() || texts.iter().any(String::is_empty) => {
                return Err(invalid(&"needs at least one text, and none that is empty"));
            }
            Grammar::Choice(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| escape(text)).collect();
                (texts.join("|"), MAX_STATES)
            }
            Grammar::Regex(regex) => (regex.clone(), MAX_REGEX_STATES),
            Grammar::JsonSchema { schema, strict: true } => {
                check(schema, "", 0)?;
                let regex = json_schema::regex_from_value(schema, None, Some(0)).map_err(|e| invalid(&e))?;
                (regex, MAX_STATES)
            }
            _ => {
                return Err(invalid(
                    &"outlines takes choices, regular expressions and strict schemas",
                ));
            }
        };
        // Matching to the end keeps the first of several alternatives from hiding a longer one.
        let regex = format!("(?:{regex})\\z");
        let config = dense::Config::new()
            .determinize_size_limit(Some(MAX_BYTES))
            .dfa_size_limit(Some(MAX_BYTES));
        let dfa = dense::Builder::new()
            .configure(config)
            .build(&regex)
            .map_err(|e| invalid(&e))?;
        let states = reachable(&dfa)
            .ok_or_else(|| invalid(&"must not match the empty text or look behind its beginning"))?;
        if states > max_states {
            let what = "the number of the automaton's states";
            return Err(GrammarError::TooLarge {
                what,
                path: String::new(),
                limit: max_states,
            });
        }
        let index = Index::new(&regex, &self.tokens).map_err(|e| invalid(&e))?;
        let start = dfa
            .universal_start_state(Anchored::Yes)
            .ok_or_else(|| invalid(&"has no beginning"))?;
        if start.as_u32() != index.initial_state() {
            return Err(GrammarError::Engine(
                "outlines-core built another automaton".into(),
            ));
        }
        Ok(RegisteredGrammar(Arc::new(self.automaton(dfa, start, &index))))
    }

    fn automaton(&self, dfa: Dfa, start: StateID, index: &Index) -> Machine {
        let mut masks = Vec::new();
        let mut known: HashMap<TokenMask, usize> = HashMap::new();
        let mut states = HashMap::new();
        for (&state, tokens) in index.transitions() {
            let mut mask = TokenMask::empty(self.vocabulary.len());
            tokens.keys().for_each(|&token| mask.insert(token));
            if index.is_final_state(&state) {
                self.vocabulary.eos().iter().for_each(|&token| mask.insert(token));
            }
            // Many states allow the same tokens: most of them are inside a string.
            let mask = *known.entry(mask).or_insert_with_key(|mask| {
                masks.push(mask.clone());
                masks.len() - 1
            });
            states.insert(state, mask);
        }
        let end = index.final_states().iter().copied().filter(|state| {
            let tokens = index.transitions().get(state);
            tokens.is_some_and(|tokens| tokens.keys().all(|token| self.vocabulary.eos().contains(token)))
        });
        let end = end.collect();
        Machine {
            vocabulary: Arc::clone(&self.vocabulary),
            dfa,
            start,
            masks,
            states,
            end,
        }
    }
}

impl fmt::Debug for OutlinesRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutlinesRegistry")
            .field("vocabulary", &self.vocabulary)
            .finish_non_exhaustive()
    }
}

/// How many states can be reached from the beginning. `None` where it depends on what
/// comes before or after, as it does for the empty text.
fn reachable(dfa: &Dfa) -> Option<usize> {
    let mut seen = std::collections::HashSet::new();
    let mut rest = vec![dfa.universal_start_state(Anchored::Yes)?];
    while let Some(state) = rest.pop() {
        if !dfa.is_dead_state(state) && !dfa.is_quit_state(state) && seen.insert(state) {
            rest.extend((0..=255).map(|byte| dfa.next_state(state, byte)));
        }
    }
    Some(seen.len())
}

/// An automaton over bytes, and the tokens that each of its states allows.
struct Machine {
    vocabulary: Arc<Vocabulary>,
    dfa: Dfa,
    start: StateID,
    masks: Vec<TokenMask>,
    states: HashMap<u32, usize>,
    end: std::collections::HashSet<u32>,
}

/// A grammar that was registered ahead of time. Cheap to clone.
#[derive(Clone)]
pub struct RegisteredGrammar(Arc<Machine>);

impl RegisteredGrammar {
    /// A constraint at the start of the grammar.
    pub fn start(&self) -> Box<dyn Constraint> {
        Box::new(Outlines {
            machine: Arc::clone(&self.0),
            state: self.0.start,
            ended: false,
        })
    }

    /// How many different masks the automaton's states share.
    pub fn num_masks(&self) -> usize {
        self.0.masks.len()
    }
}

impl fmt::Debug for RegisteredGrammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredGrammar")
            .field("num_masks", &self.num_masks())
            .finish_non_exhaustive()
    }
}

struct Outlines {
    machine: Arc<Machine>,
    state: StateID,
    ended: bool,
}

impl Outlines {
    fn allowed(&self) -> Result<&TokenMask, ConstraintError> {
        let mask = self.machine.states.get(&self.state.as_u32());
        mask.and_then(|&mask| self.machine.masks.get(mask))
            .ok_or_else(|| ConstraintError::Stopped("no token continues the text".into()))
    }
}

impl Constraint for Outlines {
    fn mask(&mut self) -> Result<&TokenMask, ConstraintError> {
        self.allowed()
    }

    fn accept(&mut self, token: TokenId) -> Result<(), ConstraintError> {
        let eos = self.machine.vocabulary.eos().contains(&token);
        if !self.allowed()?.contains(token) || (self.ended && !eos) {
            return Err(ConstraintError::Rejected { token });
        }
        if eos {
            self.ended = true;
            return Ok(());
        }
        let bytes = self.machine.vocabulary.bytes(token).unwrap_or_default();
        self.state = bytes.iter().fold(self.state, |state, &byte| {
            self.machine.dfa.next_state(state, byte)
        });
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.ended || self.machine.end.contains(&self.state.as_u32())
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self {
            machine: Arc::clone(&self.machine),
            ..*self
        })
    }
}

impl fmt::Debug for Outlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlines")
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

/// Keywords that say nothing about instances.
const ANNOTATIONS: [&str; 6] = [
    "$schema",
    "title",
    "description",
    "$comment",
    "default",
    "examples",
];

/// Refuses a schema outside the white list: closed objects of required, plainly named properties, scalar
/// enums, `anyOf` alone, short bounded arrays and strings.
fn check(schema: &Value, path: &str, depth: usize) -> Result<(), GrammarError> {
    let refuse = |keyword: &str, problem: &str| {
        let (keyword, path) = (keyword.to_owned(), path.to_owned());
        Err(GrammarError::Schema {
            keyword,
            path,
            problem: format!("outside the domain of outlines: {problem}"),
        })
    };
    let Some(members) = schema.as_object() else {
        return refuse("", "not an object");
    };
    if depth > MAX_DEPTH {
        return refuse("", "too deep");
    }
    let only = |allowed: &[&str]| {
        members
            .keys()
            .map(String::as_str)
            .find(|k| !ANNOTATIONS.contains(k) && !allowed.contains(k))
    };
    let (stray, problem) = match members.get("type").and_then(Value::as_str) {
        _ if members.contains_key("anyOf") => (only(&["anyOf"]), any_of(members, path, depth)?),
        _ if members.contains_key("enum") => (only(&["enum", "type"]), scalars(members)),
        Some("null" | "boolean" | "integer" | "number") => (only(&["type"]), None),
        Some("string") => (only(&["type", "minLength", "maxLength"]), lengths(members)),
        Some("array") => (
            only(&["type", "items", "minItems", "maxItems"]),
            array(members, path, depth)?,
        ),
        Some("object") => {
            let allowed = ["type", "properties", "required", "additionalProperties"];
            (only(&allowed), object(members, path, depth)?)
        }
        _ => (None, Some(("type", "one of JSON's types must be named"))),
    };
    match (stray, problem) {
        (Some(keyword), _) => refuse(keyword, "the keyword is not on the white list here"),
        (None, Some((keyword, problem))) => refuse(keyword, problem),
        (None, None) => Ok(()),
    }
}

type Problem = Option<(&'static str, &'static str)>;

fn any_of(members: &Map<String, Value>, path: &str, depth: usize) -> Result<Problem, GrammarError> {
    let Some(options) = members["anyOf"].as_array().filter(|o| !o.is_empty()) else {
        return Ok(Some(("anyOf", "not a list of schemas")));
    };
    for (i, option) in options.iter().enumerate() {
        check(option, &format!("{path}/anyOf/{i}"), depth + 1)?;
    }
    Ok(None)
}

fn scalars(members: &Map<String, Value>) -> Problem {
    let kind = members.get("type").map(Value::as_str);
    let plain = |value: &Value| match value {
        Value::String(text) => {
            let ascii = text
                .bytes()
                .all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\');
            ascii && matches!(kind, None | Some(Some("string")))
        }
        Value::Number(n) => n.is_i64() && matches!(kind, None | Some(Some("integer" | "number"))),
        Value::Bool(_) => matches!(kind, None | Some(Some("boolean"))),
        Value::Null => matches!(kind, None | Some(Some("null"))),
        _ => false,
    };
    let values = members["enum"]
        .as_array()
        .filter(|values| !values.is_empty() && values.iter().all(plain));
    if values.is_some() {
        None
    } else {
        Some(("enum", "not a list of plain scalars of the type"))
    }
}

fn lengths(members: &Map<String, Value>) -> Problem {
    let max = members.get("maxLength").map(Value::as_u64);
    let min = members.get("minLength").map(Value::as_u64);
    match (min, max) {
        (None, None) => None,
        (min, Some(Some(max)))
            if max <= MAX_LENGTH && min.unwrap_or(Some(0)).is_some_and(|min| min <= max) =>
        {
            None
        }
        (Some(Some(min)), None) if min <= MAX_LENGTH => None,
        _ => Some((
            "maxLength",
            "lengths are at most 16, the least not above the greatest",
        )),
    }
}

fn array(members: &Map<String, Value>, path: &str, depth: usize) -> Result<Problem, GrammarError> {
    let max = members
        .get("maxItems")
        .and_then(Value::as_u64)
        .filter(|&max| (1..=MAX_ITEMS).contains(&max));
    let Some(max) = max else {
        return Ok(Some(("maxItems", "must be 1 to 8")));
    };
    if members
        .get("minItems")
        .is_some_and(|min| min.as_u64().is_none_or(|min| min > max))
    {
        return Ok(Some(("minItems", "must not be above maxItems")));
    }
    let Some(items) = members.get("items") else {
        return Ok(Some(("items", "is missing")));
    };
    check(items, &format!("{path}/items"), depth + 1)?;
    Ok(None)
}

fn object(members: &Map<String, Value>, path: &str, depth: usize) -> Result<Problem, GrammarError> {
    if members.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Ok(Some(("additionalProperties", "must be false")));
    }
    let Some(properties) = members
        .get("properties")
        .and_then(Value::as_object)
        .filter(|p| !p.is_empty())
    else {
        return Ok(Some(("properties", "must name some")));
    };
    let required = members
        .get("required")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is_required = |name: &String| required.iter().any(|r| r.as_str() == Some(name));
    if !properties.keys().all(is_required) || required.len() != properties.len() {
        return Ok(Some(("required", "must name all properties and no others")));
    }
    let plain = |name: &String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !properties.keys().all(plain) {
        return Ok(Some(("properties", "names must be of letters, digits, - and _")));
    }
    for (name, property) in properties {
        check(property, &join(&format!("{path}/properties"), name), depth + 1)?;
    }
    Ok(None)
}
