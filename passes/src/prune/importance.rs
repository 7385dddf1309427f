//! How important units are: neurons, heads, channels.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use paring_model::{Checkpoint, Site, Slice, UnitGroup, Weight};

use super::gradients::{self, Answers};
use crate::calibration::{Calibration, not_finite};
use crate::context::Cx;
use crate::error::PassError;
use crate::walk::{Figures, Group, Visitor, look};

/// L1 norm of the weights that produce each unit, biases and norms aside (Li et al. 2017, section 3.1).
///
/// # Errors
/// When a producing weight cannot be read or holds a number that is not finite.
pub(crate) fn by_magnitude(model: &Checkpoint, group: &UnitGroup) -> Result<Vec<f64>, PassError> {
    let mut scores = vec![0.0; group.count];
    for Slice { tensor: name, width, offset, .. } in group.slices.iter().filter(|slice| slice.axis == 0) {
        let weight = model.tensor(name)?;
        if weight.rank() < 2 {
            continue;
        }
        let rows = weight.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
        for (score, rows) in scores.iter_mut().zip(rows.get(*offset..).unwrap_or_default().chunks(*width)) {
            *score += rows.iter().flatten().map(|weight| f64::from(weight.abs())).sum::<f64>();
        }
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(PassError::Failed(format!("tensor `{name}` holds a number that is not finite")));
        }
    }
    Ok(scores)
}

/// Mean absolute activation of each unit, as the layer after it sees it, over the calibration rows; a list for each
/// group.
///
/// # Errors
/// When the model does not run, or gives an activation that is not finite.
pub(crate) fn by_activation(
    cx: &Cx<'_>,
    model: &Checkpoint,
    calibration: &Calibration,
    groups: &[UnitGroup],
) -> Result<Vec<Vec<f64>>, PassError> {
    let readers = groups.iter().map(reader).collect::<Result<Vec<_>, _>>()?;
    let mut sites = model.outline().sites()?;
    sites.retain(|site| readers.iter().any(|(reader, _)| *reader == site.name));
    let columns = means_of(cx, &sites, model, calibration)?;
    let scores = groups.iter().zip(&readers).map(|(group, (reader, slice))| {
        let means = columns.get(reader).map(Vec::as_slice).unwrap_or_default();
        // An image that is read channel by channel has one column a channel, whatever the slice says.
        let (width, offset) = if means.len() == group.count { (1, 0) } else { (slice.width, slice.offset) };
        let of = |columns: &[f64]| columns.iter().sum::<f64>() / width as f64;
        means.get(offset..).unwrap_or_default().chunks(width).map(of).collect()
    });
    Ok(scores.collect())
}

/// Mean absolute inputs of sites over the calibration rows, column by column; of an image, channel by channel.
///
/// # Errors
/// When the model does not run, or gives an activation that is not finite.
pub(crate) fn means_of(
    cx: &Cx<'_>,
    sites: &[Site],
    model: &Checkpoint,
    calibration: &Calibration,
) -> Result<BTreeMap<String, Vec<f64>>, PassError> {
    let mut means = Means::default();
    look(cx, sites, model, calibration, &mut means)?;
    Ok(means.columns)
}

/// How much the loss of the calibration rows would change without each unit, to the first order: the mean over rows of
/// (dL/dg)^2, where g multiplies the unit. That is the squared sum of weight times gradient over the weights that read
/// the unit (Molchanov et al. 2019, equation 8, with the gates of section 3.2). A list for each group.
///
/// # Errors
/// When rows have no labels and these are wanted, or a gradient is not finite.
pub(crate) fn by_taylor(
    cx: &Cx<'_>,
    model: &Checkpoint,
    (limit, answers): (usize, Answers),
    groups: &[UnitGroup],
) -> Result<Vec<Vec<f64>>, PassError> {
    let mut slopes: Vec<Slopes> = groups.iter().map(Slopes::new).collect();
    let rows = gradients::each_row(cx, model, (limit, answers), &mut |row, name, products| {
        for (slopes, group) in slopes.iter_mut().zip(groups) {
            for slice in group.slices.iter().filter(|slice| slice.axis == 1 && slice.tensor == name) {
                slopes.begin(row);
                add_columns(&mut slopes.present, slice, products)?;
            }
        }
        Ok(())
    })?;
    let readers = |group: &UnitGroup| group.slices.iter().filter(|slice| slice.axis == 1).count();
    let mut scores: Vec<Vec<f64>> = slopes.into_iter().map(Slopes::squares).collect();
    for (group, scores) in groups.iter().zip(&mut scores) {
        if readers(group) == 0 {
            let message = format!("no layer reads the {} of `{}`", group.kind, group.site);
            return Err(PassError::Failed(message));
        }
        scores.iter_mut().for_each(|score| *score /= rows as f64);
        if scores.iter().any(|score| !score.is_finite()) {
            let message = format!("the gradients of what reads `{}` are not finite", group.site);
            return Err(PassError::Failed(message));
        }
    }
    Ok(scores)
}

/// Slopes of the gates of a group's units, row after row.
struct Slopes {
    row: usize,
    present: Vec<f64>,
    squares: Vec<f64>,
}

impl Slopes {
    fn new(group: &UnitGroup) -> Self {
        Self { row: 0, present: vec![0.0; group.count], squares: vec![0.0; group.count] }
    }

    /// What comes now is of this row.
    fn begin(&mut self, row: usize) {
        if row != self.row {
            self.row = row;
            self.end();
        }
    }

    fn end(&mut self) {
        for (square, slope) in self.squares.iter_mut().zip(&mut self.present) {
            *square += std::mem::take(slope).powi(2);
        }
    }

    /// The sum of squares over all rows.
    fn squares(mut self) -> Vec<f64> {
        self.end();
        self.squares
    }
}

/// Adds the products [out, in, ...] of the columns of each unit.
fn add_columns(sums: &mut [f64], slice: &Slice, products: &Tensor) -> candle_core::Result<()> {
    let columns = if products.rank() > 2 { products.flatten_from(2)?.sum(2)? } else { products.clone() };
    let columns = columns.sum(0)?.to_vec1::<f32>()?;
    let of_units = columns.get(slice.offset..).unwrap_or_default().chunks(slice.width);
    for (sum, columns) in sums.iter_mut().zip(of_units) {
        *sum += columns.iter().map(|column| f64::from(*column)).sum::<f64>();
    }
    Ok(())
}

/// The site that reads the units, the one whose weight they are columns of, and which columns.
fn reader(group: &UnitGroup) -> Result<(String, &Slice), PassError> {
    let columns = group.slices.iter().filter(|slice| slice.axis == 1);
    let mut sites = columns.filter_map(|slice| Some((slice.tensor.strip_suffix(".weight")?.to_owned(), slice)));
    let message = || format!("no layer reads the {} of `{}`", group.kind, group.site);
    sites.next().ok_or_else(|| PassError::Failed(message()))
}

/// Means of absolute inputs over the calibration rows, column by column; of an image, channel by channel.
#[derive(Default)]
struct Means {
    columns: BTreeMap<String, Vec<f64>>,
    sums: Vec<f64>,
    rows: usize,
}

impl Visitor for Means {
    fn see(&mut self, _: &Group, input: &Tensor) -> Result<(), PassError> {
        let input = input.to_dtype(DType::F32)?.abs()?;
        self.rows += input.dim(0)?;
        let columns = if input.rank() == 4 { input.mean((2, 3))? } else { input };
        let columns = columns.sum(0)?.to_vec1::<f32>()?;
        self.sums.resize(columns.len(), 0.0);
        self.sums.iter_mut().zip(&columns).for_each(|(sum, column)| *sum += f64::from(*column));
        Ok(())
    }

    fn settle(&mut self, group: &Group, _: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let (sums, rows) = (std::mem::take(&mut self.sums), std::mem::take(&mut self.rows) as f64);
        let means: Vec<f64> = sums.into_iter().map(|sum| sum / rows).collect();
        for site in &group.sites {
            if means.iter().any(|mean| !mean.is_finite()) {
                return Err(not_finite(&site.name));
            }
            self.columns.insert(site.name.clone(), means.clone());
        }
        Ok(Vec::new())
    }
}

/// The `keep` most important units, in ascending order; of equals the earlier stays.
pub(crate) fn keep_best(scores: &[f64], keep: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = scores.iter().copied().enumerate().collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut kept: Vec<usize> = order.into_iter().take(keep).map(|(unit, _)| unit).collect();
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::keep_best;

    #[test]
    fn the_best_stay_and_of_equals_the_earlier() {
        assert_eq!(keep_best(&[0.5, 3.0, 1.0, 2.0], 2), [1, 3]);
        assert_eq!(keep_best(&[1.0, 1.0, 1.0, 2.0], 3), [0, 1, 3]);
    }
}
