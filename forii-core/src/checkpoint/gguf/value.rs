//! GGUF's metadata values as views over the file. Nothing is copied: an array of 150,000 token
//! strings stays where it lies until somebody walks it.

use std::fmt;

/// A value's type, by GGUF's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

/// The types by number, each with the size of a value where that is fixed.
const TYPES: [(ValueType, usize); 13] = [
    (ValueType::U8, 1),
    (ValueType::I8, 1),
    (ValueType::U16, 2),
    (ValueType::I16, 2),
    (ValueType::U32, 4),
    (ValueType::I32, 4),
    (ValueType::F32, 4),
    (ValueType::Bool, 1),
    (ValueType::String, 0),
    (ValueType::Array, 0),
    (ValueType::U64, 8),
    (ValueType::I64, 8),
    (ValueType::F64, 8),
];

impl ValueType {
    /// The type with this number in the file.
    pub(super) fn from_id(id: u32) -> Option<Self> {
        TYPES.get(usize::try_from(id).ok()?).map(|entry| entry.0)
    }

    /// Bytes of one value; `None` for strings and arrays.
    pub(super) fn size(self) -> Option<usize> {
        Some(TYPES[self as usize].1).filter(|size| *size > 0)
    }
}

/// One metadata value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    /// Not checked to be UTF-8: token strings need not be.
    String(&'a [u8]),
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// Decodes a scalar from exactly its bytes.
    pub(super) fn scalar(ty: ValueType, bytes: &'a [u8]) -> Option<Self> {
        Some(match ty {
            ValueType::U8 => Self::Unsigned(u64::from(*bytes.first()?)),
            ValueType::I8 => Self::Signed(i64::from(i8::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::U16 => Self::Unsigned(u64::from(u16::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::I16 => Self::Signed(i64::from(i16::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::U32 => Self::Unsigned(u64::from(u32::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::I32 => Self::Signed(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::U64 => Self::Unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I64 => Self::Signed(i64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::F32 => Self::Float(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
            ValueType::F64 => Self::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::Bool => Self::Bool(*bytes.first()? != 0),
            ValueType::String | ValueType::Array => return None,
        })
    }

    /// The number, where it is a whole one that is not negative.
    pub(super) fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The number as a float; whole numbers count, since writers differ.
    pub(super) fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(value) => Some(value),
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            _ => None,
        }
    }

    /// What it is, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
        }
    }
}

/// An array, checked when the header was read: `data` begins with `len` elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Array<'a> {
    pub(super) element: ValueType,
    pub(super) len: usize,
    pub(super) data: &'a [u8],
}

impl<'a> Array<'a> {
    /// The elements, one after another.
    pub(super) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.data;
        let mut take = move |len: usize| {
            let (bytes, tail) = rest.split_at_checked(len)?;
            rest = tail;
            Some(bytes)
        };
        std::iter::from_fn(move || match self.element.size() {
            Some(size) => Value::scalar(self.element, take(size)?),
            None => {
                let len = u64::from_le_bytes(take(8)?.try_into().ok()?);
                Some(Value::String(take(usize::try_from(len).ok()?)?))
            }
        })
        .take(self.len)
    }
}

/// Text of the file inside an error: its beginning, so that no message grows with the file.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_LEN: usize = 100;
        match self.0.get(..MAX_LEN) {
            Some(beginning) if self.0.len() > MAX_LEN => write!(f, "{}...", beginning.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}
