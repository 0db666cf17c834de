//! How Python spells values: `str()`, `repr()` and the names of types.

use minijinja::value::{ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::objects::{Generator, View};

/// The deepest nesting of values that is printed, stored or taken as input. Everything that walks a
/// value recursively, dropping it included, relies on it.
pub(in crate::template) const MAX_DEPTH: usize = 160;

/// What processing `bytes` bytes costs.
pub(super) fn fuel(bytes: usize) -> u64 {
    bytes as u64 / 32
}

/// `str(value)`.
pub(super) fn str(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write_str(&mut out, value)?;
    Ok(out)
}

/// Appends `str(value)`.
pub(super) fn write_str(out: &mut String, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.push_str(text),
        None if value.is_undefined() => {}
        None => write_repr(out, value, 0)?,
    }
    Ok(())
}

/// Appends `repr(value)`.
fn write_repr(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "maximum recursion depth exceeded",
        ));
    }
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.push_str(&float(number)),
            Err(_) => out.push_str(&format!("{value}")),
        },
        ValueKind::String => write_quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let view = value.downcast_object_ref::<View>();
            if value.downcast_object_ref::<Generator>().is_some() {
                out.push_str("<generator object>");
                return Ok(());
            }
            if let Some(view) = view {
                out.push_str(view.name);
                out.push('(');
            }
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            let mut len = 0;
            out.push(open);
            for item in value.try_iter()?.checked() {
                if len > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &item?, depth + 1)?;
                len += 1;
            }
            if len == 1 && value.is_tuple() {
                out.push(',');
            }
            out.push(close);
            if view.is_some() {
                out.push(')');
            }
        }
        ValueKind::Map => {
            let object = value
                .as_object()
                .filter(|object| object.repr() == ObjectRepr::Map);
            out.push('{');
            let pairs = object.and_then(|object| object.try_iter_pairs());
            for (index, (key, value)) in pairs.into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &key, depth + 1)?;
                out.push_str(": ");
                write_repr(out, &value, depth + 1)?;
            }
            out.push('}');
        }
        // None, booleans and integers are spelled alike; macros and the like have no text of their own.
        _ => out.push_str(&format!("{value}")),
    }
    Ok(())
}

/// A string literal: double quotes where the text has single ones only.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if char == quote => {
                out.push('\\');
                out.push(char);
            }
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(char)))
            }
            // The other spaces and format characters that Python does not print as they are.
            '\u{1680}'
            | '\u{2000}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{3000}'
            | '\u{feff}'
            | '\u{e000}'..='\u{f8ff}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push(quote);
}

/// `repr` of a float: the shortest digits that read back as the same number.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust switches to exponents where Python does, and spells them without sign and padding.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// The name of a value's type, for messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq | ValueKind::Iterable => match value.downcast_object_ref::<View>() {
            Some(view) => view.name,
            None if value.downcast_object_ref::<Generator>().is_some() => "generator",
            None if value.is_tuple() => "tuple",
            None => "list",
        },
        ValueKind::Map => "dict",
        _ => "object",
    }
}
