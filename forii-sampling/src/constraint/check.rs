//! What a schema must not hold, found before the engine sees it: more than the limits, and what the engine
//! would let pass in silence.

use regex_syntax::hir::HirKind;
use serde_json::{Map, Number, Value};

use super::GrammarError;

/// Values in a schema, nested or not.
const MAX_SCHEMA_VALUES: usize = 20_000;
/// Levels of nesting in a schema or a composite grammar.
pub(super) const MAX_DEPTH: usize = 96;
/// Bytes of all texts in one grammar.
const MAX_BYTES: usize = 512 * 1024;
/// Bytes of a Lark grammar, whose rules may refer to one another in one long chain.
const MAX_LARK_BYTES: usize = 128 * 1024;

/// What the texts of one grammar add up to.
#[derive(Debug, Default)]
pub(super) struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    /// Counts a text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), GrammarError> {
        self.bytes += text.len();
        self.check(MAX_BYTES, self.bytes, "the text of the grammar", "")
    }

    /// Counts a schema. Walks it without recursion, so that no depth can exhaust the stack.
    fn schema(&mut self, schema: &Value) -> Result<(), GrammarError> {
        let mut rest = vec![(schema, 0, String::new())];
        while let Some((value, depth, path)) = rest.pop() {
            self.values += 1;
            self.check(MAX_DEPTH, depth, "the schema's depth", &path)?;
            self.check(
                MAX_SCHEMA_VALUES,
                self.values + rest.len(),
                "the number of values in schemas",
                &path,
            )?;
            match value {
                Value::Array(items) => {
                    let items = items.iter().enumerate();
                    rest.extend(items.map(|(i, v)| (v, depth + 1, format!("{path}/{i}"))));
                }
                Value::Object(members) => {
                    self.bytes += members.keys().map(String::len).sum::<usize>();
                    rest.extend(members.iter().map(|(k, v)| (v, depth + 1, join(&path, k))));
                }
                Value::String(text) => self.bytes += text.len(),
                _ => {}
            }
            self.check(MAX_BYTES, self.bytes, "the text of the schema", &path)?;
        }
        Ok(())
    }

    fn check(&self, limit: usize, found: usize, what: &'static str, path: &str) -> Result<(), GrammarError> {
        if found > limit {
            Err(GrammarError::TooLarge {
                what,
                path: path.to_owned(),
                limit,
            })
        } else {
            Ok(())
        }
    }
}

/// Refuses a schema that is too large or holds what the engine gets wrong.
pub(super) fn check_schema(schema: &Value, strict: bool, size: &mut Size) -> Result<(), GrammarError> {
    size.schema(schema)?;
    check_keywords(schema, "", strict)
}

/// Refuses a Lark grammar that is too large, or that holds such a schema.
pub(super) fn check_lark(lark: &str, size: &mut Size) -> Result<(), GrammarError> {
    if lark.len() > MAX_LARK_BYTES {
        let what = "the text of a Lark grammar";
        return Err(GrammarError::TooLarge {
            what,
            path: String::new(),
            limit: MAX_LARK_BYTES,
        });
    }
    size.text(lark)?;
    for (at, directive) in lark.match_indices("%json") {
        let rest = &lark[at + directive.len()..];
        if let Some(Ok(schema)) = serde_json::Deserializer::from_str(rest)
            .into_iter::<Value>()
            .next()
        {
            check_schema(&schema, false, size)?;
        }
    }
    Ok(())
}

fn check_keywords(schema: &Value, path: &str, strict: bool) -> Result<(), GrammarError> {
    match schema {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(i, item)| check_keywords(item, &format!("{path}/{i}"), strict)),
        Value::Object(members) => members.iter().try_for_each(|(keyword, value)| {
            let problem = match (keyword.as_str(), value) {
                ("const" | "enum", value) if unspeakable(value) => UNSPEAKABLE,
                ("const" | "enum", value) if !exact(value) => INEXACT,
                ("pattern", Value::String(regex)) if regex_unspeakable(regex) => UNSPEAKABLE,
                ("patternProperties", Value::Object(patterns))
                    if patterns.keys().any(|regex| regex_unspeakable(regex)) =>
                {
                    UNSPEAKABLE
                }
                // Past the range of 64 bits, a bound on the far side bounds nothing.
                ("minimum" | "exclusiveMinimum", Value::Number(n)) if n.as_f64() <= Some(-RANGE) => {
                    return Ok(());
                }
                ("maximum" | "exclusiveMaximum", Value::Number(n)) if n.as_f64() >= Some(RANGE) => {
                    return Ok(());
                }
                ("minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf", value)
                    if !exact(value) =>
                {
                    INEXACT
                }
                ("minProperties", Value::Number(least)) if strict && names_could_repeat(members, least) => {
                    "only one more than the required properties can be enforced where names are free"
                }
                _ => return check_keywords(value, &join(path, keyword), strict),
            };
            let (keyword, path, problem) = (keyword.clone(), path.to_owned(), problem.to_owned());
            Err(GrammarError::Schema {
                keyword,
                path,
                problem,
            })
        }),
        _ => Ok(()),
    }
}

/// The engine would drop them from the text in silence.
const UNSPEAKABLE: &str = "a control character that JSON writes as \\u.... is not supported";
/// The engine computes in f64, and recurses without end on the least of 64 bits.
const INEXACT: &str = "numbers beyond 2^53 are not exact";
/// 2^63.
const RANGE: f64 = 9_223_372_036_854_775_808.0;

/// Whether f64 holds all numbers in a value.
fn exact(value: &Value) -> bool {
    match value {
        Value::Number(n) => match n.as_i64() {
            Some(integer) => integer.unsigned_abs() <= 1 << 53,
            None => n.as_f64().is_some_and(|x| x.abs() <= (1u64 << 53) as f64),
        },
        Value::Array(items) => items.iter().all(exact),
        Value::Object(members) => members.values().all(exact),
        _ => true,
    }
}

/// Whether two properties of the same name could make up the least number: readers keep only one.
fn names_could_repeat(members: &Map<String, Value>, least: &Number) -> bool {
    let named = members
        .get("required")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let closed = members.get("additionalProperties") == Some(&Value::Bool(false))
        && !members.contains_key("patternProperties");
    !closed && least.as_u64().is_some_and(|least| least > named as u64 + 1)
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
