//! Typed reading of a JSON object. Errors name the file and the path of the key.

use std::path::Path;

use serde_json::{Map, Value};

use super::{malformed, unsupported};
use crate::error::LoadError;

/// A JSON object whose errors name the file and the key's path.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) path: &'a Path,
    /// "text_config." inside that object, for errors.
    pub(super) prefix: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The top of a file; it must be an object.
    pub(super) fn new(path: &'a Path, value: &'a Value) -> Result<Self, LoadError> {
        let map = value
            .as_object()
            .ok_or_else(|| malformed(path, "the file", "it is no JSON object"))?;
        Ok(Self {
            path,
            prefix: "",
            map,
        })
    }

    /// A value that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// An object inside; `prefix` is its key and a dot.
    pub(super) fn object(&self, key: &str, prefix: &'a str) -> Result<Option<Self>, LoadError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self {
                path: self.path,
                prefix,
                map,
            })),
            Some(_) => Err(self.broken(key, "expected an object")),
        }
    }

    pub(super) fn broken(&self, key: &str, problem: impl Into<String>) -> LoadError {
        malformed(self.path, format!("the key '{}{key}'", self.prefix), problem)
    }

    pub(super) fn unsupported(&self, key: &str, problem: impl Into<String>) -> LoadError {
        unsupported(self.path, format!("the key '{}{key}'", self.prefix), problem)
    }

    pub(super) fn missing(&self, key: &str) -> LoadError {
        LoadError::MissingKey {
            path: self.path.to_path_buf(),
            key: format!("{}{key}", self.prefix),
        }
    }

    pub(super) fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| self.broken(key, format!("expected {expected}, found {}", kind(value))))
    }

    pub(super) fn usize(&self, key: &str) -> Result<Option<usize>, LoadError> {
        self.typed(key, "a whole number", |value| {
            usize::try_from(value.as_u64()?).ok()
        })
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, LoadError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn f64(&self, key: &str) -> Result<Option<f64>, LoadError> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(super) fn f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        Ok(self.f64(key)?.map(|value| value as f32))
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&'a str>, LoadError> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn required(&self, key: &str) -> Result<usize, LoadError> {
        self.usize(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn required_f64(&self, key: &str) -> Result<f64, LoadError> {
        self.f64(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Vec<f64>, LoadError> {
        self.typed(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })?
        .ok_or_else(|| self.missing(key))
    }

    /// A token id or a list of them.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, LoadError> {
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let ids = self.typed(key, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(id).collect(),
            one => Some(vec![id(one)?]),
        })?;
        Ok(ids.unwrap_or_default())
    }
}

/// What a value is; the value itself may be long.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
        Value::String(_) => "a string".to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
