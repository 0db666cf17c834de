//! How Python spells values: `str()`, `repr()` and the names of types.

use minijinja::value::{ObjectRepr, Value, ValueKind};
use minijinja::{Error, State};

use super::invalid;
use super::objects::{Generator, View};

/// The deepest nesting of values that is printed, stored or taken as input. Everything that walks a
/// value recursively, dropping it included, relies on it.
pub(in crate::template) const MAX_DEPTH: usize = 160;

/// What processing `bytes` bytes costs.
pub(super) fn fuel(bytes: usize) -> u64 {
    bytes as u64 / 32
}

/// `str(value)`.
pub(super) fn str(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut writer = Writer {
        state,
        out: String::new(),
    };
    if !value.is_undefined() {
        writer.value(value, 0)?;
    }
    Ok(writer.out)
}

/// Writes `repr` of values.
struct Writer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    out: String,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        // A value that holds one list many times is small and its text is not.
        self.state.consume_fuel(1)?;
        if depth > MAX_DEPTH {
            return Err(invalid("maximum recursion depth exceeded"));
        }
        match value.kind() {
            ValueKind::Undefined => self.out.push_str("Undefined"),
            ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
                Ok(number) => self.out.push_str(&float(number)),
                Err(_) => self.out.push_str(&value.to_string()),
            },
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                self.state.consume_fuel(fuel(text.len()))?;
                write_quoted(&mut self.out, text);
            }
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            // None, booleans and integers are spelled alike; macros and the like have no text of their own.
            _ => self.out.push_str(&value.to_string()),
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if value.downcast_object_ref::<Generator>().is_some() {
            self.out.push_str("<generator object>");
            return Ok(());
        }
        let view = value.downcast_object_ref::<View>();
        let is_tuple = value.is_tuple();
        self.out.push_str(view.map_or("", |view| view.name));
        self.out.push_str(match (view, is_tuple) {
            (Some(_), _) => "([",
            (None, true) => "(",
            (None, false) => "[",
        });
        let mut len = 0;
        for item in value.try_iter()?.checked() {
            self.out.push_str(if len > 0 { ", " } else { "" });
            self.value(&item?, depth + 1)?;
            len += 1;
        }
        self.out.push_str(match (view, is_tuple) {
            (Some(_), _) => "])",
            (None, true) if len == 1 => ",)",
            (None, true) => ")",
            (None, false) => "]",
        });
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let object = value
            .as_object()
            .filter(|object| object.repr() == ObjectRepr::Map);
        let pairs = object.and_then(|object| object.try_iter_pairs());
        self.out.push('{');
        for (index, (key, value)) in pairs.into_iter().flatten().enumerate() {
            self.out.push_str(if index > 0 { ", " } else { "" });
            self.value(&key, depth + 1)?;
            self.out.push_str(": ");
            self.value(&value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }
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
