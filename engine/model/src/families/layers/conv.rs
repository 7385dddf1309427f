//! A convolution with optional batch norm and an activation.

use candle_core::Tensor;

use super::norm::BatchNorm;
use crate::config::{Activation, ConvSpec};
use crate::error::Result;
use crate::families::stack::{Block, Parts};
use crate::families::survey::{Draft, Flow, Stream, Survey, Width, windows};
use crate::network::Forward;
use crate::sites::{Role, SiteKind};
use crate::tap::TapConv;

/// Window of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Width and height of the kernel.
    pub(crate) kernel: usize,
    /// Step between windows.
    pub(crate) stride: usize,
    /// Zeros on each side.
    pub(crate) padding: usize,
}

/// A convolution inside a layer.
pub(crate) struct Placed {
    /// The site's name.
    pub(crate) name: String,
    /// What it does.
    pub(crate) role: Role,
    /// Index of the layer.
    pub(crate) layer: usize,
    /// Channels, height and width of what it reads.
    pub(crate) input: [usize; 3],
    /// Its window.
    pub(crate) geometry: Geometry,
    /// Its output channels.
    pub(crate) width: Width,
    /// The batch norm after it, if any; without one it has a bias.
    pub(crate) norm: Option<String>,
    /// Units it reads.
    pub(crate) from: Stream,
    /// Units it writes.
    pub(crate) to: Stream,
}

/// Adds `layers.{layer}`: the convolution and its norm.
pub(crate) fn survey(spec: &ConvSpec, layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let name = format!("layers.{layer}");
    let input = survey.image(layer, "conv")?;
    let (from, to) = (survey.stream, survey.open(&name, "channels"));
    let image = survey_conv(
        Placed {
            norm: spec.batch_norm.then(|| norm_name(layer)),
            name,
            role: Role::Hidden,
            layer,
            input,
            geometry: Geometry { kernel: spec.kernel, stride: spec.stride, padding: spec.padding() },
            width: Width::Free(spec.channels),
            from,
            to,
        },
        survey,
    )?;
    survey.flow = Flow::Image(image);
    survey.stream = to;
    Ok(())
}

/// Adds one convolution with its norm, and gives the image it makes.
pub(crate) fn survey_conv(placed: Placed, survey: &mut Survey<'_>) -> Result<[usize; 3]> {
    let [_, height, width] = placed.input;
    let Geometry { kernel, stride, padding } = placed.geometry;
    let fits = |length| windows(length, kernel, stride, padding);
    let (Some(out_height), Some(out_width), 1..) = (fits(height), fits(width), kernel) else {
        return Err(survey.wrong(misfit(&placed)));
    };
    let channels = survey.site(Draft {
        name: placed.name,
        role: placed.role,
        kind: SiteKind::Conv { kernel, stride, padding },
        layer: Some(placed.layer),
        input: Flow::Image(placed.input),
        width: placed.width,
        bias: placed.norm.is_none(),
        from: placed.from,
        to: placed.to,
    })?;
    if let Some(norm) = placed.norm {
        survey.norm(&norm, channels, placed.to)?;
    }
    Ok([channels, out_height, out_width])
}

/// The layer `layers.{layer}` with its weights.
pub(crate) fn build(spec: &ConvSpec, layer: usize, parts: &Parts<'_>) -> Result<Box<dyn Block>> {
    let conv = parts.conv(&format!("layers.{layer}"))?;
    let norm = spec.batch_norm.then(|| parts.norm(&norm_name(layer))).transpose()?;
    Ok(Box::new(Conv { conv, norm, activation: spec.activation }))
}

struct Conv {
    conv: TapConv,
    norm: Option<BatchNorm>,
    activation: Activation,
}

impl Block for Conv {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let mut x = self.conv.forward(x, cx)?;
        if let Some(norm) = &self.norm {
            x = norm.forward(&x, cx)?;
        }
        self.activation.apply(&x)
    }
}

fn norm_name(layer: usize) -> String {
    format!("layers.{layer}.norm")
}

fn misfit(placed: &Placed) -> String {
    let Placed { name, geometry: Geometry { kernel, stride, padding }, input: [_, height, width], .. } = placed;
    if *stride == 0 || *kernel == 0 {
        return format!("`{name}` (conv) has kernel {kernel} and stride {stride}, expected at least 1");
    }
    format!(
        "`{name}` (conv) has a kernel of {kernel} x {kernel}, larger than its input of {height} x {width} with padding \
         {padding}"
    )
}
