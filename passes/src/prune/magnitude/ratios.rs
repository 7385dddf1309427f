//! How much each layer loses: by its shape (ERK), or by scores that are comparable from layer to layer (LAMP).

use crate::prune::mask::least;

/// The sparsity of each layer of shape [out, in] or [out, in, height, width], so that together they have `sparsity`:
/// densities are proportional to the sum of the dimensions over their product, and at most 1.
///
/// Source: Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", section 3, "Sparsity Distribution".
pub(crate) fn erk(shapes: &[&[usize]], sparsity: f64) -> Vec<f64> {
    let count = |shape: &[usize]| shape.iter().product::<usize>() as f64;
    let raw = |shape: &[usize]| shape.iter().sum::<usize>() as f64 / count(shape).max(1.0);
    let kept: f64 = (1.0 - sparsity) * shapes.iter().map(|shape| count(shape)).sum::<f64>();
    let mut is_dense = vec![false; shapes.len()];
    loop {
        let of =
            |dense: bool| shapes.iter().zip(&is_dense).filter(move |(_, is)| **is == dense).map(|(shape, _)| *shape);
        let whole: f64 = of(true).map(count).sum();
        let share: f64 = of(false).map(|shape| raw(shape) * count(shape)).sum();
        let scale = (kept - whole) / share;
        let density = |shape: &[usize], dense: bool| if dense { 1.0 } else { scale * raw(shape) };
        let densities: Vec<f64> = shapes.iter().zip(&is_dense).map(|(shape, dense)| density(shape, *dense)).collect();
        let before = is_dense.clone();
        is_dense.iter_mut().zip(&densities).for_each(|(dense, density)| *dense |= *density > 1.0);
        if is_dense == before {
            return densities.iter().map(|density| (1.0 - density).max(0.0)).collect();
        }
    }
}

/// Sets the `zeros` weights of least layer-adaptive score to zero, over all layers together: a weight's square over the
/// sum of the squares of the weights of its layer that are no smaller (ties: the earlier weight goes first).
///
/// Source: Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", section 3.1.
pub(crate) fn zero_by_lamp(layers: &mut [Vec<f32>], zeros: usize) {
    let scores: Vec<f32> = layers.iter().flat_map(|layer| lamp(layer)).collect();
    let mut going = vec![false; scores.len()];
    least(&scores, zeros).into_iter().for_each(|place| going[place] = true);
    for (weight, goes) in layers.iter_mut().flatten().zip(going) {
        if goes {
            *weight = 0.0;
        }
    }
}

fn lamp(layer: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..layer.len()).collect();
    order.sort_by(|&one, &other| layer[other].abs().total_cmp(&layer[one].abs()).then(other.cmp(&one)));
    let mut scores = vec![0.0; layer.len()];
    let mut sum = 0.0_f64;
    for place in order {
        let square = f64::from(layer[place]).powi(2);
        sum += square;
        scores[place] = if square > 0.0 { (square / sum) as f32 } else { 0.0 };
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::{erk, lamp, zero_by_lamp};

    /// Layers of 10 x 10 and 10 x 40 weights have (10 + 10) / 100 and (10 + 40) / 400: 0.2 and 0.125. To keep a quarter
    /// of the 500 weights, 125 = scale * (0.2 * 100 + 0.125 * 400): a scale of 25/14, densities of 5/14 and 25/112.
    #[test]
    fn small_layers_stay_denser() {
        let found = erk(&[&[10, 10], &[10, 40]], 0.75);
        assert!((found[0] - 9.0 / 14.0).abs() < 1e-12 && (found[1] - 87.0 / 112.0).abs() < 1e-12, "{found:?}");
    }

    /// At half, a layer of 2 x 2 weights would get a density above 1: it stays whole, and 196 of the other's 400 stay.
    #[test]
    fn no_layer_is_denser_than_whole() {
        let found = erk(&[&[2, 2], &[20, 20]], 1.0 - 200.0 / 404.0);
        assert!(found[0] == 0.0 && (found[1] - (1.0 - 196.0 / 400.0)).abs() < 1e-12, "{found:?}");
    }

    /// Squares 1, 4 and 16: 1/21, 4/20, 16/16. The same layer times ten has the same scores.
    #[test]
    fn scores_do_not_depend_on_the_scale_of_a_layer() {
        let expected = [4.0 / 20.0, 1.0 / 21.0, 1.0];
        for scale in [1.0, 10.0] {
            let found = lamp(&[-2.0 * scale, scale, 4.0 * scale]);
            assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6), "{found:?}");
        }
        let mut layers = [vec![-2.0, 1.0, 4.0], vec![10.0, 0.0, 30.0]];
        zero_by_lamp(&mut layers, 3);
        assert_eq!(layers, [vec![-2.0, 0.0, 4.0], vec![0.0, 0.0, 30.0]]);
    }
}
