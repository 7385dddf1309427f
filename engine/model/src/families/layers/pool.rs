//! Pooling: the maximum or mean of windows, or the mean of whole channels. Inference uses candle's kernels; with
//! gradients the windows are gathered.

use candle_core::Tensor;

use super::window::Window;
use crate::config::PoolSpec;
use crate::error::Result;
use crate::families::stack::Block;
use crate::families::survey::{Flow, Survey};
use crate::network::{Forward, Mode};

/// The image that windows over an image make.
pub(crate) fn survey(spec: &PoolSpec, kind: &str, layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let [channels, height, width] = survey.image(layer, kind)?;
    let Window { size, stride, padding } = window(spec);
    if size == 0 || stride == 0 {
        return Err(survey.wrong(format!("`layers.{layer}` ({kind}) has a size or stride of 0, expected at least 1")));
    }
    if padding > size / 2 {
        let reason = format!("`layers.{layer}` ({kind}) has padding {padding}, expected at most {}", size / 2);
        return Err(survey.wrong(reason));
    }
    let Some([down, across]) = window(spec).count(height, width) else {
        let reason = format!(
            "`layers.{layer}` ({kind}) has a window of {size} x {size}, larger than its input of {height} x {width} \
             with padding {padding}"
        );
        return Err(survey.wrong(reason));
    };
    survey.flow = Flow::Image([channels, down, across]);
    Ok(())
}

/// The image of one number a channel.
pub(crate) fn survey_global(layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let [channels, _, _] = survey.image(layer, "global_average_pool")?;
    survey.flow = Flow::Image([channels, 1, 1]);
    Ok(())
}

/// The maximum over windows.
pub(crate) fn build_max(spec: &PoolSpec) -> Box<dyn Block> {
    Box::new(MaxPool(window(spec)))
}

/// The mean over windows.
pub(crate) fn build_average(spec: &PoolSpec) -> Box<dyn Block> {
    Box::new(AveragePool(window(spec)))
}

/// The mean over whole channels.
pub(crate) fn build_global() -> Box<dyn Block> {
    Box::new(GlobalAveragePool)
}

fn window(spec: &PoolSpec) -> Window {
    Window { size: spec.size, stride: spec.stride(), padding: spec.padding }
}

struct MaxPool(Window);

impl Block for MaxPool {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        if cx.mode != Mode::Inference {
            return self.0.max(x);
        }
        Ok(self.0.pad(x, f64::NEG_INFINITY)?.max_pool2d_with_stride(self.0.size, self.0.stride)?)
    }
}

struct AveragePool(Window);

impl Block for AveragePool {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        if cx.mode != Mode::Inference {
            return self.0.mean(x);
        }
        Ok(self.0.pad(x, 0.0)?.avg_pool2d_with_stride(self.0.size, self.0.stride)?)
    }
}

struct GlobalAveragePool;

impl Block for GlobalAveragePool {
    fn run(&self, x: &Tensor, _: &mut Forward<'_>) -> Result<Tensor> {
        let (rows, channels, _, _) = x.dims4()?;
        Ok(x.flatten_from(2)?.mean(2)?.reshape((rows, channels, 1, 1))?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{build_average, build_max};
    use crate::config::PoolSpec;
    use crate::families::stack::Block;
    use crate::network::Forward;

    const OVERLAPPING: PoolSpec = PoolSpec { size: 3, stride: Some(2), padding: 1 };

    /// The pooled 3 x 3 image of these numbers, which must be the same fast and with gradients.
    fn pooled(block: &dyn Block, numbers: [f32; 9]) -> Vec<f32> {
        let x = Tensor::from_slice(&numbers, (1, 1, 3, 3), &Device::Cpu).unwrap();
        let run =
            |mut cx: Forward<'_>| block.run(&x, &mut cx).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let fast = run(Forward::inference());
        assert_eq!(fast, run(Forward::differentiable()));
        fast
    }

    #[test]
    fn the_border_is_never_the_maximum() {
        let below_zero = [-9.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];
        assert_eq!(pooled(&*build_max(&OVERLAPPING), below_zero), [-5.0, -4.0, -2.0, -1.0]);
    }

    #[test]
    fn the_border_is_zeros_to_the_mean() {
        let numbers = [9.0, 0.0, 18.0, 0.0, 0.0, 0.0, 27.0, 0.0, 36.0];
        assert_eq!(pooled(&*build_average(&OVERLAPPING), numbers), [1.0, 2.0, 3.0, 4.0]);
    }
}
