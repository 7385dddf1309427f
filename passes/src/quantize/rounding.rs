//! Rounding the weight of one site to integers, and what that will do to the model's outline.

use indexmap::IndexMap;
use paring_model::{
    BlockWeight, Checkpoint, Granularity, InputForm, QuantizedWeight, Site, SiteKind, WeightOutline, WeightScheme,
};

use super::scales::{self, WeightObserver};
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::weights::{self, Difference, Differences, FloatWeight};

/// Bytes that rounding holds for each weight of the largest site: floats before and after, and integers.
const BYTES_PER_WEIGHT: usize = 4 + 4 + 1;

/// The model after the targeted weights are rounded. `activation`: how their inputs are quantized.
///
/// # Errors
/// When a target has no float weight.
pub(crate) fn plan(
    cx: &PlanCx<'_>,
    scheme: WeightScheme,
    activation: Option<InputForm>,
) -> Result<Effect, Vec<Problem>> {
    let problems = weights::problems(cx);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut effect = Effect::same_shape(cx.outline);
    for site in cx.sites {
        let shape = weights::shape(cx, site).to_vec();
        effect.memory = effect.memory.max((shape.iter().product::<usize>() * BYTES_PER_WEIGHT) as u64);
        let activation = input_of(site, activation);
        effect.outline.weights.insert(site.weight(), WeightOutline::Quantized { shape, scheme, activation });
        effect.touches.push(site.name.clone());
    }
    effect.skips = weights::untargeted(cx);
    Ok(effect)
}

/// How the input of a site is quantized where those of all sites are to be: rows of a table are looked up, so that
/// there is no input.
pub(crate) fn input_of(site: &Site, activation: Option<InputForm>) -> Option<InputForm> {
    if matches!(site.kind, SiteKind::Embedding { .. }) { None } else { activation }
}

/// A site's weight in integers, and the figures of its receipt. `activation`: how its inputs will be.
///
/// # Errors
/// When the weight cannot be read or does not fit the scheme.
pub(crate) fn round(
    model: &Checkpoint,
    site: &Site,
    scheme: WeightScheme,
    observer: WeightObserver,
    activation: Option<InputForm>,
) -> Result<(QuantizedWeight, IndexMap<String, f64>), PassError> {
    let weight = FloatWeight::read(model, site)?;
    let rounded = nearest(&weight, scheme, observer)?;
    let figures = figures(&weight, &rounded, input_of(site, activation));
    Ok((rounded, figures))
}

/// A weight in the integers nearest to its numbers.
///
/// # Errors
/// When the weight does not fit the scheme.
pub(crate) fn nearest(
    weight: &FloatWeight,
    scheme: WeightScheme,
    observer: WeightObserver,
) -> Result<QuantizedWeight, PassError> {
    let chosen = scales::choose(&weight.numbers, weight.inputs(), scheme, observer);
    let (numbers, shape) = (&weight.numbers, &weight.shape);
    Ok(QuantizedWeight::round_numbers(numbers, shape, scheme, &chosen.scales, &chosen.zero_points)?)
}

/// The numbers that the integers of a weight stand for.
///
/// # Errors
/// When the integers do not fit the scheme.
pub(crate) fn restored(weight: &QuantizedWeight) -> Result<Vec<f32>, PassError> {
    Ok(weight.dequantize()?.flatten_all()?.to_vec1()?)
}

/// What a receipt says of a weight and its integers.
pub(crate) fn figures(
    weight: &FloatWeight,
    rounded: &QuantizedWeight,
    activation: Option<InputForm>,
) -> IndexMap<String, f64> {
    let mut differences = Differences::of(&weight.numbers);
    rounded.in_parts(&mut |part| differences.add(part));
    told(differences.sum(), bits_per_weight(rounded, activation))
}

/// What a receipt says of a weight that was rounded, and of the bits that it takes then.
pub(crate) fn told(difference: Difference, bits_per_weight: f64) -> IndexMap<String, f64> {
    let figures = [
        ("bits_per_weight", bits_per_weight),
        ("mean_squared_error", difference.mean_squared),
        ("relative_error", difference.relative),
    ];
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

/// Bits that a weight in blocks takes, shared out over its numbers.
pub(crate) fn bits_of_blocks(weight: &BlockWeight) -> f64 {
    weight.bytes.len() as f64 * 8.0 / (weight.outputs() * weight.inputs()).max(1) as f64
}

/// Bits that the weight takes in a file with its scales and zero points, shared out over its numbers.
pub(crate) fn bits_per_weight(weight: &QuantizedWeight, activation: Option<InputForm>) -> f64 {
    let stored = WeightOutline::Quantized { shape: weight.shape.clone(), scheme: weight.scheme, activation };
    stored.size() as f64 * 8.0 / weight.values.len().max(1) as f64
}

/// How a scheme reads in summaries and notes: "4-bit weights, asymmetric, groups of 64".
pub(crate) fn describe(scheme: WeightScheme) -> String {
    let symmetry = if scheme.symmetric { "symmetric" } else { "asymmetric" };
    let scales = match scheme.granularity {
        Granularity::Tensor => "one scale a tensor".to_owned(),
        Granularity::Channel => "one scale an output channel".to_owned(),
        Granularity::Group(size) => format!("one scale for each {size} inputs"),
    };
    format!("{}-bit weights, {symmetry}, {scales}", scheme.bits)
}
