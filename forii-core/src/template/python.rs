//! What the chat templates of Hugging Face models expect of Python: the filters, tests, functions and
//! methods of jinja2's sandbox with transformers' additions, where minijinja's own differ. How values
//! are spelled is in `text` and `json`, methods are in `methods` and `strings`,
//! arithmetic is in `numbers`.

use std::borrow::Cow;
use std::fmt;

use minijinja::formatting::FormatStyle;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, escape_formatter, filters, functions};

use self::objects::{Generator, View};
use self::text::{MAX_DEPTH, type_name};
use super::literal;
use super::syntax::{ITERATE, STORE, STORE_ATTRIBUTE};

mod json;
mod methods;
mod numbers;
mod objects;
mod split;
mod strings;
pub(super) mod text;

/// Says what time it is where the program runs.
pub(super) type Clock = fn() -> jiff::civil::DateTime;

/// Adds everything to an environment.
pub(super) fn install(env: &mut Environment<'_>, clock: Clock) {
    env.set_unknown_method_callback(methods::call);
    env.set_formatter(|out, state, value| {
        match value.as_str() {
            _ if !matches!(state.auto_escape(), AutoEscape::None) => {
                return escape_formatter(out, state, value);
            }
            Some(text) => out.write_str(text)?,
            None => out.write_str(&text::str(state, value)?)?,
        }
        Ok(())
    });
    functions(env, clock);
    tests(env);
    filters(env);
}

/// An exception that the template raised itself.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn invalid(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// The value itself where Python can iterate it. minijinja would take None for an empty list.
fn iterable(value: &Value) -> Result<&Value, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => {
            Err(invalid(format!("'{}' object is not iterable", type_name(value))))
        }
        _ => Ok(value),
    }
}

fn functions(env: &mut Environment<'_>, clock: Clock) {
    env.add_function(
        "raise_exception",
        |state: &State<'_, '_>, message: &Value| -> Result<Value, Error> {
            let message = text::str(state, message)?;
            Err(Error::new(ErrorKind::InvalidOperation, "raised by the template")
                .with_source(Raised(message)))
        },
    );
    env.add_function("strftime_now", move |format: &str| {
        jiff::fmt::strtime::format(format, clock()).map_err(|error| invalid(error.to_string()))
    });
    env.add_function(ITERATE, |value: &Value| iterable(value).cloned());
    env.add_function(STORE, |state: &State<'_, '_>, value: Value| {
        store(state, value, false)
    });
    env.add_function(STORE_ATTRIBUTE, |state: &State<'_, '_>, value: Value| {
        store(state, value, true)
    });
    env.add_function(
        "namespace",
        |state: &State<'_, '_>, args: Option<ValueOrKwargs>| {
            let namespace = functions::namespace(args)?;
            check(state, &namespace, false, 0).map(|()| namespace)
        },
    );
    env.add_function(
        "dict",
        |state: &State<'_, '_>, value: Option<Value>, args: Kwargs| {
            store(state, functions::dict(value, args)?, false)
        },
    );
    env.remove_global("debug");
}

/// A value as a variable holds it: lazy sequences become lists, and depth and size are bounded, so
/// that no template can build what cannot be walked or dropped.
fn store(state: &State<'_, '_>, value: Value, in_namespace: bool) -> Result<Value, Error> {
    let lazy = value.kind() == ValueKind::Iterable
        && value.downcast_object_ref::<Generator>().is_none()
        && value.downcast_object_ref::<View>().is_none();
    let value = if lazy {
        let mut items = Vec::new();
        for item in value.try_iter()?.checked() {
            state.consume_fuel(1)?;
            items.push(item?);
        }
        Value::from(items)
    } else {
        value
    };
    check(state, &value, in_namespace, 0)?;
    Ok(value)
}

fn check(state: &State<'_, '_>, value: &Value, in_namespace: bool, depth: usize) -> Result<(), Error> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    if depth > MAX_DEPTH {
        return Err(invalid("a value nests too deeply"));
    }
    let check_all = |items: &mut dyn Iterator<Item = Value>| {
        for item in items {
            state.consume_fuel(1)?;
            check(state, &item, in_namespace, depth + 1)?;
        }
        Ok(())
    };
    if let Some(generator) = value.downcast_object_ref::<Generator>() {
        return check_all(&mut generator.rest().into_iter());
    }
    match value.kind() {
        // A namespace in a namespace could hold itself.
        ValueKind::Map if in_namespace && object.type_name().ends_with("::Namespace") => {
            Err(invalid("a namespace cannot hold a namespace"))
        }
        ValueKind::Map => check_all(
            &mut object
                .try_iter_pairs()
                .into_iter()
                .flatten()
                .map(|(_, value)| value),
        ),
        ValueKind::Seq | ValueKind::Iterable => check_all(&mut value.try_iter()?),
        _ => Ok(()),
    }
}

fn tests(env: &mut Environment<'_>) {
    env.add_test("iterable", |value: &Value| iterable(value).is_ok());
    env.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::Undefined | ValueKind::String | ValueKind::Seq | ValueKind::Map => true,
        ValueKind::Iterable => {
            value.downcast_object_ref::<Generator>().is_none()
                && value.downcast_object_ref::<View>().is_none()
        }
        _ => false,
    });
    env.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

fn filters(env: &mut Environment<'_>) {
    env.add_filter("tojson", json::tojson);
    env.add_filter("string", |state: &State<'_, '_>, value: &Value| {
        text::str(state, value)
    });
    env.add_filter("safe", |state: &State<'_, '_>, value: &Value| {
        text::str(state, value).map(Value::from_safe_string)
    });
    env.add_filter("list", |state: &State<'_, '_>, value: Value| {
        filters::list(state, iterable(&value)?.clone())
    });
    for name in ["length", "count"] {
        env.add_filter(name, |state: &State<'_, '_>, value: &Value| {
            match value.as_str() {
                Some(text) => Ok(literal::unmarked(state, text).chars().count()),
                None => filters::length(value),
            }
        });
    }
    env.add_filter(
        "format",
        |state: &State<'_, '_>, pattern: &str, args: Rest<ValueOrKwargs>| {
            methods::formatted(state, FormatStyle::Printf, pattern, &args.into_values())
        },
    );
    env.add_filter(
        "trim",
        |state: &State<'_, '_>, value: &Value, chars: Option<Cow<'_, str>>| {
            let text = text::str(state, value)?;
            let text = match chars {
                Some(chars) => text.trim_matches(|char| chars.contains(char)),
                None => text.trim_matches(strings::is_space),
            };
            Ok::<_, Error>(text.to_owned())
        },
    );
    env.add_filter(
        "int",
        |value: &Value, default: Option<Value>, base: Option<u32>| {
            let number = numbers::int(value, base.unwrap_or(10));
            number.or(default).unwrap_or_else(|| Value::from(0))
        },
    );
    env.add_filter("float", |value: &Value, default: Option<Value>| {
        let number = numbers::float(value).map(Value::from);
        number.or(default).unwrap_or_else(|| Value::from(0.0))
    });
    env.add_filter("wordcount", |state: &State<'_, '_>, value: &Value| {
        let text = text::str(state, value)?;
        let words = text.split(|char: char| !char.is_alphanumeric() && char != '_');
        Ok::<_, Error>(words.filter(|word| !word.is_empty()).count())
    });
    generators(env);
    // jinja2 does not have them.
    for name in ["bool", "chain", "lines", "split", "zip"] {
        env.remove_filter(name);
    }
}

/// What `map` and `select` go through: they take nothing for an empty list.
fn items(value: Value) -> Result<Value, Error> {
    if value.is_true() {
        iterable(&value).cloned()
    } else {
        Ok(Value::from(Vec::<Value>::new()))
    }
}

/// The filters that Python evaluates lazily: their results are no lists.
fn generators(env: &mut Environment<'_>) {
    type Test<'a> = Option<Cow<'a, str>>;
    type Arguments = Rest<ValueOrKwargs>;
    env.add_filter(
        "map",
        |state: &mut State<'_, '_>, value: Value, args: Arguments| {
            filters::map(state, items(value)?, args).map(Generator::wrap)
        },
    );
    env.add_filter(
        "select",
        |state: &mut State<'_, '_>, value: Value, test: Test<'_>, args: Arguments| {
            filters::select(state, items(value)?, test, args).map(Generator::wrap)
        },
    );
    env.add_filter(
        "reject",
        |state: &mut State<'_, '_>, value: Value, test: Test<'_>, args: Arguments| {
            filters::reject(state, items(value)?, test, args).map(Generator::wrap)
        },
    );
    env.add_filter(
        "selectattr",
        |state: &mut State<'_, '_>, value: Value, name: Cow<'_, str>, test: Test<'_>, args: Arguments| {
            filters::selectattr(state, items(value)?, name, test, args).map(Generator::wrap)
        },
    );
    env.add_filter(
        "rejectattr",
        |state: &mut State<'_, '_>, value: Value, name: Cow<'_, str>, test: Test<'_>, args: Arguments| {
            filters::rejectattr(state, items(value)?, name, test, args).map(Generator::wrap)
        },
    );
    env.add_filter("unique", |state: &State<'_, '_>, value: Value, args: Kwargs| {
        filters::unique(state, iterable(&value)?.clone(), args)?
            .try_iter()
            .map(|items| Generator::wrap(items.collect()))
    });
}
