//! Text as a model reads it: tokens of the model's own tokenizer.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokenizers::{TruncationDirection, TruncationParams, TruncationStrategy};

use crate::error::{ModelError, Result};
use crate::table::{Table, Values};

/// The file of a model's directory that holds its tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Which columns of raw rows a model reads as text, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextInput {
    /// The column of texts.
    pub column: String,
    /// The column of second texts, where the model reads pairs.
    pub pair: Option<String>,
    /// Most tokens of a row, special tokens included; longer texts lose their end, of a pair the longer one first.
    pub max_length: usize,
}

/// One text, or one pair, as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token numbers.
    pub ids: Vec<u32>,
    /// 0 for the tokens of the first text, 1 for those of the second.
    pub types: Vec<u32>,
}

/// Turns text to tokens and back. Cloning is cheap.
#[derive(Clone)]
pub struct Tokenizer(Arc<tokenizers::Tokenizer>);

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocabulary())
    }
}

impl Tokenizer {
    /// A tokenizer of the text of a `tokenizer.json`. Truncation and padding that the file asks for are left out: how
    /// long rows are is the caller's to say.
    ///
    /// # Errors
    /// When the text is no tokenizer; `path` serves the message.
    pub fn new(text: &[u8], path: &Path) -> Result<Self> {
        let malformed = |error: tokenizers::Error| ModelError::Malformed {
            path: path.to_owned(),
            format: TOKENIZER,
            reason: error.to_string(),
        };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(text).map_err(malformed)?;
        tokenizer.with_truncation(None).map_err(malformed)?;
        tokenizer.with_padding(None);
        Ok(Self(Arc::new(tokenizer)))
    }

    /// Whether both make the same tokens of every text.
    pub fn is_same(&self, other: &Self) -> bool {
        let text = |tokenizer: &Self| tokenizer.0.to_string(false).ok();
        Arc::ptr_eq(&self.0, &other.0) || text(self).is_some_and(|own| text(other) == Some(own))
    }

    /// How many tokens it knows.
    pub fn vocabulary(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// The number of a token, by its text.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.0.token_to_id(text)
    }

    /// The tokens of a whole text, without special tokens.
    ///
    /// # Errors
    /// When the tokenizer cannot read the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.0.encode_fast(text, false).map_err(|error| refused(&error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a text that a model is to continue, with those that begin a text.
    ///
    /// # Errors
    /// When the tokenizer cannot read the text.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.0.encode_fast(text, true).map_err(|error| refused(&error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// When the tokenizer cannot put them together.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.0.decode(ids, true).map_err(|error| refused(&error))
    }

    /// The rows of a table as tokens, with the special tokens that the model expects around them.
    ///
    /// # Errors
    /// When a column is missing, is no text, or has a missing cell; when `max_length` leaves no room for text.
    pub fn rows(&self, input: &TextInput, table: &Table) -> Result<Vec<TokenRow>> {
        let first = texts(table, &input.column)?;
        let second = input.pair.as_ref().map(|column| texts(table, column)).transpose()?;
        let limited = self.limited(input)?;
        let row = |(index, text): (usize, &str)| {
            let encoding = match second.as_ref().and_then(|second| second.get(index)) {
                Some(pair) => limited.encode_fast((text, *pair), true),
                None => limited.encode_fast(text, true),
            };
            let encoding = encoding.map_err(|error| refused(&error))?;
            Ok(TokenRow { ids: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec() })
        };
        first.into_iter().enumerate().map(row).collect()
    }

    fn limited(&self, input: &TextInput) -> Result<tokenizers::Tokenizer> {
        let added = usize::from(input.pair.is_some());
        let special = self.special_tokens(added == 1)?;
        if input.max_length <= special + added {
            let room = special + added + 1;
            let found = input.max_length;
            return Err(ModelError::Input(format!(
                "rows have at most {found} tokens, expected at least {room}: the tokenizer adds {special} special ones"
            )));
        }
        let mut tokenizer = self.0.as_ref().clone();
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: input.max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| refused(&error))?;
        Ok(tokenizer)
    }

    /// How many special tokens it puts around a text or a pair.
    fn special_tokens(&self, is_pair: bool) -> Result<usize> {
        let encoding = if is_pair { self.0.encode_fast(("", ""), true) } else { self.0.encode_fast("", true) };
        Ok(encoding.map_err(|error| refused(&error))?.len())
    }
}

/// Windows of running text: rows of token numbers.
///
/// # Errors
/// When the column is missing, or holds anything else.
pub(crate) fn windows(table: &Table, name: &str, length: usize) -> Result<Vec<TokenRow>> {
    let missing = || ModelError::Input(format!("column `{name}` is missing from the rows"));
    let column = table.column(name).ok_or_else(missing)?;
    let wrong = || ModelError::Input(format!("column `{name}` holds no windows of {length} tokens"));
    let Values::Vector { width, data } = &column.values else { return Err(wrong()) };
    let is_token = |number: &f32| *number >= 0.0 && number.fract() == 0.0 && *number < MOST_TOKENS;
    if *width != length || length == 0 || !data.iter().all(is_token) {
        return Err(wrong());
    }
    let row = |window: &[f32]| {
        let ids = window.iter().map(|&number| number as u32).collect();
        TokenRow { ids, types: vec![0; length] }
    };
    Ok(data.chunks_exact(length).map(row).collect())
}

/// Token numbers below this are exact as 32-bit floats, in which columns keep vectors.
const MOST_TOKENS: f32 = 16_777_216.0;

fn refused(error: &tokenizers::Error) -> ModelError {
    ModelError::Input(format!("the tokenizer refuses: {error}"))
}

/// The texts of a column.
fn texts<'a>(table: &'a Table, name: &str) -> Result<Vec<&'a str>> {
    let missing = || ModelError::Input(format!("column `{name}` is missing from the rows"));
    let column = table.column(name).ok_or_else(missing)?;
    let Values::Text(cells) = &column.values else {
        return Err(ModelError::Input(format!("column `{name}` holds numbers, expected text")));
    };
    let text = |(row, cell): (usize, &'a Option<String>)| {
        let empty = || ModelError::Input(format!("column `{name}`, row {}: the cell is empty, expected text", row + 1));
        cell.as_deref().ok_or_else(empty)
    };
    cells.iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests;
