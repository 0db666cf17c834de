//! Typed reading of metadata keys. Errors name the key as the file spells it.

use std::path::Path;

use super::header::Header;
use super::value::{Array, Value, ValueType};
use crate::checkpoint::malformed;
use crate::error::LoadError;

/// The metadata of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
    pub(super) header: &'a Header,
}

impl<'a> Metadata<'a> {
    /// The value of a key, whatever it is.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.header.get(self.bytes, key)
    }

    /// The error for a key that must be there.
    pub(super) fn missing(&self, key: &str) -> LoadError {
        LoadError::MissingKey {
            path: self.path.to_path_buf(),
            key: key.to_string(),
        }
    }

    /// The error for a value that cannot be.
    pub(super) fn broken(&self, key: &str, problem: impl Into<String>) -> LoadError {
        malformed(self.path, format!("the key '{key}'"), problem)
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.broken(key, format!("expected {expected}, found {}", value.kind()))),
        }
    }

    pub(super) fn usize(&self, key: &str) -> Result<Option<usize>, LoadError> {
        self.typed(key, "a number that is not negative", |value| {
            usize::try_from(value.as_u64()?).ok()
        })
    }

    pub(super) fn u32(&self, key: &str) -> Result<Option<u32>, LoadError> {
        self.typed(key, "a number below 2^32", |value| {
            u32::try_from(value.as_u64()?).ok()
        })
    }

    pub(super) fn f64(&self, key: &str) -> Result<Option<f64>, LoadError> {
        self.typed(key, "a number", |value| value.as_f64())
    }

    pub(super) fn f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        Ok(self.f64(key)?.map(|value| value as f32))
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, LoadError> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&'a str>, LoadError> {
        self.typed(key, "a string in UTF-8", |value| match value {
            Value::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// An array of strings.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Array<'a>>, LoadError> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(array) if array.element == ValueType::String => Some(array),
            _ => None,
        })
    }

    /// An array of numbers, each of which `read` must take.
    pub(super) fn numbers<T>(
        &self,
        key: &str,
        read: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Vec<T>, LoadError> {
        let array = self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })?;
        let Some(array) = array else { return Ok(Vec::new()) };
        let mut numbers = Vec::with_capacity(array.len.min(array.data.len()));
        for (index, value) in array.iter().enumerate() {
            let Some(number) = read(value) else {
                return Err(self.broken(key, format!("entry {index} is {}, out of range", value.kind())));
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// A number that must be there.
    pub(super) fn required(&self, key: &str) -> Result<usize, LoadError> {
        self.usize(key)?.ok_or_else(|| self.missing(key))
    }
}
