//! The matrix that reads removed units, fitted anew by least squares to the inputs that are left.
//!
//! For inputs x and a weight W, the columns S that stay become W H_S (H_SS)^-1, where H is the mean of x x^T: of all
//! weights on these columns, they leave the least squared error of the outputs.
//!
//! Source: He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1, step (ii).

use std::collections::BTreeMap;

use candle_core::Tensor;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use paring_model::{Checkpoint, Site, SiteKind, UnitGroup, Weight};

use crate::error::PassError;
use crate::hessian::{Hessian, OutputError};
use crate::walk::{Figures, Group, Visitor, columns};
use crate::weights::FloatWeight;

/// Added to the diagonal of H, as a share of its mean.
const DAMPING: f64 = 1e-4;

/// On the walk: the weights of readers, with zeros where a unit will go.
pub(crate) struct Reconstruction {
    /// By site, the inputs that stay.
    stay: BTreeMap<String, Vec<usize>>,
    hessian: Hessian,
}

impl Reconstruction {
    /// For groups of which some units stay.
    pub(crate) fn new(kept: &[(UnitGroup, Vec<usize>)], sites: &[Site]) -> Self {
        let stay = sites.iter().filter_map(|site| Some((site.name.clone(), staying(site, kept)?))).collect();
        Self { stay, hessian: Hessian::default() }
    }

    /// Whether the site loses inputs.
    pub(crate) fn reads(&self, site: &Site) -> bool {
        self.stay.contains_key(&site.name)
    }

    fn fit(&self, model: &Checkpoint, site: &Site, mean: &Mat<f64>) -> Result<(Weight, Figures), PassError> {
        let weight = FloatWeight::read(model, site)?;
        let stay = self.stay.get(&site.name).map(Vec::as_slice).unwrap_or_default();
        let mut numbers = fitted(&weight.numbers, mean, stay).ok_or_else(|| {
            PassError::Failed(format!("the inputs of `{}` that stay cannot be told apart", site.name))
        })?;
        if weight.masked {
            let zeros = numbers.iter_mut().zip(&weight.numbers).filter(|(_, before)| **before == 0.0);
            zeros.for_each(|(number, _)| *number = 0.0);
        }
        let inputs = weight.inputs().max(1);
        let cut = weight.numbers.iter().enumerate();
        let cut: Vec<f32> = cut
            .map(|(place, weight)| if stay.binary_search(&(place % inputs)).is_ok() { *weight } else { 0.0 })
            .collect();
        let errors = OutputError::new(mean)?;
        let figures = [
            ("output_error", errors.between(&weight.numbers, &numbers)?),
            ("cut_output_error", errors.between(&weight.numbers, &cut)?),
        ];
        let figures = figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
        Ok((Weight::Dense { tensor: weight.tensor_of(numbers)?, masked: weight.masked }, figures))
    }
}

impl Visitor for Reconstruction {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        self.hessian.add(&columns(group, input)?)
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        let mean = std::mem::take(&mut self.hessian).mean(name)?;
        group.sites.iter().map(|site| self.fit(model, site, &mean)).collect()
    }
}

/// The inputs of a site that stay, ascending; `None` where no unit of these groups is read.
fn staying(site: &Site, kept: &[(UnitGroup, Vec<usize>)]) -> Option<Vec<usize>> {
    let area = if let SiteKind::Conv { kernel, .. } = site.kind { kernel * kernel } else { 1 };
    let mut stays = vec![true; site.in_features * area];
    let weight = site.weight();
    for (group, kept) in kept {
        for slice in group.slices.iter().filter(|slice| slice.axis == 1 && slice.tensor == weight) {
            for unit in (0..group.count).filter(|unit| kept.binary_search(unit).is_err()) {
                let start = (slice.offset + unit * slice.width) * area;
                stays.get_mut(start..start + slice.width * area)?.fill(false);
            }
        }
    }
    let loses = stays.contains(&false);
    loses.then(|| (0..stays.len()).filter(|input| stays[*input]).collect())
}

/// The weight, row-major, fitted to some of its inputs; zero on the others. What goes is spread over what stays, so
/// that damping draws towards the weights as they were. `None` when the inputs that stay cannot be told apart.
fn fitted(weight: &[f32], mean: &Mat<f64>, stay: &[usize]) -> Option<Vec<f32>> {
    let inputs = mean.ncols().max(1);
    let rows = weight.len() / inputs;
    let go: Vec<usize> = (0..inputs).filter(|input| stay.binary_search(input).is_err()).collect();
    let damping = DAMPING * mean.diagonal().column_vector().iter().sum::<f64>() / inputs as f64;
    let own = Mat::from_fn(stay.len(), stay.len(), |row, column| {
        mean[(stay[row], stay[column])] + if row == column { damping } else { 0.0 }
    });
    let across = Mat::from_fn(stay.len(), go.len(), |row, column| mean[(stay[row], go[column])]);
    let gone = Mat::from_fn(go.len(), rows, |place, row| f64::from(weight[row * inputs + go[place]]));
    let spread = own.llt(Side::Lower).ok()?.solve(&across * &gone);
    let mut numbers = vec![0.0; weight.len()];
    for (row, (numbers, weight)) in numbers.chunks_mut(inputs).zip(weight.chunks(inputs)).enumerate() {
        for (place, &input) in stay.iter().enumerate() {
            numbers[input] = (f64::from(weight[input]) + spread[(place, row)]) as f32;
        }
    }
    numbers.iter().all(|number| number.is_finite()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::fitted;

    /// The third input is the sum of the first two, which are as long as each other and independent: without the third,
    /// its weight goes to both; without the first, the other two make up for it: x0 = x2 - x1.
    #[test]
    fn what_is_left_makes_up_for_what_goes() {
        let products = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0]];
        let mean = Mat::from_fn(3, 3, |row, column| products[row][column]);
        let close = |found: Vec<f32>, expected: [f32; 6]| {
            assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 2e-3), "{found:?}");
        };
        let weight = [1.0, 2.0, 3.0, 0.0, -1.0, 1.0];
        close(fitted(&weight, &mean, &[0, 1]).unwrap(), [4.0, 5.0, 0.0, 1.0, 0.0, 0.0]);
        close(fitted(&weight, &mean, &[1, 2]).unwrap(), [0.0, 1.0, 4.0, 0.0, -1.0, 1.0]);
    }
}
