//! How a quantized layer computes. Where its input is quantized too it multiplies integers; else weights become floats a
//! block of output channels at a time, never all at once.

use std::ops::Range;

use candle_core::{Device, Tensor};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use super::QuantizedWeight;
use super::activation::Integers;
use super::window::Window;
use crate::convolution::convolve;
use crate::error::{ModelError, Result};
use crate::int8::multiply;
use crate::network::Mode;

/// How many weights are floats at one time.
const BLOCK: usize = 1 << 20;

impl QuantizedWeight {
    /// x [rows, in] -> [rows, out].
    ///
    /// # Errors
    /// When shapes do not fit, an input is not a number, or a gradient is asked of integer arithmetic.
    pub(crate) fn linear(&self, name: &str, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        self.check_inputs(name, inputs)?;
        let Some(activation) = self.activation else {
            return self.in_blocks(x, &|weight| Ok(x.matmul(&weight.flatten_from(1)?.t()?)?));
        };
        check_mode(name, mode)?;
        let outputs = self.in_integers(&activation.quantize(name, x)?, activation.largest());
        Ok(Tensor::from_vec(outputs, (rows, self.outputs()), &Device::Cpu)?
            .to_device(x.device())?
            .to_dtype(x.dtype())?)
    }

    /// x [rows, in, height, width] -> [rows, out, height', width'].
    ///
    /// # Errors
    /// As [`QuantizedWeight::linear`].
    pub(crate) fn conv(&self, name: &str, x: &Tensor, stride: usize, padding: usize, mode: Mode) -> Result<Tensor> {
        let window = Window::new(name, x.dims(), &self.shape, stride, padding)?;
        self.check_inputs(name, window.inputs())?;
        let Some(activation) = self.activation else {
            return self.in_blocks(x, &|weight| convolve(x, weight, stride, padding, mode));
        };
        check_mode(name, mode)?;
        let images = activation.quantize(name, x)?;
        let [height, width] = window.positions();
        let image = |(image, &scale): (&[i16], &f32)| {
            let rows = Integers { numbers: window.unfold(image), scales: vec![scale; height * width] };
            transposed(&self.in_integers(&rows, activation.largest()), self.outputs())
        };
        let size = window.image().max(1);
        let outputs: Vec<Vec<f32>> = images.numbers.par_chunks(size).zip(&images.scales).map(image).collect();
        let shape = (x.dim(0)?, self.outputs(), height, width);
        Ok(Tensor::from_vec(outputs.concat(), shape, &Device::Cpu)?.to_device(x.device())?.to_dtype(x.dtype())?)
    }

    /// `layer` on blocks of output channels as floats, in the type and on the device of `x`; dimension 1 of its outputs
    /// is that of the channels.
    fn in_blocks(&self, x: &Tensor, layer: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let step = (BLOCK / self.inputs().max(1)).max(1);
        let mut blocks = Vec::new();
        for start in (0..self.outputs()).step_by(step) {
            let channels = start..self.outputs().min(start + step);
            let mut shape = self.shape.clone();
            shape.first_mut().into_iter().for_each(|outputs| *outputs = channels.len());
            let weight = Tensor::from_vec(self.dequantize_rows(channels), shape, &Device::Cpu)?;
            blocks.push(layer(&weight.to_device(x.device())?.to_dtype(x.dtype())?)?);
        }
        Ok(Tensor::cat(&blocks, 1)?)
    }

    /// Rows of integers of up to a magnitude to rows of outputs. Each sum of inputs in a span is exact; only scaling and
    /// adding such sums rounds.
    fn in_integers(&self, rows: &Integers, largest: usize) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let x = &rows.numbers;
        let mut y = vec![0.0; rows.scales.len() * outputs];
        for (group, span) in self.spans(largest) {
            let sums = multiply(x, &self.values, inputs, span.clone());
            let scales: Vec<(f32, i32)> = (0..outputs)
                .map(|output| self.parameters(output, group))
                .map(|(scale, zero_point)| (scale, i32::from(zero_point)))
                .collect();
            let rows = x.chunks_exact(inputs.max(1)).zip(&rows.scales).zip(sums.chunks_exact(outputs.max(1)));
            for (y, ((x, row), sums)) in y.chunks_exact_mut(outputs.max(1)).zip(rows) {
                let total: i32 = x.get(span.clone()).unwrap_or_default().iter().map(|&x| i32::from(x)).sum();
                for ((y, sum), (scale, zero_point)) in y.iter_mut().zip(sums).zip(&scales) {
                    *y += sum.wrapping_sub(zero_point.wrapping_mul(total)) as f32 * (scale * row);
                }
            }
        }
        y
    }

    /// The inputs that share a scale, by group, in spans whose sums are exact for inputs of up to a magnitude.
    fn spans(&self, largest: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (inputs, size) = (self.inputs(), self.group());
        let weight = if self.scheme.symmetric { 128 } else { 255 };
        let longest = i32::MAX as usize / (largest.max(1) * weight);
        (0..inputs).step_by(size).enumerate().flat_map(move |(group, start)| {
            let end = inputs.min(start + size);
            (start..end).step_by(longest).map(move |from| (group, from..end.min(from + longest)))
        })
    }

    fn check_inputs(&self, name: &str, inputs: usize) -> Result<()> {
        if inputs == self.inputs() && self.outputs().checked_mul(inputs) == Some(self.values.len()) {
            return Ok(());
        }
        let name = format!("{name}.weight");
        Err(ModelError::Shape { name, found: self.shape.clone(), expected: vec![self.outputs(), inputs] })
    }
}

fn check_mode(name: &str, mode: Mode) -> Result<()> {
    if mode == Mode::Inference {
        return Ok(());
    }
    Err(ModelError::Unsupported(format!("`{name}` computes in integers, through which no gradient passes")))
}

/// [positions, outputs] -> [outputs, positions].
fn transposed(numbers: &[f32], outputs: usize) -> Vec<f32> {
    super::packing::transposed(numbers, outputs)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use crate::network::Mode;
    use crate::quantized::{ActivationScheme, FixedInput, Granularity, QuantizedWeight, WeightScheme};

    /// Numbers in -1..1 that look random.
    fn numbers(shape: &[usize], seed: u32) -> Tensor {
        let count: usize = shape.iter().product();
        let number = |index: u32| ((index + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        Tensor::from_vec((0..count as u32).map(number).collect(), shape, &Device::Cpu).unwrap()
    }

    fn weight(shape: &[usize], scheme: WeightScheme) -> QuantizedWeight {
        let scales = scheme.granularity.scales(shape[0], shape[1..].iter().product());
        let scale = |index: usize| (1.0 + index as f32 / 10.0) / f32::from(scheme.highest());
        let zero_points =
            if scheme.symmetric { vec![] } else { (0..scales).map(|index| (index % 3) as i8 - 2).collect() };
        let scales: Vec<f32> = (0..scales).map(scale).collect();
        QuantizedWeight::round(&numbers(shape, 99), scheme, &scales, &zero_points).unwrap()
    }

    fn schemes() -> impl Iterator<Item = WeightScheme> {
        let granularities = [Granularity::Tensor, Granularity::Channel, Granularity::Group(9)];
        let kinds = granularities.into_iter().flat_map(|granularity| [(granularity, true), (granularity, false)]);
        kinds.map(|(granularity, symmetric)| WeightScheme { bits: 8, symmetric, granularity })
    }

    /// What the integers of the input stand for.
    fn fake(x: &Tensor, activation: FixedInput) -> Tensor {
        let zero_point = f64::from(activation.zero_point);
        let scale = f64::from(activation.scale);
        let integers = ((x.to_dtype(DType::F64).unwrap() / scale).unwrap().round().unwrap() + zero_point).unwrap();
        ((integers.clamp(0.0, 255.0).unwrap() - zero_point).unwrap() * scale).unwrap()
    }

    fn close(found: &Tensor, expected: &Tensor, tolerance: f64) {
        assert_eq!(found.dims(), expected.dims());
        let difference = (found.to_dtype(DType::F64).unwrap() - expected.to_dtype(DType::F64).unwrap()).unwrap();
        let worst: f64 = difference.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap();
        assert!(worst < tolerance, "{worst}");
    }

    const INPUT: FixedInput = FixedInput { bits: 8, scale: 0.007, zero_point: 131 };
    const ACTIVATION: Option<ActivationScheme> = Some(ActivationScheme::Fixed(INPUT));

    /// Worked by hand: x = (1, -1), scale 0.5, zero point 10 -> integers 12 and 8, so 2 and -2; weights 3 and 5 of scale
    /// 2 with zero point 1 -> 2 and 4. Sum 2*2 - 2*4 = -4, times 0.5 * 2 = -4.
    #[test]
    fn a_small_layer_by_hand() {
        let scheme = WeightScheme { bits: 8, symmetric: false, granularity: Granularity::Tensor };
        let layer = QuantizedWeight {
            shape: vec![1, 2],
            scheme,
            values: vec![3, 5],
            scales: vec![2.0],
            zero_points: vec![1],
            activation: Some(ActivationScheme::Fixed(FixedInput { bits: 8, scale: 0.5, zero_point: 10 })),
        };
        let x = Tensor::new(&[[1.0_f32, -1.0]], &Device::Cpu).unwrap();
        let y: Vec<Vec<f32>> = layer.linear("head", &x, Mode::Inference).unwrap().to_vec2().unwrap();
        assert_eq!(y, [[-4.0]]);
    }

    #[test]
    fn integers_agree_with_the_floats_they_stand_for() {
        for scheme in schemes() {
            let x = numbers(&[19, 36], 5);
            let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[10, 36], scheme) };
            let floats = layer.dequantize().unwrap().to_dtype(DType::F64).unwrap();
            let expected = fake(&x, INPUT).matmul(&floats.t().unwrap()).unwrap();
            close(&layer.linear("head", &x, Mode::Inference).unwrap(), &expected, 1e-4);

            let x = numbers(&[3, 4, 5, 6], 6);
            let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[7, 4, 3, 3], scheme) };
            let floats = layer.dequantize().unwrap().to_dtype(DType::F64).unwrap();
            for (stride, padding) in [(1, 1), (2, 1), (2, 0)] {
                let expected = fake(&x, INPUT).conv2d(&floats, padding, stride, 1, 1).unwrap();
                close(&layer.conv("conv", &x, stride, padding, Mode::Inference).unwrap(), &expected, 1e-4);
            }
        }
    }

    #[test]
    fn weights_alone_agree_with_the_floats_they_stand_for() {
        for scheme in schemes() {
            let layer = weight(&[10, 36], scheme);
            let x = numbers(&[19, 36], 5);
            let expected = x.matmul(&layer.dequantize().unwrap().t().unwrap()).unwrap();
            close(&layer.linear("head", &x, Mode::Training).unwrap(), &expected, 1e-5);

            let layer = weight(&[7, 4, 3, 3], scheme);
            let x = numbers(&[3, 4, 5, 6], 6);
            let expected = x.conv2d(&layer.dequantize().unwrap(), 1, 2, 1, 1).unwrap();
            close(&layer.conv("conv", &x, 2, 1, Mode::Inference).unwrap(), &expected, 1e-5);
        }
    }

    /// More inputs than one exact sum holds, and more channels than one block of floats.
    #[test]
    fn long_rows_are_summed_in_spans_and_blocks() {
        let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Tensor };
        let inputs = 70_000;
        let layer = QuantizedWeight {
            shape: vec![20, inputs],
            scheme,
            values: vec![-128; 20 * inputs],
            scales: vec![1.0],
            zero_points: vec![],
            activation: Some(ActivationScheme::Fixed(FixedInput { bits: 8, scale: 1.0, zero_point: 0 })),
        };
        let x = Tensor::full(255.0_f32, (1, inputs), &Device::Cpu).unwrap();
        let expected = Tensor::full(-255.0 * 128.0 * inputs as f32, (1, 20), &Device::Cpu).unwrap();
        close(&layer.linear("head", &x, Mode::Inference).unwrap(), &expected, 257.0);
        let floats = QuantizedWeight { activation: None, ..layer };
        close(&floats.linear("head", &x, Mode::Inference).unwrap(), &expected, 4096.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Tensor };
        let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[2, 3], scheme) };
        let message = |x: &[f32], mode| {
            let x = Tensor::from_slice(x, (1, x.len()), &Device::Cpu).unwrap();
            layer.linear("head", &x, mode).unwrap_err().to_string()
        };
        assert_eq!(message(&[1.0, 2.0], Mode::Inference), "tensor `head.weight` has shape [2, 3], expected [2, 2]");
        assert_eq!(
            message(&[1.0, f32::NAN, 2.0], Mode::Inference),
            "the input of `head` holds numbers that are not numbers (NaN)"
        );
        assert_eq!(
            message(&[1.0, 2.0, 3.0], Mode::Differentiable),
            "`head` computes in integers, through which no gradient passes"
        );
    }
}
