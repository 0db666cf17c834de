//! Python's arithmetic where minijinja's differs or puts off the work, and the conversions to numbers.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::invalid;
use super::text::{fuel, type_name};

/// `left % right` of numbers; the result has the sign of `right`.
pub(super) fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let remainder = match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.checked_rem(right).map(|rest| {
            whole(if rest != 0 && (rest < 0) != (right < 0) {
                rest + right
            } else {
                rest
            })
        }),
        _ => number(left)
            .zip(number(right))
            .filter(|(_, right)| *right != 0.0)
            .map(|(left, right)| {
                let rest = left % right;
                Value::from(if rest != 0.0 && (rest < 0.0) != (right < 0.0) {
                    rest + right
                } else {
                    rest
                })
            }),
    };
    remainder.ok_or_else(|| unsupported("%", left, right))
}

/// `left + right`, which escapes what is added to markup.
pub(super) fn add(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(first), Some(second)) = (left.as_str(), right.as_str()) {
        state.consume_fuel(fuel(first.len() + second.len()))?;
        return Ok(match (left.is_safe(), right.is_safe()) {
            (false, false) => Value::from([first, second].concat()),
            (true, true) => Value::from_safe_string([first, second].concat()),
            (true, false) => Value::from_safe_string([first, &escape(second)].concat()),
            (false, true) => Value::from_safe_string([&escape(first), second].concat()),
        });
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple() {
        let mut items = Vec::new();
        for item in left.try_iter()?.chain(right.try_iter()?) {
            state.consume_fuel(1)?;
            items.push(item);
        }
        return Ok(if left.is_tuple() {
            Tuple::from(items).into()
        } else {
            items.into()
        });
    }
    let sum = match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.checked_add(right).map(whole),
        _ => number(left)
            .zip(number(right))
            .map(|(left, right)| Value::from(left + right)),
    };
    sum.ok_or_else(|| unsupported("+", left, right))
}

/// `left * right`, which repeats strings and lists.
pub(super) fn multiply(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    for (value, times) in [(left, right), (right, left)] {
        let Some(times) = integer(times).map(|times| usize::try_from(times.max(0)).unwrap_or(usize::MAX))
        else {
            continue;
        };
        if let Some(text) = value.as_str() {
            state.consume_fuel(fuel(text.len().saturating_mul(times)))?;
            let repeated = text.repeat(times);
            return Ok(if value.is_safe() {
                Value::from_safe_string(repeated)
            } else {
                Value::from(repeated)
            });
        }
        if is_list(value) {
            let items: Vec<Value> = value.try_iter()?.collect();
            let len = items.len().saturating_mul(times);
            state.consume_fuel(len as u64)?;
            let items: Vec<Value> = items.iter().cycle().take(len).cloned().collect();
            return Ok(if value.is_tuple() {
                Tuple::from(items).into()
            } else {
                items.into()
            });
        }
    }
    let product = match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.checked_mul(right).map(whole),
        _ => number(left)
            .zip(number(right))
            .map(|(left, right)| Value::from(left * right)),
    };
    product.ok_or_else(|| unsupported("*", left, right))
}

/// As markupsafe escapes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(char),
        }
    }
    out
}

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    let (left, right) = (type_name(left), type_name(right));
    invalid(format!(
        "unsupported operands for {operator}: '{left}' and '{right}'"
    ))
}

/// The filter `int`: `None` where Python takes the default.
pub(super) fn int(value: &Value, base: u32) -> Option<Value> {
    let Some(text) = value.as_str() else {
        return integer(value).map(whole).or_else(|| truncated(number(value)?));
    };
    let digits = text.trim().replace('_', "");
    let parsed = if (2..=36).contains(&base) {
        i128::from_str_radix(&digits, base).ok()
    } else {
        None
    };
    parsed.map(whole).or_else(|| truncated(float(value)?))
}

fn truncated(number: f64) -> Option<Value> {
    // Beyond that, integers are not exact and only Python has them.
    (number.abs() < 1e38).then(|| whole(number.trunc() as i128))
}

/// The filter `float`: `None` where Python takes the default.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => text.trim().replace('_', "").parse().ok(),
        None => number(value),
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match integer(value) {
        Some(integer) => Some(integer as f64),
        None if value.is_number() => f64::try_from(value.clone()).ok(),
        None => None,
    }
}

fn whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}
