//! A basic residual block (He et al. 2015, "Deep residual learning", section 3.2 and figure 5 left): two 3x3
//! convolutions with batch norm, added to the input or to a 1x1 projection of it.

use candle_core::Tensor;

use super::conv::{Geometry, Placed, survey_conv};
use super::norm::BatchNorm;
use crate::config::ResidualSpec;
use crate::error::Result;
use crate::families::stack::{Block, Parts};
use crate::families::survey::{Flow, Stream, Survey, Width};
use crate::network::Forward;
use crate::sites::Role;
use crate::tap::TapConv;

/// Adds the block's convolutions and norms. Channels between the two convolutions are units of their own; channels of
/// the sum belong together with everything else that is added to the same stream.
pub(crate) fn survey(spec: &ResidualSpec, layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let input = survey.image(layer, "residual")?;
    let [channels, _, _] = input;
    let stream = survey.stream;
    let shortcut = site_name(layer, "shortcut");
    let projected = spec.stride != 1 || survey.has(&format!("{shortcut}.weight"), spec.channels != channels);
    let conv1 = site_name(layer, "conv1");
    let inner = survey.open(&conv1, "channels");
    let middle = survey_conv(
        Placed { from: stream, to: inner, ..part(layer, "conv1", "norm1", input, spec.stride, spec.inner()) },
        survey,
    )?;
    let conv2 = part(layer, "conv2", "norm2", middle, 1, spec.channels);
    let (to, width) =
        if projected { (survey.open(&conv2.name, "channels"), conv2.width) } else { (stream, Width::Fixed(channels)) };
    let image = survey_conv(Placed { from: inner, to, width, ..conv2 }, survey)?;
    if projected {
        survey_shortcut(spec, layer, survey, (input, image, to))?;
        share_input(&conv1, &shortcut, survey);
    }
    survey.flow = Flow::Image(image);
    survey.stream = to;
    Ok(())
}

fn survey_shortcut(
    spec: &ResidualSpec,
    layer: usize,
    survey: &mut Survey<'_>,
    (input, [out, _, _], to): ([usize; 3], [usize; 3], Stream),
) -> Result<()> {
    let placed = Placed {
        role: Role::Shortcut,
        geometry: Geometry { kernel: 1, stride: spec.stride, padding: 0 },
        width: Width::Fixed(out),
        from: survey.stream,
        to,
        ..part(layer, "shortcut", "shortcut_norm", input, spec.stride, out)
    };
    survey_conv(placed, survey).map(|_| ())
}

/// A 3x3 convolution of the block, not yet connected.
fn part(layer: usize, name: &str, norm: &str, input: [usize; 3], stride: usize, channels: usize) -> Placed {
    Placed {
        name: site_name(layer, name),
        role: Role::Hidden,
        layer,
        input,
        geometry: Geometry { kernel: 3, stride, padding: 1 },
        width: Width::Free(channels),
        norm: Some(site_name(layer, norm)),
        from: None,
        to: None,
    }
}

fn share_input(one: &str, other: &str, survey: &mut Survey<'_>) {
    for site in &mut survey.sites {
        if site.name == one {
            site.shares_input_with.push(other.to_owned());
        } else if site.name == other {
            site.shares_input_with.push(one.to_owned());
        }
    }
}

fn site_name(layer: usize, part: &str) -> String {
    format!("layers.{layer}.{part}")
}

/// The block `layers.{layer}` with its weights.
pub(crate) fn build(layer: usize, parts: &Parts<'_>) -> Result<Box<dyn Block>> {
    let normed = |conv: &str, norm: &str| -> Result<Normed> {
        Ok(Normed { conv: parts.conv(&site_name(layer, conv))?, norm: parts.norm(&site_name(layer, norm))? })
    };
    let projected = parts.has(&site_name(layer, "shortcut"));
    let shortcut = projected.then(|| normed("shortcut", "shortcut_norm")).transpose()?;
    Ok(Box::new(Residual { first: normed("conv1", "norm1")?, second: normed("conv2", "norm2")?, shortcut }))
}

struct Normed {
    conv: TapConv,
    norm: BatchNorm,
}

impl Normed {
    fn forward(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x, cx)?, cx)
    }
}

struct Residual {
    first: Normed,
    second: Normed,
    shortcut: Option<Normed>,
}

impl Block for Residual {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let inner = self.first.forward(x, cx)?.relu()?;
        let outer = self.second.forward(&inner, cx)?;
        let carried = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, cx)?,
            None => x.clone(),
        };
        Ok(outer.add(&carried)?.relu()?)
    }
}
