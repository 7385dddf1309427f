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
pub(crate) fn survey(spec: &PoolSpec, layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let [channels, height, width] = survey.image(layer, "pooling")?;
    let Window { size, stride, padding } = window(spec);
    if size == 0 || stride == 0 {
        return Err(survey.wrong(format!("`layers.{layer}` (pooling) has a size or stride of 0, expected at least 1")));
    }
    if padding > size / 2 {
        let reason = format!("`layers.{layer}` (pooling) has padding {padding}, expected at most {}", size / 2);
        return Err(survey.wrong(reason));
    }
    let Some([down, across]) = window(spec).count(height, width) else {
        let reason = format!(
            "`layers.{layer}` (pooling) has a window of {size} x {size}, larger than its input of {height} x {width} with padding {padding}"
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
