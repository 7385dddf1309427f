//! Matrices without their zeros, in the layouts of compressed-tensors.
//!
//! Of a matrix `NAME.weight`, `NAME.compressed` holds the numbers that are kept, row by row; `NAME.bitmask` a bit for
//! each number, rows of whole bytes from the lowest bit of the first byte on; `NAME.shape` rows and columns; and, where
//! rows may keep different counts, `NAME.row_offsets` the place at which each row begins in `NAME.compressed`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gguf::Refusal;
use crate::outline::{Outline, WeightOutline};
use crate::sites::SiteKind;

/// How a file holds masked matrices without their zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SparseLayout {
    /// Any zeros: numbers, a bit for each place, and where each row begins.
    #[serde(rename = "sparse-bitmask")]
    Bitmask,
    /// Two numbers of each four of a row, and a bit for each place. Takes masks of `pattern: "2:4"`.
    #[serde(rename = "sparse-24-bitmask")]
    Bitmask24,
}

impl SparseLayout {
    /// Its name in recipes and in config.json.
    pub fn name(self) -> &'static str {
        match self {
            SparseLayout::Bitmask => "sparse-bitmask",
            SparseLayout::Bitmask24 => "sparse-24-bitmask",
        }
    }

    /// The layout of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [SparseLayout::Bitmask, SparseLayout::Bitmask24].into_iter().find(|layout| layout.name() == name)
    }

    /// Why it cannot hold a model with this outline; nothing where it can. Whether two of each four numbers are zeros
    /// is known when the numbers are.
    pub fn refusals(self, outline: &Outline) -> Vec<Refusal> {
        let help = format!("export without `layout: {}`", self.name());
        let mut found: Vec<Refusal> = self.of_model(outline).into_iter().collect();
        let tables = outline.sites().unwrap_or_default();
        let is_table = |name: &str| {
            tables.iter().any(|site| matches!(site.kind, SiteKind::Embedding { .. }) && site.weight() == name)
        };
        for (name, weight) in masked(outline) {
            let columns = weight.shape().get(1).copied().unwrap_or(0);
            let reason = match weight {
                WeightOutline::Dense { shape, .. } if shape.len() != 2 => "is no matrix".to_owned(),
                WeightOutline::Dense { dtype, .. } if !["F32", "F16", "BF16"].contains(&dtype.as_str()) => {
                    format!("has type `{dtype}`")
                }
                _ if !name.ends_with(".weight") || is_table(name) => "is a table, which loaders read dense".to_owned(),
                _ if self == SparseLayout::Bitmask24 && !columns.is_multiple_of(4) => {
                    format!("has {columns} columns, which 4 does not divide")
                }
                _ => continue,
            };
            found.push(Refusal { reason: format!("masked tensor `{name}` {reason}"), help: help.clone() });
        }
        found
    }

    fn of_model(self, outline: &Outline) -> Option<Refusal> {
        let loads = outline.config.as_ref().is_some_and(|config| config.spec.reads_tokens());
        let quantized = outline.weights.iter().find(|(_, weight)| weight.is_quantized());
        let help = format!("export without `layout: {}`", self.name());
        if !loads {
            let family = outline.config.as_ref().map_or("unknown", |config| config.spec.family());
            let reason = format!("no loader of `{}` knows models of the family `{family}`", self.name());
            return Some(Refusal { reason, help });
        }
        if let Some((name, _)) = quantized {
            return Some(Refusal { reason: format!("tensor `{name}` is quantized, and is stored as such"), help });
        }
        let prune = match self {
            SparseLayout::Bitmask => "prune single weights first, such as with `prune/wanda: { sparsity: 0.5 }`",
            SparseLayout::Bitmask24 => "prune single weights first, such as with `prune/wanda: { pattern: \"2:4\" }`",
        };
        let reason = || "no weight of the model has a mask, whose zeros could be left out".to_owned();
        masked(outline).next().is_none().then(|| Refusal { reason: reason(), help: format!("{prune}, or {help}") })
    }

    /// Which numbers of a matrix are kept: those whose bytes are not all zero, so that nothing is lost, and zeros that
    /// make them two of each four.
    ///
    /// # Errors
    /// Where there are more than two of four.
    pub(crate) fn kept(self, bytes: &[u8], width: usize, columns: usize) -> Result<Vec<bool>, String> {
        let mut kept: Vec<bool> =
            bytes.chunks(width.max(1)).map(|number| number.iter().any(|&byte| byte != 0)).collect();
        if self == SparseLayout::Bitmask {
            return Ok(kept);
        }
        for (group, places) in kept.chunks_mut(4).enumerate() {
            let numbers = places.iter().filter(|kept| **kept).count();
            if numbers > 2 {
                let (row, column) = (4 * group / columns.max(1), 4 * group % columns.max(1));
                return Err(format!("{numbers} of the 4 numbers from row {row}, column {column} on are not zero"));
            }
            places.iter_mut().filter(|kept| !**kept).take(2 - numbers).for_each(|kept| *kept = true);
        }
        Ok(kept)
    }
}

/// Weights whose zeros are a mask.
pub(crate) fn masked(outline: &Outline) -> impl Iterator<Item = (&String, &WeightOutline)> {
    let is_masked = |weight: &WeightOutline| matches!(weight, WeightOutline::Dense { masked: true, .. });
    outline.weights.iter().filter(move |(_, weight)| is_masked(weight))
}

/// The bytes of the numbers that are kept.
pub(crate) fn compressed(bytes: &[u8], width: usize, kept: &[bool]) -> Vec<u8> {
    let numbers = bytes.chunks(width.max(1)).zip(kept);
    numbers.filter(|(_, kept)| **kept).flat_map(|(number, _)| number.iter().copied()).collect()
}

/// A bit for each number, rows of whole bytes.
pub(crate) fn bitmask(kept: &[bool], columns: usize) -> Vec<u8> {
    let byte = |places: &[bool]| places.iter().rev().fold(0, |byte, &kept| byte << 1 | u8::from(kept));
    kept.chunks(columns.max(1)).flat_map(|row| row.chunks(8).map(byte)).collect()
}

/// Where each row begins among the numbers that are kept.
pub(crate) fn row_offsets(kept: &[bool], columns: usize) -> Vec<i64> {
    let counts = kept.chunks(columns.max(1)).map(|row| row.iter().filter(|kept| **kept).count() as i64);
    let begin = |next: &mut i64, count: i64| {
        let begin = *next;
        *next += count;
        Some(begin)
    };
    counts.scan(0, begin).collect()
}

/// The numbers of a matrix with its zeros: the other half of [`compressed`] and [`bitmask`]. Without offsets of rows,
/// two of each four numbers are kept.
///
/// # Errors
/// Where the bits, the offsets of rows and the numbers do not belong together.
pub(crate) fn dense(
    (values, width): (&[u8], usize),
    (bitmask, columns): (&[u8], usize),
    row_offsets: Option<&[i64]>,
) -> Result<Vec<u8>, String> {
    let (row_bytes, width) = (columns.div_ceil(8).max(1), width.max(1));
    let mut numbers = values.chunks(width);
    let held = numbers.len();
    let mut dense = vec![0; bitmask.len() / row_bytes * columns * width];
    let rows = bitmask.chunks(row_bytes).zip(dense.chunks_mut((columns * width).max(1)));
    for (row, (bits, places)) in rows.enumerate() {
        let before = held - numbers.len();
        check_row(bits, columns, before, row_offsets.map(|offsets| offsets.get(row).copied()))
            .map_err(|reason| format!("row {row} {reason}"))?;
        for (column, place) in places.chunks_mut(width).enumerate() {
            if bit(bits, column) {
                let number =
                    numbers.next().ok_or_else(|| format!("it keeps more than the {held} numbers there are"))?;
                place.copy_from_slice(number);
            }
        }
    }
    match numbers.len() {
        0 => Ok(dense),
        left => Err(format!("it keeps {} of the {held} numbers there are", held - left)),
    }
}

/// What is wrong with the bits of a row that begins after `before` numbers.
fn check_row(bits: &[u8], columns: usize, before: usize, offset: Option<Option<i64>>) -> Result<(), String> {
    if (columns..8 * bits.len()).any(|column| bit(bits, column)) {
        return Err(format!("keeps numbers beyond its {columns} columns"));
    }
    let kept = |group: usize| (4 * group..4 * group + 4).filter(|&column| bit(bits, column)).count();
    match offset {
        None if (0..columns / 4).any(|group| kept(group) != 2) => {
            Err("keeps other than 2 of each 4 numbers".to_owned())
        }
        Some(found) if found != Some(before as i64) => {
            let found = found.map_or_else(|| "nothing".to_owned(), |offset| offset.to_string());
            Err(format!("begins after {before} numbers, but its offset is {found}"))
        }
        _ => Ok(()),
    }
}

fn bit(bits: &[u8], column: usize) -> bool {
    bits.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::{SparseLayout, bitmask, compressed, dense, row_offsets};

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// 3 rows of 10, as `bitmask_compress` of compressed-tensors 0.14.0.1 stores them.
    #[test]
    fn any_zeros_are_left_out_as_compressed_tensors_does() {
        let mut matrix = [0.0_f32; 30];
        let places = [0, 3, 5, 10, 12, 15, 17, 22, 24, 27, 29];
        for place in places {
            matrix[place] = place as f32 + 1.0;
        }
        let (matrix, values) = (bytes(&matrix), bytes(&places.map(|place| place as f32 + 1.0)));
        let kept = SparseLayout::Bitmask.kept(&matrix, 4, 10).unwrap();
        assert_eq!(compressed(&matrix, 4, &kept), values);
        assert_eq!(bitmask(&kept, 10), [41, 0, 165, 0, 148, 2]);
        assert_eq!(row_offsets(&kept, 10), [0, 3, 7]);
        let back = |bits: &[u8], offsets: &[i64]| dense((&values, 4), (bits, 10), Some(offsets));
        assert_eq!(back(&[41, 0, 165, 0, 148, 2], &[0, 3, 7]), Ok(matrix));
        let refused = |bits: [u8; 6], offsets: [i64; 3]| back(&bits, &offsets).unwrap_err();
        assert_eq!(refused([41, 0, 165, 0, 148, 0], [0, 3, 7]), "it keeps 10 of the 11 numbers there are");
        assert_eq!(refused([41, 0, 165, 0, 148, 3], [0, 3, 7]), "it keeps more than the 11 numbers there are");
        assert_eq!(refused([41, 0, 164, 0, 149, 2], [0, 3, 7]), "row 2 begins after 6 numbers, but its offset is 7");
        assert_eq!(refused([41, 4, 165, 0, 148, 2], [0, 3, 7]), "row 0 keeps numbers beyond its 10 columns");
    }

    /// 2 rows of 12, as `sparse24_bitmask_compress` stores them; where zeros are kept, it takes others.
    #[test]
    fn two_of_four_are_kept_as_compressed_tensors_does() {
        let matrix = [
            0.0, 5.0, 6.0, 0.0, 7.0, 0.0, 0.0, 8.0, 0.0, 1.0, 0.0, 2.0, //
            3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 9.0, 9.0, 1.0, 0.0, 1.0, 0.0_f32,
        ];
        let (matrix, values) = (bytes(&matrix), bytes(&[5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0, 9.0, 9.0, 1.0, 1.0]));
        let kept = SparseLayout::Bitmask24.kept(&matrix, 4, 12).unwrap();
        assert_eq!(compressed(&matrix, 4, &kept), values);
        assert_eq!(bitmask(&kept, 12), [150, 10, 195, 5]);
        let back = |bits: &[u8]| dense((&values, 4), (bits, 12), None);
        assert_eq!(back(&[150, 10, 195, 5]), Ok(matrix));
        assert_eq!(back(&[150, 10, 211, 4]).unwrap_err(), "row 1 keeps other than 2 of each 4 numbers");
    }

    /// A zero that is kept, and the sign of another, are not lost.
    #[test]
    fn fewer_than_two_of_four_take_zeros_along() {
        let matrix = bytes(&[0.0, 0.0, 1.0, 0.0, -0.0, 0.0, 0.0, 0.0]);
        let kept = SparseLayout::Bitmask24.kept(&matrix, 4, 8).unwrap();
        assert_eq!(kept, [true, false, true, false, true, true, false, false]);
        let back = dense((&compressed(&matrix, 4, &kept), 4), (&bitmask(&kept, 8), 8), None);
        assert_eq!(back, Ok(matrix));
        let three = bytes(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0]);
        let refused = SparseLayout::Bitmask24.kept(&three, 4, 8).unwrap_err();
        assert_eq!(refused, "3 of the 4 numbers from row 0, column 4 on are not zero");
    }
}
