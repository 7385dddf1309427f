//! A running text for a model that continues text: parts that follow each other, each cut into windows of tokens.

use std::ops::Range;

use crate::cells::{Cells, NamedColumn, batch};
use crate::dataset::{Dataset, digest_of};
use crate::error::{DataError, Result};
use crate::split::Parts;

/// The column of a dataset of windows.
pub const TOKENS: &str = "tokens";

/// The shares of a running text: training, validation, calibration and test.
pub type Shares = [f64; 4];

/// A dataset of windows of `size` tokens, in the column [`TOKENS`], made of a column of texts: the rows of `main` joined
/// by line feeds are one text, divided by `shares`; those of `test`, where there is such a file, are test rows too.
///
/// # Errors
/// When the column is missing or no text, `encode` fails, or no part fills a window.
pub fn window_rows(
    main: &Dataset,
    test: Option<&Dataset>,
    column: &str,
    shares: Shares,
    size: usize,
    encode: &dyn Fn(&str) -> Result<Vec<u32>>,
) -> Result<(Dataset, Parts)> {
    let text = main.running_text(column)?;
    let mut rows = Vec::new();
    let mut parts = Parts::default();
    let places = [&mut parts.train, &mut parts.validate, &mut parts.calibrate, &mut parts.test];
    for (range, place) in parts_of_text(&text, shares).into_iter().zip(places) {
        take(&mut rows, place, windows(&encode(text.get(range).unwrap_or_default())?, size));
    }
    if let Some(test) = test {
        take(&mut rows, &mut parts.test, windows(&encode(&test.running_text(column)?)?, size));
    }
    if rows.is_empty() {
        return Err(DataError::Split(format!("the text fills no window of {size} tokens")));
    }
    Ok((dataset(main, test, rows, size)?, parts))
}

fn take(rows: &mut Vec<Vec<u32>>, place: &mut Vec<usize>, windows: Vec<Vec<u32>>) {
    place.extend(rows.len()..rows.len() + windows.len());
    rows.extend(windows);
}

fn dataset(main: &Dataset, test: Option<&Dataset>, rows: Vec<Vec<u32>>, size: usize) -> Result<Dataset> {
    let present = vec![true; rows.len()];
    let data = rows.into_iter().flatten().map(|token| token as f32).collect();
    let cells = Cells::Vectors { width: size, data, present };
    let path = main.paths.first().cloned().unwrap_or_default();
    let batch = batch(&path, "text", vec![NamedColumn { name: TOKENS.to_owned(), cells }])?;
    let digests: Vec<&str> = [Some(main), test].into_iter().flatten().map(|data| data.digest.as_str()).collect();
    let paths = [Some(main), test].into_iter().flatten().flat_map(|data| data.paths.clone()).collect();
    Ok(Dataset { batch, image: None, paths, digest: digest_of(&digests) })
}

/// The bytes of the text that each part gets: the parts follow each other, each from where the one before ends, and
/// `shares` count characters (Unicode code points), rounded down. What the shares leave over belongs to no part.
pub fn parts_of_text<const PARTS: usize>(text: &str, shares: [f64; PARTS]) -> [Range<usize>; PARTS] {
    let characters = text.chars().count();
    let byte = |character: usize| text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte);
    let (mut sum, mut start) = (0.0, 0);
    shares.map(|share| {
        sum += share;
        // A hair more, so that shares such as 0.7 + 0.1 + 0.2 come to all characters.
        let end = byte((sum * characters as f64 + 1e-6).floor() as usize).max(start);
        std::mem::replace(&mut start, end)..end
    })
}

/// Windows of `size` tokens that follow each other without overlap. A last window that is not full is left out.
pub fn windows(tokens: &[u32], size: usize) -> Vec<Vec<u32>> {
    tokens.chunks_exact(size.max(1)).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{parts_of_text, windows};

    #[test]
    fn parts_follow_each_other_and_count_characters() {
        let text = "añçdefghij";
        let parts = parts_of_text(text, [0.5, 0.0, 0.25, 0.25]);
        assert_eq!(parts.map(|part| &text[part]), ["añçde", "", "fg", "hij"]);
        assert_eq!(parts_of_text(text, [0.5, 0.2]).map(|part| &text[part]), ["añçde", "fg"]);
        assert_eq!(parts_of_text("", [0.5, 0.5]), [0..0, 0..0]);
    }

    #[test]
    fn windows_do_not_overlap_and_the_rest_is_left_out() {
        assert_eq!(windows(&[1, 2, 3, 4, 5], 2), [[1, 2], [3, 4]]);
        assert!(windows(&[1], 2).is_empty());
    }

    proptest! {
        #[test]
        fn shares_that_sum_to_one_lose_nothing(text in any::<String>(), cut in 0..=10_u8, second in 0..=10_u8) {
            let first = f64::from(cut) / 10.0;
            let second = (1.0 - first) * f64::from(second) / 10.0;
            let parts = parts_of_text(&text, [first, second, 1.0 - first - second]);
            prop_assert_eq!(parts.map(|part| &text[part]).concat(), text);
        }
    }
}
