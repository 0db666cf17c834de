//! The methods of Python's `str`, `dict` and `list` that the sandbox lets a template call, and the
//! operators that minijinja does not know in full: `%` on strings and `+` on markup.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::objects::View;
use super::text::{fuel, type_name};
use super::{invalid, strings};
use crate::template::syntax::{ADD, MODULO};

/// Called where a value has no method `name` of its own.
pub(super) fn call(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let (ADD | MODULO, [right]) = (name, args) {
        return if name == ADD { add(state, value, right) } else { modulo(state, value, right) };
    }
    match (value.as_str(), value.kind()) {
        (Some(text), _) => {
            if name == "format" {
                pay_for_widths(state, text, args)?;
            }
            match strings::call(state, text, name, &Args::new(args)?)? {
                Some(result) => Ok(result),
                None => pycompat::unknown_method_callback(state, value, name, args),
            }
        }
        (None, ValueKind::Map) => mapping(state, value, name, &Args::new(args)?),
        (None, ValueKind::Seq | ValueKind::Iterable) => sequence(state, value, name, &Args::new(args)?),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// The arguments of a call, by position or by name.
pub(super) struct Args<'a> {
    positional: &'a [Value],
    named: Kwargs,
}

impl<'a> Args<'a> {
    fn new(args: &'a [Value]) -> Result<Self, Error> {
        let (positional, named) = from_args(args)?;
        Ok(Self { positional, named })
    }

    /// The argument at `index` or called `name`; `None` where it is absent or Python's None.
    pub(super) fn get(&self, index: usize, name: &str) -> Option<Value> {
        let value = match self.positional.get(index) {
            Some(value) => Some(value.clone()),
            None => self.named.get::<Option<Value>>(name).ok().flatten(),
        };
        value.filter(|value| !value.is_none())
    }

    /// Fails where more than `most` arguments were given, or one with an unknown name.
    pub(super) fn finish(&self, most: usize) -> Result<(), Error> {
        if self.positional.len() > most {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        self.named.assert_all_used()
    }
}

/// `left % right`: the remainder of numbers, the formatting of a string.
fn modulo(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(pattern) = left.as_str() {
        let args: Vec<Value> = if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
        pay_for_widths(state, pattern, &args)?;
        return format(FormatStyle::Printf, pattern, &args).map(Value::from);
    }
    let remainder = match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.checked_rem(right).map(|rest| {
            whole(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
        }),
        _ => match (number(left), number(right)) {
            (Some(left), Some(right)) if right != 0.0 => {
                let rest = left % right;
                Some(Value::from(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }))
            }
            _ => None,
        },
    };
    remainder.ok_or_else(|| unsupported("%", left, right))
}

/// `left + right`, which escapes what is added to markup.
fn add(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(first), Some(second)) = (left.as_str(), right.as_str()) {
        state.consume_fuel(fuel(first.len() + second.len()))?;
        return Ok(match (left.is_safe(), right.is_safe()) {
            (false, false) => Value::from([first, second].concat()),
            (true, true) => Value::from_safe_string([first, second].concat()),
            (true, false) => Value::from_safe_string([first, &escape(second)].concat()),
            (false, true) => Value::from_safe_string([&escape(first), second].concat()),
        });
    }
    if let (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) = (left.kind(), right.kind())
        && left.is_tuple() == right.is_tuple()
    {
        let items: Vec<Value> = left.try_iter()?.chain(right.try_iter()?).collect();
        return Ok(if left.is_tuple() { Tuple::from(items).into() } else { items.into() });
    }
    let sum = match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.checked_add(right).map(whole),
        _ => number(left).zip(number(right)).map(|(left, right)| Value::from(left + right)),
    };
    sum.ok_or_else(|| unsupported("+", left, right))
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
    invalid(format!("unsupported operands for {operator}: '{left}' and '{right}'"))
}

fn whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
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

/// Takes fuel for the widths that a pattern asks for before they are allocated.
fn pay_for_widths(state: &State<'_, '_>, pattern: &str, args: &[Value]) -> Result<(), Error> {
    let digits = pattern.split(|char: char| !char.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut width = 0_usize;
    for digits in digits {
        width = width.saturating_add(digits.parse().unwrap_or(usize::MAX));
    }
    if pattern.contains('*') {
        for arg in args.iter().filter_map(Value::as_usize) {
            width = width.saturating_add(arg);
        }
    }
    state.consume_fuel(fuel(width))
}

fn mapping(state: &State<'_, '_>, value: &Value, name: &str, args: &Args<'_>) -> Result<Value, Error> {
    let object = value.as_object().ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    let pairs = || object.try_iter_pairs().into_iter().flatten();
    let view = |name, items: Vec<Value>| {
        args.finish(0)?;
        state.consume_fuel(items.len() as u64)?;
        Ok(Value::from_object(View { name, items }))
    };
    match name {
        "get" => {
            let key = args.positional.first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            args.finish(2)?;
            let default = || args.positional.get(1).cloned().unwrap_or_else(|| Value::from(()));
            Ok(object.get_value(key).unwrap_or_else(default))
        }
        "items" => view("dict_items", pairs().map(|(key, value)| Tuple::from([key, value]).into()).collect()),
        "keys" => view("dict_keys", pairs().map(|(key, _)| key).collect()),
        "values" => view("dict_values", pairs().map(|(_, value)| value).collect()),
        "copy" => args.finish(0).map(|()| value.clone()),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn sequence(state: &State<'_, '_>, value: &Value, name: &str, args: &Args<'_>) -> Result<Value, Error> {
    if name == "copy" && value.kind() == ValueKind::Seq && !value.is_tuple() {
        return args.finish(0).map(|()| value.clone());
    }
    if !matches!(name, "index" | "count") {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    let wanted = args.positional.first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    args.finish(1)?;
    let mut count = 0_usize;
    for (index, item) in value.try_iter()?.checked().enumerate() {
        state.consume_fuel(1)?;
        if item? == *wanted {
            if name == "index" {
                return Ok(Value::from(index));
            }
            count += 1;
        }
    }
    if name == "index" { Err(invalid("the value is not in the list")) } else { Ok(Value::from(count)) }
}
