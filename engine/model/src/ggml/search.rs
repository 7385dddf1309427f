//! Blocks of 32 numbers where some inputs matter more: the step of least weighted squared error among some near that of
//! the reference, each fitted to the integers that it gives by weighted least squares.

use super::grid::{Form, Grid, WIDTH, extent};

/// Steps that are tried on each side of the reference's, and how far apart, in integers of the outermost number.
const TRIES: i32 = 9;
const APART: f32 = 0.1;

/// Numbers that are added up at once.
const LANES: usize = 8;

type Block = [f32; WIDTH];

/// The best grid that is found, and the integers. `importance`: how much each input matters, none negative.
#[inline(always)]
pub(super) fn search(form: Form, block: &Block, importance: &Block) -> (Grid, [u8; WIDTH]) {
    let weights = weights(block, importance);
    let reference = Grid::reference(form, block);
    let mut best = (reference, reference.steps(form, block));
    let mut least = error(&best, block, &weights);
    let (low, high) = extent(block);
    let farthest = if -low > high { low } else { high };
    for attempt in -TRIES..=TRIES {
        let shift = attempt as f32 * APART;
        let tried = if form.from_minimum {
            Grid::given((high - low) / (f32::from(form.highest) + shift), low)
        } else {
            Grid::given(farthest / -(f32::from(form.zero) + shift), 0.0)
        };
        let fitted = fit(form, &tried.steps(form, block), block, &weights);
        let found = (fitted, fitted.steps(form, block));
        let error = error(&found, block, &weights);
        if error < least {
            (best, least) = (found, error);
        }
    }
    let mut codes = [0; WIDTH];
    for (code, step) in codes.iter_mut().zip(best.1) {
        *code = (step + f32::from(form.zero)) as u8;
    }
    (best.0, codes)
}

/// An input's importance grows with its own weight: rounding errors of the large ones show most.
#[inline(always)]
fn weights(block: &Block, importance: &Block) -> Block {
    let mean = sum(block, block) / WIDTH as f32;
    let mut weights = [0.0; WIDTH];
    for ((weight, &number), &importance) in weights.iter_mut().zip(block).zip(importance) {
        *weight = importance * (mean + number * number).sqrt();
    }
    weights
}

#[inline(always)]
fn error((grid, steps): &(Grid, Block), block: &Block, weights: &Block) -> f32 {
    let (scale, minimum) = (grid.scale.to_f32(), grid.minimum.to_f32());
    let (mut squares, mut differences) = ([0.0; WIDTH], [0.0; WIDTH]);
    for (((difference, square), &step), &number) in differences.iter_mut().zip(&mut squares).zip(steps).zip(block) {
        *difference = step * scale + minimum - number;
        *square = *difference * *difference;
    }
    sum(weights, &squares)
}

/// The step (and minimum) that fits the integers best.
#[inline(always)]
fn fit(form: Form, steps: &Block, block: &Block, weights: &Block) -> Grid {
    let weighted = product(weights, steps);
    let (qx, qq) = (sum(&weighted, block), sum(&weighted, steps));
    if !form.from_minimum {
        return Grid::given(if qq > 0.0 { qx / qq } else { 0.0 }, 0.0);
    }
    let (weight, x, q) = (sum(weights, &[1.0; WIDTH]), sum(weights, block), sum(weights, steps));
    let spread = weight * qq - q * q;
    if spread <= 0.0 {
        return Grid::given(0.0, if weight > 0.0 { x / weight } else { 0.0 });
    }
    Grid::given((weight * qx - q * x) / spread, (qq * x - q * qx) / spread)
}

#[inline(always)]
fn product(one: &Block, other: &Block) -> Block {
    let mut product = [0.0; WIDTH];
    for ((product, &one), &other) in product.iter_mut().zip(one).zip(other) {
        *product = one * other;
    }
    product
}

/// The sum of products, in lanes.
#[inline(always)]
fn sum(one: &Block, other: &Block) -> f32 {
    let mut lanes = [0.0; LANES];
    for (one, other) in one.as_chunks::<LANES>().0.iter().zip(other.as_chunks::<LANES>().0) {
        for ((lane, &one), &other) in lanes.iter_mut().zip(one).zip(other) {
            *lane += one * other;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
