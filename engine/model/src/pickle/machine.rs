//! The machine that pickles are programs of (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>), protocols 2
//! to 5. It builds values and looks names up; it has no operation that runs anything.

use std::collections::HashMap;

use super::globals::{Call, Global, storage};
use super::value::{Id, Root, Value, get};
use crate::storage::Reader;

/// More values are refused: a hundred thousand tensors need a quarter of them.
const MOST: usize = 4 << 20;

/// More arguments of a class or function are refused.
const ARGUMENTS: usize = 16;

/// What a pickle stands for, read from the front of `bytes`, and its length.
///
/// # Errors
/// Says what is wrong with it, and where.
pub(super) fn read(bytes: &[u8]) -> Result<(Root<'_>, usize), String> {
    let mut machine = Machine {
        reader: Reader::new(bytes.get(..super::LARGEST).unwrap_or(bytes)),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        items: 0,
    };
    loop {
        let at = machine.reader.position();
        match machine.step().map_err(|reason| format!("at byte {at} of its pickle: {reason}"))? {
            None => {}
            Some(top) => return Ok((Root { values: machine.values, top }, machine.reader.position())),
        }
    }
}

struct Machine<'a> {
    reader: Reader<'a>,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Lengths of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// What all containers were made with.
    items: usize,
}

impl<'a> Machine<'a> {
    /// One operation; the value that the pickle stands for when it was the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let code = self.reader.u8()?;
        match code {
            // PROTO, FRAME: nothing to do.
            0x80 => self.protocol()?,
            0x95 => drop(self.reader.u64()?),
            b'.' => return self.pop().map(Some),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => self.stack.push(self.top()?),
            b'(' => self.mark()?,
            b'q' | b'r' | 0x94 => self.remember(code)?,
            b'h' | b'j' => self.recall(code)?,
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' => self.number(code)?,
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => self.text(code)?,
            b')' | b']' | b'}' | b't' | b'l' | b'd' | 0x85..=0x87 => self.container(code)?,
            // EMPTY_SET, FROZENSET, ADDITEMS: sets hold no weights.
            0x8f => self.push(Value::Other)?,
            0x91 => drop((self.marked()?, self.push(Value::Other)?)),
            0x90 => drop(self.marked()?),
            b'a' | b'e' | b's' | b'u' => self.fill(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'Q' => self.storage()?,
            b'R' | 0x81 | 0x92 => self.call(code)?,
            // BUILD: the state of an object that holds no weights, or notes on a dictionary.
            b'b' => drop((self.pop()?, self.top()?)),
            _ => return Err(self.unknown(code)),
        }
        Ok(None)
    }

    fn unknown(&self, code: u8) -> String {
        let old = b"FILSVPgpio".contains(&code);
        let why = if old { "which protocols 0 and 1 have, expected 2 or later" } else { "which is not known" };
        format!("operation `{}`, {why}", code.escape_ascii())
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.reader.u8()? {
            0..=5 => Ok(()),
            other => Err(format!("protocol {other}, expected at most 5")),
        }
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        self.items += value.len();
        if self.values.len().max(self.items) >= MOST {
            return Err(format!("it has more than {MOST} values"));
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.last().filter(|_| self.stack.len() > floor);
        top.copied().ok_or_else(|| "a value is missing".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn mark(&mut self) -> Result<(), String> {
        if self.marks.len() >= MOST {
            return Err(format!("it has more than {MOST} marks"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// The values after the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn value(&self, id: Id) -> &Value<'a> {
        get(&self.values, id)
    }

    fn remember(&mut self, code: u8) -> Result<(), String> {
        let place = match code {
            b'q' => self.reader.u8()?.into(),
            b'r' => self.reader.u32()?,
            _ => self.memo.len() as u32,
        };
        if self.memo.len() >= MOST {
            return Err(format!("it remembers more than {MOST} values"));
        }
        self.memo.insert(place, self.top()?);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let place = if code == b'h' { self.reader.u8()?.into() } else { self.reader.u32()? };
        let id = self.memo.get(&place).ok_or_else(|| format!("value {place} was not remembered"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Other,
            b'K' => Value::Int(self.reader.u8()?.into()),
            b'M' => Value::Int(self.reader.u16()?.into()),
            b'J' => Value::Int(self.reader.i32()?.into()),
            b'G' => {
                self.reader.take(8)?;
                Value::Other
            }
            _ => {
                let length = if code == 0x8a { self.reader.u8()?.into() } else { self.reader.u32()? };
                signed(self.reader.take(length.into())?).map_or(Value::Other, Value::Int)
            }
        };
        self.push(value)
    }

    fn text(&mut self, code: u8) -> Result<(), String> {
        let length = match code {
            0x8c | b'U' | b'C' => self.reader.u8()?.into(),
            b'X' | b'T' | b'B' => self.reader.u32()?.into(),
            _ => self.reader.u64()?,
        };
        let bytes = self.reader.take(length)?;
        self.push(if code == 0x96 { Value::Other } else { Value::Text(bytes) })
    }

    fn container(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b't' => Value::Tuple(self.marked()?),
            b'l' => Value::List(self.marked()?),
            b'd' => Value::Dict(pairs(&self.marked()?)?),
            _ => {
                let count = usize::from(code - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, String>>()?;
                items.reverse();
                Value::Tuple(items)
            }
        };
        self.push(value)
    }

    /// APPEND, APPENDS, SETITEM, SETITEMS.
    fn fill(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.marked()?,
        };
        let target = self.top()? as usize;
        let target = self.values.get_mut(target);
        match (code, target) {
            (b'a' | b'e', Some(Value::List(list))) => list.extend(items),
            (b's' | b'u', Some(Value::Dict(dict))) => dict.extend(pairs(&items)?),
            (_, Some(Value::Other)) => {}
            (_, found) => {
                let kind = found.map_or("nothing", |found| found.kind());
                return Err(format!("{kind} is to be filled, expected a list or a dictionary"));
            }
        }
        Ok(())
    }

    /// GLOBAL, STACK_GLOBAL.
    fn global(&mut self, code: u8) -> Result<(), String> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.value(module), self.value(name)) {
                (Value::Text(module), Value::Text(name)) => (*module, *name),
                _ => return Err("the name of a class is not a text".to_owned()),
            }
        };
        let global = Global::find(module, name)?;
        self.push(Value::Global(global))
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = self.reader.rest();
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or("a line does not end")?;
        let line = self.reader.take(end as u64)?;
        self.reader.u8()?;
        Ok(line)
    }

    /// BINPERSID: what lies outside the pickle.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(items) = self.value(id) else {
            return Err(format!("{} names a storage, expected a tuple", self.value(id).kind()));
        };
        let storage = storage(&self.values, items)?;
        self.push(Value::Storage(Box::new(storage)))
    }

    /// REDUCE, NEWOBJ, NEWOBJ_EX.
    fn call(&mut self, code: u8) -> Result<(), String> {
        if code == 0x92 {
            // Arguments with names.
            self.pop()?;
        }
        let (arguments, called) = (self.pop()?, self.pop()?);
        let arguments = match self.value(arguments) {
            Value::Tuple(items) if items.len() <= ARGUMENTS => items.clone(),
            Value::Tuple(items) => return Err(format!("{} arguments, expected at most {ARGUMENTS}", items.len())),
            other => return Err(format!("{} stands for arguments, expected a tuple", other.kind())),
        };
        let Value::Global(global) = *self.value(called) else {
            return Err(format!("{} is called, expected a class or function", self.value(called).kind()));
        };
        match global.call(&self.values, &arguments)? {
            Call::Same(id) => self.stack.push(id),
            Call::New(value) => self.push(value)?,
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    match rest {
        [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("a key has no value".to_owned()),
    }
}

/// A number of two's complement, little-endian; `None` when it has more than 16 bytes.
fn signed(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.last().is_some_and(|&last| last >= 0x80) { 0xff } else { 0 };
    let mut number = [fill; 16];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(number))
}
