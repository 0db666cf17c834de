//! What a schema must not hold, found before the engine sees it: more than the limits, and what the engine
//! would let pass in silence.

use regex_syntax::hir::HirKind;
use serde_json::Value;

use super::GrammarError;

/// Values in a schema, nested or not.
const MAX_SCHEMA_VALUES: usize = 20_000;
/// Levels of nesting in a schema or a composite grammar.
pub(super) const MAX_DEPTH: usize = 96;
/// Bytes of all texts in one grammar.
pub(super) const MAX_BYTES: usize = 512 * 1024;

/// Walks a schema without recursion, so that no depth can exhaust the stack.
pub(super) fn check_size(schema: &Value) -> Result<(), GrammarError> {
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
pub(super) fn check_characters(schema: &Value, path: &str) -> Result<(), GrammarError> {
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
pub(super) fn check_counts(schema: &Value, path: &str) -> Result<(), GrammarError> {
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
