//! Whether the finished model can be what the recipe exports, found out before any work.

use paring_model::{Checkpoint, Outline, WeightOutline};
use paring_schema::{Diagnostic, Loaded};

/// What the formats of the recipe cannot hold of a model that ends up with this outline. Tokenizer and settings are
/// those of the model that the recipe starts from.
pub(crate) fn problems(loaded: &Loaded, model: &Checkpoint, outline: &Outline) -> Vec<Diagnostic> {
    let exports = loaded.recipe.export.iter().enumerate();
    let found = exports.flat_map(|(index, export)| {
        let place = loaded.span(&format!("/export/{index}"));
        let refusals = match export.format.as_str() {
            "gguf" => gguf(model, outline),
            _ => safetensors(outline),
        };
        refusals.into_iter().map(move |(reason, help)| {
            let message = format!("a `{}` export is not possible: {reason}", export.format);
            Diagnostic::new("P016", message).label(place, "").help(help)
        })
    });
    found.collect()
}

fn gguf(model: &Checkpoint, outline: &Outline) -> Vec<(String, String)> {
    let mut refusals = model.gguf_refusals(outline);
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
