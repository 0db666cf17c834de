//! From a [`Grammar`] to what the engine reads: a Lark grammar whose leaves are grammars of their own. Sizes
//! are checked here, before any work that depends on them.

use std::fmt::Write;

use ::llguidance::JsonCompileOptions;
use ::llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use regex_syntax::hir::HirKind;
use serde_json::{Value, json};

use super::{Begin, Grammar, GrammarError, Trigger, Vocabulary};

/// Values in a schema, nested or not.
const MAX_SCHEMA_VALUES: usize = 20_000;
/// Levels of nesting in a schema or a composite grammar.
const MAX_DEPTH: usize = 96;
/// Bytes of all texts in one grammar.
const MAX_BYTES: usize = 512 * 1024;
/// Copies that a bounded repetition is written out to.
const MAX_COPIES: usize = 128;

/// The grammar as the engine reads it.
pub(super) fn lower(grammar: &Grammar, vocabulary: &Vocabulary) -> Result<TopLevelGrammar, GrammarError> {
    let mut lowering = Lowering {
        vocabulary,
        rules: String::new(),
        leaves: Vec::new(),
        num_rules: 0,
        bytes: 0,
    };
    if let Some(leaf) = lowering.leaf(grammar)? {
        return Ok(TopLevelGrammar::from_grammar(leaf));
    }
    let start = lowering.expression(grammar, 0)?;
    let lark = format!("start: {start}\n{}", lowering.rules);
    let mut grammars = vec![GrammarWithLexer::from_lark(lark)];
    grammars.append(&mut lowering.leaves);
    Ok(TopLevelGrammar {
        grammars,
        max_tokens: None,
    })
}

/// How schemas are written: on one line, with at most one space after a separator, so that no model loses
/// itself in whitespace. Strings never spell a character as `\u....`: the engine would let an additional name
/// evade the schema's own names so, and text that is not English could come out as escapes. What only such
/// an escape can spell is refused by [`check_characters`].
fn options(strict: bool) -> JsonCompileOptions {
    JsonCompileOptions {
        item_separator: ", ?".into(),
        key_separator: ": ?".into(),
        whitespace_flexible: false,
        coerce_one_of: !strict,
        lenient: !strict,
        json_allowed_escapes: Some("nrbtf\\\"".into()),
        ..JsonCompileOptions::default()
    }
}

/// A schema with the engine's options, which its author must not choose.
pub(super) fn with_options(schema: &Value, strict: bool) -> Value {
    let mut schema = if *schema == Value::Bool(true) {
        json!({})
    } else {
        schema.clone()
    };
    if schema.is_object() {
        options(strict).apply_to(&mut schema);
    }
    schema
}

struct Lowering<'a> {
    vocabulary: &'a Vocabulary,
    rules: String,
    leaves: Vec<GrammarWithLexer>,
    num_rules: usize,
    bytes: usize,
}

impl Lowering<'_> {
    /// A grammar that the engine reads as it is.
    fn leaf(&mut self, grammar: &Grammar) -> Result<Option<GrammarWithLexer>, GrammarError> {
        Ok(Some(match grammar {
            Grammar::JsonSchema { schema, strict } => {
                check_size(schema)?;
                if !schema.is_object() && !schema.is_boolean() {
                    let problem = "a schema is an object or a boolean".to_owned();
                    return Err(GrammarError::Invalid {
                        kind: "JSON schema",
                        problem,
                    });
                }
                check_characters(schema, "")?;
                if *strict {
                    check_counts(schema, "")?;
                }
                GrammarWithLexer::from_json_schema(with_options(schema, *strict))
            }
            Grammar::JsonObject => {
                GrammarWithLexer::from_json_schema(with_options(&json!({ "type": "object" }), true))
            }
            Grammar::Regex(regex) => {
                self.count(regex)?;
                GrammarWithLexer::from_regex(regex)
            }
            Grammar::Lark(lark) => {
                self.count(lark)?;
                GrammarWithLexer::from_lark(lark.clone())
            }
            _ => return Ok(None),
        }))
    }

    /// A Lark expression that stands for the grammar.
    fn expression(&mut self, grammar: &Grammar, depth: usize) -> Result<String, GrammarError> {
        let problem = |problem: &str| {
            Err(GrammarError::Invalid {
                kind: grammar.kind(),
                problem: problem.to_owned(),
            })
        };
        if depth > MAX_DEPTH {
            let what = "the nesting of grammars";
            return Err(GrammarError::TooLarge {
                what,
                path: String::new(),
                limit: MAX_DEPTH,
            });
        }
        if let Some(mut leaf) = self.leaf(grammar)? {
            let name = format!("g{}", self.leaves.len());
            leaf.name = Some(name.clone());
            self.leaves.push(leaf);
            return Ok(format!("@{name}"));
        }
        Ok(match grammar {
            Grammar::Choice(texts) => {
                if texts.is_empty() || texts.iter().any(String::is_empty) {
                    return problem("needs at least one text, and none that is empty");
                }
                let texts = texts
                    .iter()
                    .map(|t| self.quote(t))
                    .collect::<Result<Vec<_>, _>>()?;
                self.terminal(&texts.join(" | "))
            }
            Grammar::Literal(text) if text.is_empty() => return problem("the text is empty"),
            Grammar::Literal(text) => self.quote(text)?,
            &Grammar::Token(token) => self.token(token)?,
            Grammar::Sequence(parts) | Grammar::Either(parts) => {
                if parts.is_empty() {
                    return problem("has no parts");
                }
                let parts = parts
                    .iter()
                    .map(|p| self.expression(p, depth + 1))
                    .collect::<Result<Vec<_>, _>>()?;
                let separator = if matches!(grammar, Grammar::Sequence(_)) {
                    " "
                } else {
                    " | "
                };
                self.rule(&parts.join(separator))
            }
            Grammar::Repeat { item, min, max } => {
                self.check_copies(*min, *max)?;
                let item = self.expression(item, depth + 1)?;
                let item = self.rule(&item);
                match max {
                    Some(max) => self.rule(&format!("{item}{{{min},{max}}}")),
                    None => self.rule(&format!("{item}{{{min},}}")),
                }
            }
            Grammar::Triggered { triggers, min, max } => {
                self.check_copies(*min, *max)?;
                self.triggered(triggers, *min, *max, depth)?
            }
            _ => return problem("cannot be part of another grammar"),
        })
    }

    /// Free text and triggers. The text is defined as what holds no trigger, so that it is never a way around
    /// what follows one.
    fn triggered(
        &mut self,
        triggers: &[Trigger],
        min: usize,
        max: Option<usize>,
        depth: usize,
    ) -> Result<String, GrammarError> {
        if triggers.is_empty() || max == Some(0) {
            let problem = "needs at least one trigger, and at least one time".to_owned();
            return Err(GrammarError::Invalid {
                kind: "trigger",
                problem,
            });
        }
        let mut marks = Vec::new();
        for trigger in triggers {
            if let Begin::Text(text) = &trigger.begin {
                if text.is_empty() {
                    let problem = "the text of a trigger is empty".to_owned();
                    return Err(GrammarError::Invalid {
                        kind: "trigger",
                        problem,
                    });
                }
                marks.push(self.quote(text)?);
            }
        }
        const ANY: &str = "/(?s:.*)/";
        let (without, before) = if marks.is_empty() {
            (String::new(), String::new())
        } else {
            let marks = marks.join(" | ");
            let mark = self.terminal(&marks);
            let holding = self.terminal(&format!("{ANY} {mark} {ANY}"));
            let early = self.terminal(&format!("{ANY} {mark} /(?s:.+)/"));
            (format!(" & ~{holding}"), format!(" & ~{early}"))
        };
        let text = self.terminal(&format!("/(?s:.+)/{without}"));
        let mut items = Vec::new();
        for trigger in triggers {
            let body = self.expression(&trigger.body, depth + 1)?;
            items.push(match &trigger.begin {
                Begin::Text(mark) => {
                    let mark = self.quote(mark)?;
                    let upto = self.terminal(&format!("{ANY} {mark}"));
                    let upto = self.terminal(&format!("{upto}{before}"));
                    format!("{upto} {body}")
                }
                &Begin::Token(token) => format!("{text}? {} {body}", self.token(token)?),
            });
        }
        let item = self.rule(&items.join(" | "));
        Ok(match max {
            None => self.rule(&format!("{item}{{{min},}} {text}?")),
            Some(max) => {
                // Free text may end the answer as long as another trigger could still come.
                let full = self.rule(&format!("{item}{{{max}}}"));
                if max > min {
                    self.rule(&format!("{full} | {item}{{{min},{}}} {text}?", max - 1))
                } else {
                    full
                }
            }
        })
    }

    fn token(&self, token: u32) -> Result<String, GrammarError> {
        if token as usize >= self.vocabulary.len() {
            let problem = format!("the vocabulary has no token {token}");
            return Err(GrammarError::Invalid {
                kind: "literal",
                problem,
            });
        }
        Ok(format!("<[{token}]>"))
    }

    fn rule(&mut self, body: &str) -> String {
        self.num_rules += 1;
        let name = format!("r{}", self.num_rules);
        let _ = writeln!(self.rules, "{name}: {body}"); // writing to a string cannot fail
        name
    }

    fn terminal(&mut self, body: &str) -> String {
        self.num_rules += 1;
        let name = format!("T{}", self.num_rules);
        let _ = writeln!(self.rules, "{name}: {body}");
        name
    }

    fn quote(&mut self, text: &str) -> Result<String, GrammarError> {
        self.count(text)?;
        Ok(Value::from(text).to_string())
    }

    fn count(&mut self, text: &str) -> Result<(), GrammarError> {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            let what = "the text of a grammar";
            return Err(GrammarError::TooLarge {
                what,
                path: String::new(),
                limit: MAX_BYTES,
            });
        }
        Ok(())
    }

    fn check_copies(&self, min: usize, max: Option<usize>) -> Result<(), GrammarError> {
        let what = "the number of repetitions";
        if min.max(max.unwrap_or(0)) > MAX_COPIES {
            return Err(GrammarError::TooLarge {
                what,
                path: String::new(),
                limit: MAX_COPIES,
            });
        }
        if max.is_some_and(|max| max < min) {
            let problem = "at most fewer times than at least".to_owned();
            return Err(GrammarError::Invalid {
                kind: "composite grammar",
                problem,
            });
        }
        Ok(())
    }
}

/// Walks a schema without recursion, so that no depth can exhaust the stack.
fn check_size(schema: &Value) -> Result<(), GrammarError> {
    let (mut values, mut bytes) = (0, 0);
    let mut rest = vec![(schema, 0, String::new())];
    while let Some((value, depth, path)) = rest.pop() {
        values += 1;
        let too_large = |what, limit| {
            Err(GrammarError::TooLarge {
                what,
                path: path.clone(),
                limit,
            })
        };
        if depth > MAX_DEPTH {
            return too_large("the schema's depth", MAX_DEPTH);
        }
        if values + rest.len() > MAX_SCHEMA_VALUES {
            return too_large("the number of values in the schema", MAX_SCHEMA_VALUES);
        }
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                rest.extend(items.map(|(i, v)| (v, depth + 1, format!("{path}/{i}"))));
            }
            Value::Object(members) => {
                bytes += members.keys().map(String::len).sum::<usize>();
                rest.extend(members.iter().map(|(k, v)| (v, depth + 1, join(&path, k))));
            }
            Value::String(text) => bytes += text.len(),
            _ => {}
        }
        if bytes > MAX_BYTES {
            return too_large("the text of the schema", MAX_BYTES);
        }
    }
    Ok(())
}

/// Refuses texts with control characters that JSON has no short escape for. The engine would drop them from
/// the text in silence.
fn check_characters(schema: &Value, path: &str) -> Result<(), GrammarError> {
    let refuse = |keyword: &str| {
        let problem = "a control character that JSON writes as \\u.... is not supported".to_owned();
        Err(GrammarError::Schema {
            keyword: keyword.to_owned(),
            path: path.to_owned(),
            problem,
        })
    };
    match schema {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(i, item)| check_characters(item, &format!("{path}/{i}"))),
        Value::Object(members) => members.iter().try_for_each(|(keyword, value)| {
            let bad = match (keyword.as_str(), value) {
                ("const" | "enum", value) => unspeakable(value),
                ("pattern", Value::String(regex)) => regex_unspeakable(regex),
                ("patternProperties", Value::Object(patterns)) => {
                    patterns.keys().any(|r| regex_unspeakable(r))
                }
                _ => false,
            };
            if bad {
                refuse(keyword)
            } else {
                check_characters(value, &join(path, keyword))
            }
        }),
        _ => Ok(()),
    }
}

/// Refuses a least number of properties that two of the same name could make up: readers keep only one.
fn check_counts(schema: &Value, path: &str) -> Result<(), GrammarError> {
    match schema {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(i, item)| check_counts(item, &format!("{path}/{i}"))),
        Value::Object(members) => {
            let named = members
                .get("required")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let least = members.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
            let closed = members.get("additionalProperties") == Some(&Value::Bool(false))
                && !members.contains_key("patternProperties");
            if least > named as u64 + 1 && !closed {
                let problem =
                    "only one more than the required properties can be enforced where names are free";
                let (keyword, path) = ("minProperties".to_owned(), path.to_owned());
                return Err(GrammarError::Schema {
                    keyword,
                    path,
                    problem: problem.to_owned(),
                });
            }
            members
                .iter()
                .try_for_each(|(keyword, value)| check_counts(value, &join(path, keyword)))
        }
        _ => Ok(()),
    }
}

fn is_unspeakable(byte: u8) -> bool {
    matches!(byte, 0..=7 | 0x0B | 0x0E..=0x1F | 0x7F)
}

fn unspeakable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.bytes().any(is_unspeakable),
        Value::Array(items) => items.iter().any(unspeakable),
        Value::Object(members) => members.values().any(unspeakable),
        _ => false,
    }
}

/// Whether a literal of the regex holds such a character. Classes may: they have other members, or match
/// nothing.
fn regex_unspeakable(regex: &str) -> bool {
    let Ok(hir) = regex_syntax::parse(regex) else {
        return false;
    }; // the engine will say what is wrong
    let mut rest = vec![&hir];
    while let Some(hir) = rest.pop() {
        match hir.kind() {
            HirKind::Literal(literal) if literal.0.iter().any(|&b| is_unspeakable(b)) => return true,
            HirKind::Repetition(repetition) => rest.push(&repetition.sub),
            HirKind::Capture(capture) => rest.push(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => rest.extend(parts),
            _ => {}
        }
    }
    false
}

/// A JSON pointer one member further down.
pub(super) fn join(path: &str, member: &str) -> String {
    format!("{path}/{}", member.replace('~', "~0").replace('/', "~1"))
}
