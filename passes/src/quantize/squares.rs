//! How much errors at each input of a layer matter: the mean of its square over calibration rows.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use paring_model::tap::Observer;
use paring_model::{ImportanceMatrix, ModelError, Site};

/// Sums of squares of the inputs of sites. Sites that share an input are watched once.
pub(crate) struct Squares {
    /// The site that is watched for each.
    watched: BTreeMap<String, String>,
    sums: BTreeMap<String, Sum>,
}

#[derive(Default)]
struct Sum {
    squares: Vec<f64>,
    rows: f64,
}

impl Squares {
    /// Nothing seen yet.
    pub(crate) fn new(sites: &[Site]) -> Self {
        let first = |site: &Site| site.shares_input_with.iter().chain([&site.name]).min().cloned();
        let watched: BTreeMap<String, String> =
            sites.iter().filter_map(|site| Some((site.name.clone(), first(site)?))).collect();
        let sums = watched.values().map(|name| (name.clone(), Sum::default())).collect();
        Self { watched, sums }
    }

    /// Bytes that watching takes.
    pub(crate) fn memory(sites: &[Site]) -> u64 {
        sites.iter().map(|site| site.in_features as u64 * 8).sum()
    }

    /// Whether rows of a site's input were seen, and all were zero.
    pub(crate) fn is_zero(&self, site: &str) -> bool {
        let sum = self.watched.get(site).and_then(|watched| self.sums.get(watched));
        sum.is_some_and(|sum| sum.rows > 0.0 && sum.squares.iter().all(|square| *square == 0.0))
    }

    /// What was seen, for tools that read such files.
    pub(crate) fn matrix(&self, sites: &[Site]) -> ImportanceMatrix {
        let mut matrix = ImportanceMatrix::default();
        for site in sites {
            let sum = self.watched.get(&site.name).and_then(|watched| self.sums.get(watched));
            if let Some(Sum { squares, rows }) = sum.filter(|sum| !sum.squares.is_empty()) {
                matrix.add(&site.weight(), squares.iter().map(|square| *square as f32).collect(), *rows as f32);
            }
        }
        matrix
    }

    /// The mean square of each of `inputs` numbers that a site multiplies; none where it multiplied nothing (a lookup
    /// table). The channels of an image count for each place of a kernel.
    pub(crate) fn importance(&self, site: &str, inputs: usize) -> Option<Vec<f32>> {
        let sum = self.watched.get(site).and_then(|watched| self.sums.get(watched))?;
        let means: Vec<f32> = sum.squares.iter().map(|square| (square / sum.rows) as f32).collect();
        spread(&means, inputs)
    }
}

/// The mean squares of `inputs` numbers: those of an image's channels count for each place of a kernel. None where the
/// numbers do not go together.
pub(crate) fn spread(means: &[f32], inputs: usize) -> Option<Vec<f32>> {
    let fits = !means.is_empty() && inputs.is_multiple_of(means.len());
    fits.then(|| means.iter().flat_map(|mean| std::iter::repeat_n(*mean, inputs / means.len())).collect())
}

impl Observer for Squares {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let Some(sum) = self.sums.get_mut(name) else { return Ok(()) };
        let rows = match input.rank() {
            4 => input.permute((0, 2, 3, 1))?.contiguous()?.flatten_to(2)?,
            _ => input.clone(),
        };
        let squares = rows.to_dtype(DType::F32)?.sqr()?.sum(0)?.to_vec1::<f32>()?;
        if squares.iter().any(|square| !square.is_finite()) {
            let message = format!("the input of `{name}` is not finite in the calibration rows");
            return Err(ModelError::Unsupported(message));
        }
        sum.squares.resize(squares.len(), 0.0);
        sum.squares.iter_mut().zip(squares).for_each(|(sum, square)| *sum += f64::from(square));
        sum.rows += rows.dim(0)? as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use paring_model::tap::Observer;

    use super::{Squares, Sum};

    fn squares() -> Squares {
        let watched = ["a", "b"].map(|name| (name.to_owned(), "a".to_owned())).into();
        Squares { watched, sums: [("a".to_owned(), Sum::default())].into() }
    }

    /// Rows (1, 2), (3, 4) and (0, 2): squares 10 and 24 over three rows.
    #[test]
    fn means_are_of_all_rows_that_were_seen() {
        let mut squares = squares();
        let see = |squares: &mut Squares, rows: &[[f32; 2]]| {
            squares.see("a", &Tensor::from_slice(rows.as_flattened(), (rows.len(), 2), &Device::Cpu).unwrap()).unwrap();
        };
        see(&mut squares, &[[1.0, 2.0], [3.0, 4.0]]);
        see(&mut squares, &[[0.0, 2.0]]);
        let expected = [10.0 / 3.0, 8.0].map(|mean: f64| mean as f32);
        assert_eq!(squares.importance("b", 2).unwrap(), expected);
        assert_eq!(squares.importance("b", 4).unwrap(), [expected[0], expected[0], expected[1], expected[1]]);
        assert_eq!(squares.importance("c", 2), None);
    }

    /// Two images of one row of two pixels and two channels.
    #[test]
    fn places_of_an_image_are_rows() {
        let mut squares = squares();
        let images = Tensor::new(&[[[[1.0_f32, 2.0]], [[3.0, 0.0]]], [[[0.0, 1.0]], [[1.0, 0.0]]]], &Device::Cpu);
        squares.see("a", &images.unwrap()).unwrap();
        assert_eq!(squares.importance("a", 2).unwrap(), [1.5, 2.5]);
        let error = squares.see("a", &Tensor::new(&[[f32::NAN, 0.0]], &Device::Cpu).unwrap()).unwrap_err().to_string();
        assert_eq!(error, "the input of `a` is not finite in the calibration rows");
    }
}
