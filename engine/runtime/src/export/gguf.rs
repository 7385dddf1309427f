//! A GGUF file, opened again by Paring and by candle's own loader, both of which must continue prompts as the model
//! does.

use candle_core::{DType, Device, Tensor};
use paring_model::config::Spec;
use paring_model::families::Scaling;
use paring_model::{Checkpoint, Forward, Input, ModelError, Rows, Tokens, WeightOutline};

use super::stock::Stock;
use super::{ExportError, GgufSettings, Place};
use crate::report::ExportReport;

/// The file in an export's directory.
const FILE: &str = "model.gguf";

/// Most prompts that are compared, and most tokens of one.
const PROMPTS: usize = 8;
const LONGEST: usize = 64;

/// How far logits may be off, as a part of how far they spread: where all weights are floats, and where layers round
/// their inputs to 8 bits or do not, as loaders differ.
const FLOATS: f64 = 1e-3;
const BLOCKS: f64 = 0.25;

/// See [`super::export`].
pub(super) fn write(
    settings: &GgufSettings,
    model: &Checkpoint,
    probe: Option<&Rows>,
    place: &Place<'_>,
) -> Result<ExportReport, ExportError> {
    let unfinished = place.output.unfinished()?;
    let path = unfinished.path().join(FILE);
    let (tensors, bytes) = model.save_gguf(&path, settings.name.as_deref().unwrap_or(place.recipe))?;
    let prompts = prompts(model, probe);
    let limit = if has_blocks(model) { BLOCKS } else { FLOATS };
    let expected = continued(model, &prompts)?;
    let reopened = Checkpoint::open(&path)?;
    let own = Agreement::of(&expected, &continued(&reopened, &prompts)?);
    own.check("paring", limit)?;
    let refused = |error: candle_core::Error| ExportError::Stock(error.to_string());
    let mut stock = Stock::open(&path).map_err(refused)?;
    let mut notes = vec![own.told("opened again")];
    if stretches(model) {
        notes.push("candle-transformers stretches no frequencies, so its logits were not compared".to_owned());
    } else {
        let theirs: Result<Vec<_>, _> = prompts.iter().map(|prompt| stock.logits(prompt)).collect();
        let agreement = Agreement::of(&expected, &theirs.map_err(refused)?);
        agreement.check("candle-transformers", limit)?;
        notes.push(agreement.told("in candle-transformers"));
    }
    place.output.publish(unfinished, place.directory)?;
    Ok(ExportReport {
        format: "gguf".to_owned(),
        path: format!("{}/{FILE}", place.directory),
        bytes,
        opened_by: vec!["paring".to_owned(), "candle-transformers".to_owned()],
        tensors,
        parity_rows: prompts.len(),
        parity_difference: own.most,
        notes,
    })
}

fn has_blocks(model: &Checkpoint) -> bool {
    model.outline().weights.values().any(|weight| matches!(weight, WeightOutline::Blocks { .. }))
}

fn stretches(model: &Checkpoint) -> bool {
    let spec = model.config().map(|config| &config.spec);
    matches!(spec, Some(Spec::Llama(spec)) if spec.rope.scaling != Scaling::None)
}

/// Beginnings of the first probe row, of several lengths; numbers of the vocabulary where there is no such row.
fn prompts(model: &Checkpoint, probe: Option<&Rows>) -> Vec<Vec<u32>> {
    let row = match probe {
        Some(Rows::Tokens(rows)) => rows.iter().map(|row| row.ids.clone()).max_by_key(Vec::len),
        _ => None,
    };
    let vocabulary = model.config().map_or(1, |config| config.output).max(1) as u64;
    let made = || (0..LONGEST as u64 / 2).map(|place| ((place + 1) * 7919 % vocabulary) as u32).collect();
    let row: Vec<u32> = row.filter(|row| row.len() >= 2).unwrap_or_else(made);
    let longest = row.len().min(LONGEST);
    let lengths = (1..=PROMPTS).map(|part| (longest * part / PROMPTS).max(1));
    let mut prompts: Vec<Vec<u32>> = lengths.map(|length| row.iter().take(length).copied().collect()).collect();
    prompts.dedup();
    prompts
}

/// The logits after the last token of each prompt.
fn continued(model: &Checkpoint, prompts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ExportError> {
    let network = model.network()?;
    let logits = |prompt: &Vec<u32>| {
        let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
        let all = network.forward(&Input::Tokens(Tokens::new(ids)), &mut Forward::inference())?;
        let last = all.narrow(1, prompt.len() - 1, 1)?.flatten_all()?;
        Ok::<_, ModelError>(last.to_dtype(DType::F32)?.to_vec1::<f32>()?)
    };
    Ok(prompts.iter().map(logits).collect::<Result<_, _>>()?)
}

/// How two models continue the same prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Agreement {
    /// The largest difference of a logit.
    most: f64,
    /// Root mean square of the differences, over that of the logits about their mean.
    relative: f64,
    /// How often both hold the same token for the likeliest, and of how many prompts.
    same: usize,
    of: usize,
}

impl Agreement {
    fn of(expected: &[Vec<f32>], found: &[Vec<f32>]) -> Self {
        let (mut most, mut squares, mut spread) = (0.0_f64, 0.0, 0.0);
        for (expected, found) in expected.iter().zip(found) {
            let mean = expected.iter().map(|&logit| f64::from(logit)).sum::<f64>() / expected.len().max(1) as f64;
            for (&one, &other) in expected.iter().zip(found) {
                let difference = f64::from(one) - f64::from(other);
                // What is no number must not pass for no difference.
                most = if difference.is_nan() { f64::INFINITY } else { most.max(difference.abs()) };
                squares += difference * difference;
                spread += (f64::from(one) - mean).powi(2);
            }
        }
        let pairs = expected.iter().zip(found);
        let same = pairs.clone().filter(|(one, other)| likeliest(one) == likeliest(other)).count();
        let relative = if squares == 0.0 { 0.0 } else { (squares / spread).sqrt() };
        let wrong = pairs.clone().any(|(one, other)| one.len() != other.len()) || most.is_infinite();
        Self { most, relative: if wrong { f64::INFINITY } else { relative }, same, of: expected.len() }
    }

    /// Whether they are near enough.
    fn check(&self, loader: &str, limit: f64) -> Result<(), ExportError> {
        if self.relative <= limit && 2 * self.same >= self.of {
            return Ok(());
        }
        let found = format!(
            "logits differ by {:.4} of their spread, expected at most {limit}; the likeliest token is the same for {} of \
             {} prompts",
            self.relative, self.same, self.of
        );
        Err(ExportError::Differs { loader: loader.to_owned(), found })
    }

    fn told(&self, place: &str) -> String {
        format!(
            "{place}, logits differ by {:.1e} of their spread, and the likeliest token is the same for {} of {} prompts",
            self.relative, self.same, self.of
        )
    }
}

fn likeliest(logits: &[f32]) -> Option<usize> {
    let best = logits.iter().enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other));
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::Agreement;

    /// Logits (0, 2) and (4, 2): means 1 and 3, so their spread is 4; differences 0, 1, 0 and 0.
    #[test]
    fn differences_are_parts_of_the_spread() {
        let expected = [vec![0.0, 2.0], vec![4.0, 2.0]];
        let agreement = Agreement::of(&expected, &[vec![0.0, 1.0], vec![4.0, 2.0]]);
        assert_eq!(agreement, Agreement { most: 1.0, relative: 0.5, same: 2, of: 2 });
        assert!(agreement.check("a", 0.5).is_ok() && agreement.check("a", 0.4).is_err());
        let swapped = Agreement::of(&expected, &[vec![2.0, 0.0], vec![2.0, 4.0]]);
        assert_eq!(swapped.same, 0);
        assert!(swapped.check("a", 100.0).is_err());
        let nan = Agreement::of(&expected, &[vec![0.0, f32::NAN], vec![4.0, 2.0]]);
        assert!(nan.check("a", 100.0).is_err());
    }
}
