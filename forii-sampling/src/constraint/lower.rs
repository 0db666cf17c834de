//! From a [`Grammar`] to what the engine reads: a Lark grammar whose leaves are grammars of their own. Sizes
//! are checked first.

use std::fmt::Write;

use ::llguidance::JsonCompileOptions;
use ::llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use super::check::{MAX_DEPTH, Size, check_lark, check_schema};
use super::{Begin, Grammar, GrammarError, Trigger, Vocabulary};

/// Copies that a bounded repetition is written out to.
const MAX_COPIES: usize = 128;

/// The grammar as the engine reads it.
pub(super) fn lower(grammar: &Grammar, vocabulary: &Vocabulary) -> Result<TopLevelGrammar, GrammarError> {
    let mut lowering = Lowering {
        vocabulary,
        rules: String::new(),
        leaves: Vec::new(),
        num_rules: 0,
        size: Size::default(),
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
/// an escape can spell is refused by [`check_schema`].
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
    size: Size,
}

impl Lowering<'_> {
    /// A grammar that the engine reads as it is.
    fn leaf(&mut self, grammar: &Grammar) -> Result<Option<GrammarWithLexer>, GrammarError> {
        Ok(Some(match grammar {
            Grammar::JsonSchema { schema, strict } => {
                check_schema(schema, *strict, &mut self.size)?;
                if !schema.is_object() && !schema.is_boolean() {
                    let problem = "a schema is an object or a boolean".to_owned();
                    return Err(GrammarError::Invalid {
                        kind: "JSON schema",
                        problem,
                    });
                }
                GrammarWithLexer::from_json_schema(with_options(schema, *strict))
            }
            Grammar::JsonObject => {
                GrammarWithLexer::from_json_schema(with_options(&json!({ "type": "object" }), true))
            }
            Grammar::Regex(regex) => {
                self.size.text(regex)?;
                GrammarWithLexer::from_regex(regex)
            }
            Grammar::Lark(lark) => {
                check_lark(lark, &mut self.size)?;
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
        self.size.text(text)?;
        Ok(Value::from(text).to_string())
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
