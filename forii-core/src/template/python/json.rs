//! `tojson` as Python's `json.dumps` writes it.

use minijinja::value::{Kwargs, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::objects::{Generator, View};
use super::text::{self, MAX_DEPTH};
use crate::template::literal;

/// The filter, with the parameters that Hugging Face gives it.
pub(super) fn tojson(state: &State<'_, '_>, value: &Value, args: Kwargs) -> Result<String, Error> {
    let indent = match args.get::<Option<Value>>("indent")? {
        None => None,
        Some(value) => match (value.as_str(), value.as_i64()) {
            _ if value.is_none() => None,
            (Some(text), _) => Some(text.to_owned()),
            (None, Some(width)) => Some(" ".repeat(usize::try_from(width.clamp(0, 64)).unwrap_or(0))),
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "indent must be a number or a string",
                ));
            }
        },
    };
    let (item, key) = match args.get::<Option<Value>>("separators")? {
        Some(pair) if !pair.is_none() => {
            let part = |index| {
                pair.get_item_by_index(index)
                    .map(|part: Value| text::str(state, &part))
            };
            (part(0)??, part(1)??)
        }
        _ => (
            if indent.is_some() { "," } else { ", " }.to_owned(),
            ": ".to_owned(),
        ),
    };
    let ensure_ascii = args
        .get::<Option<Value>>("ensure_ascii")?
        .is_some_and(|value| value.is_true());
    let sort_keys = args
        .get::<Option<Value>>("sort_keys")?
        .is_some_and(|value| value.is_true());
    args.assert_all_used()?;
    let marks = if ensure_ascii {
        literal::Marks::of(state)
    } else {
        None
    };
    let mut writer = Writer {
        state,
        out: String::new(),
        paid: 0,
        indent,
        item,
        key,
        ensure_ascii,
        sort_keys,
        marks,
    };
    writer.value(value, 0)?;
    writer.pay()?;
    Ok(writer.out)
}

struct Writer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    out: String,
    /// Bytes of `out` that fuel was taken for.
    paid: usize,
    indent: Option<String>,
    /// Between two items.
    item: String,
    /// Between a key and its value.
    key: String,
    ensure_ascii: bool,
    sort_keys: bool,
    marks: Option<literal::Marks>,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "maximum recursion depth exceeded",
            ));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => return self.list(value, depth),
            ValueKind::Map => return self.map(value, depth),
            _ => return Err(not_serializable(value)),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) {
        match (value.is_integer(), f64::try_from(value.clone())) {
            (false, Ok(number)) if number.is_nan() => self.out.push_str("NaN"),
            (false, Ok(number)) if number.is_infinite() => {
                self.out
                    .push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            (false, Ok(number)) => self.out.push_str(&text::float(number)),
            _ => self.out.push_str(&value.to_string()),
        }
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if value.downcast_object_ref::<Generator>().is_some() || value.downcast_object_ref::<View>().is_some()
        {
            return Err(not_serializable(value));
        }
        let mut first = true;
        for item in value.try_iter()?.checked() {
            self.out.push_str(if first { "[" } else { &self.item });
            first = false;
            self.line(depth + 1);
            self.value(&item?, depth + 1)?;
            self.pay()?;
        }
        self.end(first, depth, '[', ']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let Some(object) = value
            .as_object()
            .filter(|object| object.repr() == ObjectRepr::Map)
        else {
            return Err(not_serializable(value));
        };
        let mut pairs: Vec<(Value, Value)> = object.try_iter_pairs().into_iter().flatten().collect();
        if self.sort_keys {
            pairs.sort_by(|left, right| left.0.cmp(&right.0));
        }
        let first = pairs.is_empty();
        for (index, (key, value)) in pairs.iter().enumerate() {
            self.out.push_str(if index == 0 { "{" } else { &self.item });
            self.line(depth + 1);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default()),
                ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                    self.out.push('"');
                    self.value(key, depth)?;
                    self.out.push('"');
                }
                _ => {
                    let problem = "keys must be str, int, float, bool or None";
                    return Err(Error::new(ErrorKind::InvalidOperation, problem));
                }
            }
            self.out.push_str(&self.key);
            self.value(value, depth + 1)?;
            self.pay()?;
        }
        self.end(first, depth, '{', '}');
        Ok(())
    }

    fn end(&mut self, empty: bool, depth: usize, open: char, close: char) {
        if empty {
            self.out.push(open);
        } else {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\u{1f}' => self.out.push_str(&format!("\\u{:04x}", u32::from(char))),
                // A mark must stay one, or it would show in the text.
                _ if char.is_ascii()
                    || !self.ensure_ascii
                    || self.marks.is_some_and(|marks| marks.contain(char)) =>
                {
                    self.out.push(char);
                }
                _ => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        self.out.push('"');
    }

    /// Takes fuel for what was written since, so that a value that holds one list many times cannot
    /// grow without bound.
    fn pay(&mut self) -> Result<(), Error> {
        const STEP: usize = 4096;
        let written = self.out.len() - self.paid;
        if written >= STEP {
            self.paid = self.out.len();
            self.state.consume_fuel(text::fuel(written))?;
        }
        Ok(())
    }
}

fn not_serializable(value: &Value) -> Error {
    let name = text::type_name(value);
    Error::new(
        ErrorKind::InvalidOperation,
        format!("Object of type {name} is not JSON serializable"),
    )
}
