//! Whether the finished model can be what the recipe exports, found out before any work.

use paring_model::families::beyond_transformers;
use paring_model::{Checkpoint, Outline, Refusal, SparseLayout, WeightOutline};
use paring_schema::language::Export;
use paring_schema::{Diagnostic, Loaded};

use super::{SafetensorsSettings, settings};
use crate::plan::PlannedStage;

/// What the formats of the recipe cannot hold of a model that ends up with this outline after the stages. Tokenizer and
/// settings are those of the model that the recipe starts from.
pub(crate) fn problems(
    loaded: &Loaded,
    model: &Checkpoint,
    stages: &[PlannedStage],
    outline: &Outline,
) -> Vec<Diagnostic> {
    let exports = loaded.recipe.export.iter().enumerate();
    let found = exports.flat_map(|(index, export)| {
        let place = loaded.span(&format!("/export/{index}"));
        let refusals = match export.format.as_str() {
            "gguf" => few(model.gguf_refusals(outline)),
            _ => safetensors(outline).into_iter().chain(sparse(export, model, stages, outline)).collect(),
        };
        refusals.into_iter().map(move |(reason, help)| {
            let message = format!("a `{}` export is not possible: {reason}", export.format);
            Diagnostic::new("P016", message).label(place, "").help(help)
        })
    });
    found.collect()
}

/// What a person should know of the exports of a model that ends up with this outline.
pub(crate) fn notes(loaded: &Loaded, outline: &Outline) -> Vec<String> {
    let exports = &loaded.recipe.export;
    let directories = exports.iter().filter(|export| export.format == "safetensors");
    let layouts = directories.clone().filter_map(layout_of).map(|layout| {
        let opener = match layout {
            SparseLayout::Bitmask => "`ModelCompressor.decompress` of compressed-tensors 0.14 reads",
            SparseLayout::Bitmask24 => "transformers 4 with compressed-tensors 0.14 opens",
        };
        format!("{opener} `{}`; transformers 5 makes up the pruned weights instead", layout.name())
    });
    let beyond = directories.clone().next().and_then(|_| beyond_transformers(outline));
    layouts.chain(beyond).collect()
}

fn layout_of(export: &Export) -> Option<SparseLayout> {
    settings::<SafetensorsSettings>(&export.settings).ok()?.layout
}

/// What a sparse layout cannot hold.
fn sparse(export: &Export, model: &Checkpoint, stages: &[PlannedStage], outline: &Outline) -> Vec<(String, String)> {
    let Some(layout) = layout_of(export) else { return Vec::new() };
    let mut refusals = layout.refusals(outline);
    if refusals.is_empty() && layout == SparseLayout::Bitmask24 {
        refusals = not_two_of_four(model, stages, outline);
    }
    few(refusals)
}

/// Masks that the recipe makes, and in no such pattern. Those that a model comes with are looked at when it is written.
fn not_two_of_four(model: &Checkpoint, stages: &[PlannedStage], outline: &Outline) -> Vec<Refusal> {
    let start = model.outline();
    let is_masked = |weight: Option<&WeightOutline>| matches!(weight, Some(WeightOutline::Dense { masked: true, .. }));
    let made = outline.weights.keys().filter(|name| {
        is_masked(outline.weights.get(*name)) && !is_masked(start.weights.get(*name)) && !in_pattern(stages, name)
    });
    let told = |name: &String| Refusal {
        reason: format!("no stage prunes tensor `{name}` to 2 of each 4 weights"),
        help: "prune it with `pattern: \"2:4\"`, or export with `layout: sparse-bitmask`".to_owned(),
    };
    made.map(told).collect()
}

/// Whether a stage leaves at most two of each four weights.
fn in_pattern(stages: &[PlannedStage], name: &str) -> bool {
    let touches = |stage: &PlannedStage| stage.touches.iter().any(|site| format!("{site}.weight") == name);
    stages.iter().any(|stage| {
        let fits = stage.effect.pattern.is_some_and(|pattern| pattern.holds(2, 4));
        fits && touches(stage) || in_pattern(&stage.stages, name)
    })
}

/// Refusals of one export, as many as are told.
fn few(mut refusals: Vec<Refusal>) -> Vec<(String, String)> {
    // One of a kind is enough: every layer would say the same.
    let more = refusals.len().saturating_sub(MOST);
    refusals.truncate(MOST);
    let mut told: Vec<(String, String)> = refusals.into_iter().map(|refusal| (refusal.reason, refusal.help)).collect();
    if let Some((reason, _)) = told.last_mut().filter(|_| more > 0) {
        reason.push_str(&format!(" (and {more} more)"));
    }
    told
}

/// Refusals of one export that are told.
const MOST: usize = 3;

fn safetensors(outline: &Outline) -> Vec<(String, String)> {
    let blocks = outline.weights.iter().find_map(|(name, weight)| match weight {
        WeightOutline::Blocks { kind, .. } => Some((name, kind)),
        _ => None,
    });
    let told = |(name, kind)| {
        let reason =
            format!("tensor `{name}` is in blocks of `{kind}`, which other readers of safetensors do not know");
        (reason, "export with `gguf: {}`, or quantize with `quantize/rtn` instead".to_owned())
    };
    blocks.map(told).into_iter().collect()
}
