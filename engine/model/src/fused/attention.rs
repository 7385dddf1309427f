//! Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) without the tensors between its steps: for a few
//! queries at a time, products with all keys, their softmax, and the mixture of values stay in the cache.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, Tensor};
use rayon::prelude::{IntoParallelIterator as _, ParallelIterator as _};

use super::{LANES, Work, exp, largest, numbers, sum, vectorized};
use crate::error::{ModelError, Result};

/// Queries that are worked on at once.
const TILE: usize = 4;

/// With fewer queries, packing keys and values costs more than it saves.
pub(crate) const MIN_QUERIES: usize = TILE;

/// softmax(scale * q k^T + bias) v, heads side by side: q [rows, heads, queries, width] with k and v
/// [rows, groups, keys, width] and a bias whose shape extends to [rows, heads, queries, keys] ->
/// [rows, queries, heads * width]. Heads that share keys lie one after the other.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn attention([q, k, v]: [&Tensor; 3], bias: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    let (rows, heads, queries, width) = q.dims4()?;
    let (_, groups, keys, _) = k.dims4()?;
    let fits = k.dims() == [rows, groups, keys, width] && v.dims() == k.dims();
    if !fits || groups == 0 || !heads.is_multiple_of(groups) {
        let shapes = format!("{:?}, {:?} and {:?}", q.dims(), k.dims(), v.dims());
        return Err(ModelError::Unsupported(format!("no attention of shapes {shapes}")));
    }
    let bias = bias.map(|bias| with_slices(&bias.broadcast_as((rows, heads, queries, keys))?)).transpose()?;
    let attention = Attention { heads, groups, queries, keys, width, scale: scale as f32, bias };
    Ok(with_slices(q)?.apply_op3_no_bwd(&with_slices(k)?, &with_slices(v)?, &attention)?)
}

/// The tensor with a last dimension that can be read as a slice.
fn with_slices(tensor: &Tensor) -> candle_core::Result<Tensor> {
    if tensor.stride().last() == Some(&1) { Ok(tensor.clone()) } else { tensor.contiguous() }
}

struct Attention {
    heads: usize,
    groups: usize,
    queries: usize,
    keys: usize,
    width: usize,
    scale: f32,
    bias: Option<Tensor>,
}

/// A tensor of four dimensions, of which the last is a slice.
#[derive(Clone, Copy)]
struct Slices<'a> {
    numbers: &'a [f32],
    strides: [usize; 3],
    length: usize,
}

impl<'a> Slices<'a> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<Self> {
        let (&[one, two, three, _], (.., length)) = (layout.stride(), layout.shape().dims4()?) else {
            candle_core::bail!("attention of {} dimensions", layout.stride().len())
        };
        Ok(Self { numbers: numbers(storage, layout)?, strides: [one, two, three], length })
    }

    #[inline(always)]
    fn at(&self, [one, two, three]: [usize; 3]) -> &'a [f32] {
        let start = one * self.strides[0] + two * self.strides[1] + three * self.strides[2];
        self.numbers.get(start..start + self.length).unwrap_or_default()
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let parts = [Slices::new(q, q_layout)?, Slices::new(k, k_layout)?, Slices::new(v, v_layout)?];
        let bias = self.bias.as_ref().map(Tensor::storage_and_layout);
        let bias = match &bias {
            None => None,
            Some((storage, layout)) => match &**storage {
                Storage::Cpu(storage) => Some(Slices::new(storage, layout)?),
                _ => candle_core::bail!("the bias of attention lies on another device"),
            },
        };
        let (rows, all) = (q_layout.shape().dims4()?.0, self.heads * self.width);
        let mut found = vec![0.0; rows * self.queries * all];
        if !found.is_empty() {
            // Every thread has work, but keys and values are packed as seldom as may be.
            let parts_of_row = rayon::current_num_threads().div_ceil(rows);
            let block = self.queries.div_ceil(parts_of_row).next_multiple_of(TILE);
            let blocks = found.chunks_mut(self.queries * all).enumerate().flat_map(|(row, found)| {
                found.chunks_mut(block * all).enumerate().map(move |(part, found)| (row, part * block, found))
            });
            let (blocks, arch): (Vec<_>, _) = (blocks.collect(), pulp::Arch::new());
            let block = |(row, first, found)| Block { attention: self, parts, bias, row, first, found };
            blocks.into_par_iter().for_each(|place| vectorized(arch, block(place)));
        }
        Ok((CpuStorage::F32(found), Shape::from((rows, self.queries, all))))
    }
}

/// All heads of some queries of a row.
struct Block<'a> {
    attention: &'a Attention,
    parts: [Slices<'a>; 3],
    bias: Option<Slices<'a>>,
    row: usize,
    first: usize,
    found: &'a mut [f32],
}

impl Work for Block<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { attention, parts: [q, k, v], bias, row, first, found } = self;
        let &Attention { keys, width, scale, .. } = attention;
        let (heads, all) = (attention.heads / attention.groups, attention.heads * width);
        let mut packed = Packed::new(keys, width);
        let mut scores: [Vec<f32>; TILE] = std::array::from_fn(|_| vec![0.0; packed.keys_stride]);
        for head in 0..attention.heads {
            if head.is_multiple_of(heads) {
                let at = |key| [row, head / heads, key];
                packed.fill(|key| k.at(at(key)), |key| v.at(at(key)));
            }
            for (tile, found) in found.chunks_mut(TILE * all).enumerate() {
                let (start, count) = (first + tile * TILE, found.len() / all);
                // Where fewer queries are left, the last stands for those that are missing.
                let query = |place: usize| [row, head, start + place.min(count - 1)];
                packed.scores(std::array::from_fn(|place| q.at(query(place))), &mut scores);
                let mut sums = [0.0; TILE];
                for (place, (scores, sum)) in scores.iter_mut().zip(&mut sums).enumerate() {
                    let bias = bias.map(|bias| bias.at(query(place)));
                    *sum = softmax(scores.get_mut(..keys).unwrap_or_default(), bias, scale);
                }
                let weights = scores.each_ref().map(|scores| scores.get(..keys).unwrap_or_default());
                packed.mix(weights, |place, column, numbers| {
                    let start = place * all + head * width + column;
                    let end = (start + numbers.len()).min(place * all + (head + 1) * width);
                    let found = found.get_mut(start..end).unwrap_or_default();
                    let sum = sums.get(place).copied().unwrap_or(1.0);
                    for (found, number) in found.iter_mut().zip(numbers) {
                        *found = number / sum;
                    }
                });
            }
        }
    }
}

/// Keys and values of one head, as products read them.
struct Packed {
    /// [width, keys], with zeros after each row.
    keys: Vec<f32>,
    keys_stride: usize,
    /// [keys, width], with zeros after each row.
    values: Vec<f32>,
    values_stride: usize,
}

impl Packed {
    #[inline(always)]
    fn new(keys: usize, width: usize) -> Self {
        let (keys_stride, values_stride) = (keys.next_multiple_of(LANES), width.next_multiple_of(LANES));
        Self {
            keys: vec![0.0; width * keys_stride],
            keys_stride,
            values: vec![0.0; keys * values_stride],
            values_stride,
        }
    }

    #[inline(always)]
    fn fill<'a>(&mut self, key: impl Fn(usize) -> &'a [f32], value: impl Fn(usize) -> &'a [f32]) {
        for (place, values) in self.values.chunks_exact_mut(self.values_stride).enumerate() {
            for (packed, number) in values.iter_mut().zip(value(place)) {
                *packed = *number;
            }
            for (keys, number) in self.keys.chunks_exact_mut(self.keys_stride).zip(key(place)) {
                if let Some(packed) = keys.get_mut(place) {
                    *packed = *number;
                }
            }
        }
    }

    /// Products of queries and keys.
    #[inline(always)]
    fn scores(&self, queries: [&[f32]; TILE], scores: &mut [Vec<f32>; TILE]) {
        for column in (0..self.keys_stride).step_by(LANES) {
            let found = product(queries, &self.keys, self.keys_stride, column);
            for (scores, found) in scores.iter_mut().zip(found) {
                scores.get_mut(column..column + LANES).unwrap_or_default().copy_from_slice(&found);
            }
        }
    }

    /// Values mixed by weights: for each query, columns and what is in them.
    #[inline(always)]
    fn mix(&self, weights: [&[f32]; TILE], mut take: impl FnMut(usize, usize, &[f32; LANES])) {
        for column in (0..self.values_stride).step_by(LANES) {
            let found = product(weights, &self.values, self.values_stride, column);
            found.iter().enumerate().for_each(|(place, numbers)| take(place, column, numbers));
        }
    }
}

/// Some rows times some columns of a matrix, whose rows are `stride` apart.
#[inline(always)]
fn product(rows: [&[f32]; TILE], matrix: &[f32], stride: usize, column: usize) -> [[f32; LANES]; TILE] {
    let mut sums = [[0.0; LANES]; TILE];
    let [one, two, three, four] = rows;
    let steps = one.iter().zip(two).zip(three).zip(four).zip(matrix.chunks_exact(stride));
    for ((((one, two), three), four), right) in steps {
        let Some(right) = right.get(column..).and_then(|right| right.first_chunk::<LANES>()) else { continue };
        for (sums, left) in sums.iter_mut().zip([one, two, three, four]) {
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(*right, *sum);
            }
        }
    }
    sums
}

/// exp(scale * score + bias - largest) of every score, and their sum.
#[inline(always)]
fn softmax(scores: &mut [f32], bias: Option<&[f32]>, scale: f32) -> f32 {
    match bias {
        Some(bias) => {
            for (score, bias) in scores.iter_mut().zip(bias) {
                *score = score.mul_add(scale, *bias);
            }
        }
        None => {
            for score in scores.iter_mut() {
                *score *= scale;
            }
        }
    }
    let most = largest(scores, |score| score);
    for score in scores.iter_mut() {
        *score = exp(*score - most);
    }
    sum(scores, |power| power)
}

#[cfg(test)]
mod tests {
    use candle_core::{D, DType, Device, Tensor};
    use rstest::rstest;

    use super::attention;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::rand(-2.0_f32, 2.0, shape, &Device::Cpu).unwrap()
    }

    /// In doubles, step by step.
    fn plain([q, k, v]: [&Tensor; 3], bias: Option<&Tensor>, scale: f64) -> Tensor {
        let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        let repeat = q.dim(1).unwrap() / k.dim(1).unwrap();
        let heads = |tensor: &Tensor| {
            let (rows, groups, keys, width) = tensor.dims4().unwrap();
            let all = wide(tensor).unsqueeze(2).unwrap().broadcast_as((rows, groups, repeat, keys, width)).unwrap();
            all.reshape((rows, groups * repeat, keys, width)).unwrap().contiguous().unwrap()
        };
        let scores = wide(q).contiguous().unwrap().matmul(&heads(k).t().unwrap().contiguous().unwrap()).unwrap();
        let mut scores = (scores * scale).unwrap();
        if let Some(bias) = bias {
            scores = scores.broadcast_add(&wide(bias)).unwrap();
        }
        let powers = scores.broadcast_sub(&scores.max_keepdim(D::Minus1).unwrap()).unwrap().exp().unwrap();
        let weights = powers.broadcast_div(&powers.sum_keepdim(D::Minus1).unwrap()).unwrap();
        let mixed = weights.matmul(&heads(v)).unwrap();
        mixed.transpose(1, 2).unwrap().contiguous().unwrap().flatten_from(2).unwrap()
    }

    fn apart(one: &Tensor, other: &Tensor) -> f64 {
        let one = one.to_dtype(DType::F64).unwrap();
        (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// Rows, heads, groups, queries, keys, width: whole tiles and lanes, and parts of them.
    #[rstest]
    #[case::whole([2, 4, 4, 8, 16, 16])]
    #[case::parts([3, 4, 2, 7, 19, 5])]
    #[case::many([1, 2, 1, 65, 65, 33])]
    #[case::one([1, 1, 1, 1, 1, 1])]
    fn it_is_the_plain_steps(#[case] sizes: [usize; 6]) {
        let [rows, heads, groups, queries, keys, width] = sizes;
        let scale = (width as f64).sqrt().recip();
        let q = random(&[rows, queries, heads, width]).transpose(1, 2).unwrap();
        let k = random(&[rows, keys, groups, width]).transpose(1, 2).unwrap();
        let v = random(&[rows, groups, keys, width]);
        let parts = [&q, &k, &v];
        let found = attention(parts, None, scale).unwrap();
        assert_eq!(found.dims(), [rows, queries, heads * width]);
        assert!(apart(&found, &plain(parts, None, scale)) < 2e-6);
        for shape in [[rows, 1, 1, keys], [1, heads, queries, keys], [rows, heads, queries, 1]] {
            let bias = (random(&shape) * 3.0).unwrap();
            let found = attention(parts, Some(&bias), scale).unwrap();
            assert!(apart(&found, &plain(parts, Some(&bias), scale)) < 4e-6, "{shape:?}");
        }
    }

    /// Scores far below the largest, masked ones among them, weigh nothing.
    #[test]
    fn what_is_masked_weighs_nothing() {
        let (q, k, v) = (random(&[1, 1, 4, 8]), random(&[1, 1, 3, 8]), random(&[1, 1, 3, 8]));
        for low in [f32::NEG_INFINITY, f32::MIN, -1000.0] {
            let bias = Tensor::new(&[0.0, low, low], &Device::Cpu).unwrap().reshape((1, 1, 1, 3)).unwrap();
            let found = attention([&q, &k, &v], Some(&bias), 1.0).unwrap();
            let first = v.narrow(2, 0, 1).unwrap().broadcast_as((1, 1, 4, 8)).unwrap().reshape((1, 4, 8)).unwrap();
            assert_eq!(found.to_vec3::<f32>().unwrap(), first.to_vec3::<f32>().unwrap(), "{low}");
        }
        let lost = (v * f64::NAN).unwrap();
        let found = attention([&q, &k, &lost], None, 1.0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().all(|number| number.is_nan()));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let (q, k) = (random(&[1, 3, 4, 8]), random(&[1, 2, 4, 8]));
        assert!(attention([&q, &k, &k], None, 1.0).is_err());
        assert!(attention([&k, &k, &random(&[1, 2, 5, 8])], None, 1.0).is_err());
        assert!(attention([&k, &k, &k], Some(&random(&[1, 1, 4, 5])), 1.0).is_err());
    }
}
