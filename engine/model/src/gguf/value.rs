//! Values of a GGUF file's metadata.

use crate::storage::Reader;

/// Deeper lists of lists are refused.
const DEEPEST: usize = 8;

/// One value. Texts and lists are those of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(&'a [u8]),
    List(List<'a>),
}

/// Values of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct List<'a> {
    kind: u32,
    count: u64,
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// A whole number from 0.
    pub(super) fn count(&self) -> Option<u64> {
        match *self {
            Value::Unsigned(number) => Some(number),
            Value::Signed(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A number.
    pub(super) fn number(&self) -> Option<f64> {
        match *self {
            Value::Unsigned(number) => Some(number as f64),
            Value::Signed(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match *self {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// A text, where it is one.
    pub(super) fn text(&self) -> Option<&'a str> {
        match *self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<List<'a>> {
        match *self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// The values; they were read once, so that reading them again does not fail.
    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let kind = self.kind;
        (0..self.count).map_while(move |_| reader.value_of(kind, 0).ok())
    }
}

impl<'a> Reader<'a> {
    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A text that must be one.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| format!("{what} is not UTF-8"))
    }

    /// A value with its kind before it.
    pub(super) fn value(&mut self) -> Result<Value<'a>, String> {
        let kind = self.u32()?;
        self.value_of(kind, 0)
    }

    fn value_of(&mut self, kind: u32, depth: usize) -> Result<Value<'a>, String> {
        Ok(match kind {
            0 => Value::Unsigned(self.u8()?.into()),
            1 => Value::Signed(i8::from_le_bytes(self.number()?).into()),
            2 => Value::Unsigned(self.u16()?.into()),
            3 => Value::Signed(i16::from_le_bytes(self.number()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(self.i32()?.into()),
            6 => Value::Float(f32::from_le_bytes(self.number()?).into()),
            7 => Value::Bool(self.u8()? != 0),
            8 => Value::Text(self.bytes()?),
            9 => Value::List(self.list(depth)?),
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.number()?)),
            12 => Value::Float(f64::from_le_bytes(self.number()?)),
            _ => return Err(format!("a value has kind {kind}, which is not known")),
        })
    }

    /// A list, read through to its end but not kept.
    fn list(&mut self, depth: usize) -> Result<List<'a>, String> {
        if depth == DEEPEST {
            return Err(format!("lists lie in lists more than {DEEPEST} deep"));
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        let start = self.position();
        match width(kind) {
            Some(width) => {
                let bytes = count.checked_mul(width).ok_or_else(|| format!("a list claims {count} values"))?;
                self.take(bytes)?;
            }
            None => {
                for _ in 0..count {
                    self.value_of(kind, depth + 1)?;
                }
            }
        }
        Ok(List { kind, count, bytes: self.since(start) })
    }
}

/// Bytes of a number of that kind; `None` for texts, lists and what is not known.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
