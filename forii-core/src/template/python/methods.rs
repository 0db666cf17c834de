//! The methods of Python's `str`, `dict` and `list` that the sandbox lets a template call, and those
//! that stand for operators.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::objects::View;
use super::text::fuel;
use super::{invalid, numbers, strings};
use crate::template::syntax::{ADD, MODULO, MULTIPLY};

/// Called where a value has no method `name` of its own.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let (ADD | MULTIPLY | MODULO, [right]) = (name, args) {
        return match name {
            ADD => numbers::add(state, value, right),
            MULTIPLY => numbers::multiply(state, value, right),
            _ => match value.as_str() {
                Some(pattern) => percent(state, pattern, right),
                None => numbers::remainder(value, right),
            },
        };
    }
    match (value.as_str(), value.kind()) {
        (Some(text), _) => {
            if name == "format" {
                return formatted(state, FormatStyle::StrFormat, text, args).map(Value::from);
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

/// `pattern % right`.
fn percent(state: &State<'_, '_>, pattern: &str, right: &Value) -> Result<Value, Error> {
    let args: Vec<Value> = if right.is_tuple() {
        right.try_iter()?.collect()
    } else {
        vec![right.clone()]
    };
    // A mapping may go unused.
    let wanted = pattern.replace("%%", "").matches('%').count() + pattern.matches('*').count();
    if args.len() > wanted && right.kind() != ValueKind::Map {
        return Err(invalid("not all arguments converted during string formatting"));
    }
    formatted(state, FormatStyle::Printf, pattern, &args).map(Value::from)
}

/// Formats by minijinja, which allocates what a width asks for and takes keys for ASCII.
pub(super) fn formatted(
    state: &State<'_, '_>,
    style: FormatStyle,
    pattern: &str,
    args: &[Value],
) -> Result<String, Error> {
    let digits = pattern
        .split(|char: char| !char.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let mut width = 0_usize;
    for digits in digits {
        width = width.saturating_add(digits.parse().unwrap_or(usize::MAX));
    }
    if pattern.contains('*') {
        for arg in args.iter().filter_map(Value::as_usize) {
            width = width.saturating_add(arg);
        }
    }
    state.consume_fuel(fuel(width))?;
    let (escape, open, close) = match style {
        FormatStyle::Printf => ("%%", "%(", ')'),
        FormatStyle::StrFormat => ("{{", "{", '}'),
    };
    let bare = pattern.replace(escape, "");
    let mut keys = bare
        .split(open)
        .skip(1)
        .map(|rest| rest.split(close).next().unwrap_or_default());
    if !keys.all(str::is_ascii) {
        return Err(invalid("the key of a format is not ASCII"));
    }
    format(style, pattern, args)
}

fn mapping(state: &State<'_, '_>, value: &Value, name: &str, args: &Args<'_>) -> Result<Value, Error> {
    let object = value
        .as_object()
        .ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    let pairs = || object.try_iter_pairs().into_iter().flatten();
    let view = |name, items: Vec<Value>| {
        args.finish(0)?;
        state.consume_fuel(items.len() as u64)?;
        Ok(Value::from_object(View { name, items }))
    };
    match name {
        "get" => {
            let key = args
                .positional
                .first()
                .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            args.finish(2)?;
            let default = || args.positional.get(1).cloned().unwrap_or_else(|| Value::from(()));
            Ok(object.get_value(key).unwrap_or_else(default))
        }
        "items" => view(
            "dict_items",
            pairs()
                .map(|(key, value)| Tuple::from([key, value]).into())
                .collect(),
        ),
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
    let wanted = args
        .positional
        .first()
        .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
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
    if name == "index" {
        Err(invalid("the value is not in the list"))
    } else {
        Ok(Value::from(count))
    }
}
