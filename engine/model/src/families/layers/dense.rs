//! A fully connected layer with activation and dropout, and the output layer, which has neither.

use candle_core::Tensor;

use crate::config::{Activation, DenseSpec};
use crate::dropout::dropout;
use crate::error::Result;
use crate::families::stack::{Block, Parts};
use crate::families::survey::{Draft, Flow, Survey, Width};
use crate::network::Forward;
use crate::sites::{Fold, Role, SiteKind};
use crate::tap::TapLinear;

/// Adds `layers.{layer}`: neurons that read the whole row.
pub(crate) fn survey(spec: &DenseSpec, layer: usize, survey: &mut Survey<'_>) -> Result<()> {
    let name = format!("layers.{layer}");
    if !(0.0..1.0).contains(&spec.dropout) {
        let reason =
            format!("`{name}` has dropout {}, expected a number from 0 (inclusive) to 1 (exclusive)", spec.dropout);
        return Err(survey.wrong(reason));
    }
    let (from, to) = (survey.stream, survey.open(&name, "neurons"));
    // relu(x / s) = relu(x) / s for s above zero; no other activation here is so.
    let fold = (spec.activation == Activation::Relu).then(|| Fold::Rows(name.clone()));
    let out = survey.site(Draft {
        name,
        role: Role::Hidden,
        kind: SiteKind::Linear,
        layer: Some(layer),
        input: survey.flow,
        width: Width::Free(spec.width),
        bias: true,
        from,
        to,
    })?;
    survey.flow = Flow::Features(out);
    survey.stream = to;
    survey.fold = fold;
    Ok(())
}

/// Adds `head`: the model's outputs.
pub(crate) fn survey_head(output: usize, survey: &mut Survey<'_>) -> Result<()> {
    survey.site(Draft {
        name: "head".to_owned(),
        role: Role::Head,
        kind: SiteKind::Linear,
        layer: None,
        input: survey.flow,
        width: Width::Fixed(output),
        bias: true,
        from: survey.stream,
        to: None,
    })?;
    survey.flow = Flow::Features(output);
    survey.stream = None;
    Ok(())
}

/// The layer `layers.{layer}` with its weights.
pub(crate) fn build(spec: &DenseSpec, layer: usize, parts: &Parts<'_>) -> Result<Box<dyn Block>> {
    let linear = parts.linear(&format!("layers.{layer}"))?;
    Ok(Box::new(Dense { linear, activation: spec.activation, dropout: spec.dropout }))
}

/// The output layer with its weights.
pub(crate) fn build_head(parts: &Parts<'_>) -> Result<Box<dyn Block>> {
    Ok(Box::new(Head(parts.linear("head")?)))
}

struct Dense {
    linear: TapLinear,
    activation: Activation,
    dropout: f64,
}

impl Block for Dense {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let x = self.linear.forward(&x.flatten_from(1)?, cx)?;
        dropout(&self.activation.apply(&x)?, self.dropout, cx)
    }
}

struct Head(TapLinear);

impl Block for Head {
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        self.0.forward(&x.flatten_from(1)?, cx)
    }
}
