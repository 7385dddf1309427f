//! `quantize/gguf`: weights in the blocks that llama.cpp and GGUF files have.

mod importance;

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::{BlockWeight, Checkpoint, GgmlType, Site, SiteKind, Weight, WeightOutline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibrated;
use super::each::each;
use super::gptq::{Form, Method, Rounding};
use super::layouts::{Layout, Rules};
use super::mixes::Mix;
use super::rounding;
use super::scales::WeightObserver;
use super::squares::Squares;
use crate::calibration::{self, Calibration, never_active};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::hessian;
use crate::pass::{Definition, Leaves, NamedFile, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, walk};
use crate::weights::{self, Differences, FloatWeight};
use crate::wording::counted;

pub use importance::{Importance, ImportanceFile};

/// Rounds weights to blocks of small integers as llama.cpp has them, ready for a GGUF file.
///
/// # What it does
/// Each row of a targeted weight is cut into blocks of 32 or 256 consecutive numbers, and each block becomes small
/// integers with scales of its own. `q4_0`, `q4_1`, `q5_0`, `q5_1` and `q8_0` have blocks of 32 and come out bit for
/// bit as llama.cpp's reference rounds them; names with `k` have blocks of 256 whose scales are integers too. A layer
/// in blocks runs in ggml's own arithmetic: its input becomes 8-bit integers, and integers are multiplied. Biases and
/// norms stay as they are.
///
/// # When to use
/// Before an export to GGUF, and where a small file should run at once in llama.cpp's tools. `q4_k_m` and `q5_k_m` are
/// the usual choices for language models, `q8_0` where hardly anything may be lost.
///
/// # When not to
/// Before training or pruning, which need float weights. Pruned weights stay zero in `q4_0`, `q5_0`, `q8_0`, `q3_k` and
/// `q6_k` only: blocks with a minimum have no integer that is exactly zero. For an export to safetensors, which cannot
/// hold blocks: use `quantize/rtn`.
///
/// # Parameters
/// `types` names one of llama.cpp's mixes. The output layer, or the table of tokens where it serves as one, gets `Q6_K`
/// (`Q8_0` where its rows are no multiple of 256, or with `q8_0`). `q4_k_m` and `q5_k_m` give attention values and
/// ffn down `Q6_K` in the first and the last eighth of the layers and in every third between them. `q4_k_s` gives
/// `Q5_K` to the values of the first four layers and to ffn down in the first eighth. `q3_k_m` gives values `Q4_K`
/// (`Q5_K` in the first two layers), attention output `Q4_K`, ffn down `Q4_K` (`Q5_K` in the first sixteenth); `q3_k_l`
/// gives all three `Q5_K`. `q2_k` gives attention output and ffn down `Q3_K`, and values `Q3_K`, or `Q4_K` where four
/// or more queries share one. `overrides` gives single sites a type: the first glob that matches decides. With
/// `fallback`, rows that are no multiple of 256 get `Q4_0` for `Q2_K` and `Q3_K`, `Q5_0` for `Q4_K`, `Q5_1` for `Q5_K`
/// and `Q8_0` for `Q6_K`, and rows that are no multiple of 32 stay floats; without it they are refused. `importance`
/// weighs errors at each input by the mean of its square over calibration rows: the steps of blocks are then searched
/// for by weighted least squares, but for `q8_0`. The run leaves what it saw as an importance matrix in the output
/// directory, which llama.cpp's `llama-quantize --imatrix` reads; `importance: { load: imatrix.gguf }` takes it, or one
/// of llama.cpp's, in place of the rows. With `gptq` as its `method` the weights of layers in blocks of 32 are
/// rounded one input column after the other, as `quantize/gptq` does, so that later ones make up for the error of
/// earlier ones; lookup tables and blocks of 256 are still rounded to nearest. `calibration_rows` are drawn at random.
///
/// # Cost and limits
/// Reads each weight once and holds one layer at a time; of a model of 268 million weights or more what is done is kept
/// every 33 million, so that a run that was cut off goes on after it. With `importance`, one pass of the calibration
/// rows through the model, and a search that takes some ten times as long as plain rounding. With `method: gptq`, the
/// cost of `quantize/gptq`. Weights that pruning set to zero stay exactly zero in `q4_0`, `q5_0`, `q8_0`, `q3_k` and
/// `q6_k`; the other types count from a minimum and have no zero, which the plan says.
///
/// # Source
/// The layouts and mixes of llama.cpp (ggml-quants.c and llama-quant.cpp); Frantar et al. 2022, "GPTQ", section 2, on
/// why errors are weighed by inputs, and algorithm 1 for `method: gptq`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GgufParameters {
    /// The layout of blocks, or a mix of them.
    #[schemars(example = serde_json::json!("q4_k_m"))]
    pub types: Mix,
    /// Types of single sites, by globs of their names; the first that matches decides.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "model.embed_tokens": "q8_0" }))]
    pub overrides: IndexMap<String, GgmlType>,
    /// Other types may stand in where rows are no whole blocks.
    #[serde(default)]
    pub fallback: bool,
    /// Errors at inputs that are large in calibration rows, or by a file, count for more.
    #[serde(default)]
    pub importance: Importance,
    /// How weights are rounded.
    #[serde(default = "nearest")]
    pub method: Method,
    /// At most this many rows are looked at where `importance` is true or `method` is `gptq`.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn nearest() -> Method {
    Method::Nearest
}

fn rows() -> usize {
    128
}

/// The file in which a run leaves the importance of inputs.
const IMATRIX: &str = "imatrix.gguf";

/// Bytes that rounding holds for each weight of the largest site: floats before and after, and integers.
const BYTES_PER_WEIGHT: usize = 4 + 4 + 4 + 1;

/// The pass.
pub struct Gguf;

impl Definition for Gguf {
    type Parameters = GgufParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/gguf",
        summary: "weights in llama.cpp's blocks of 2 to 8 bits, for GGUF files",
        version: 3,
        needs: &[Needs::BuiltModel, Needs::FloatWeights],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &GgufParameters) -> Vec<Problem> {
        if parameters.method == Method::Gptq && parameters.importance.file().is_some() {
            let message = "is a file, but with `method: gptq` the rows tell how large inputs are";
            return vec![Problem::new("/importance", message).help("set `importance: true`")];
        }
        Vec::new()
    }

    fn files(parameters: &GgufParameters) -> Vec<NamedFile> {
        let named = |file: &ImportanceFile| NamedFile { pointer: importance::FILE, path: file.load.clone() };
        parameters.importance.file().map(named).into_iter().collect()
    }

    fn supply(parameters: &mut GgufParameters, _: &str, bytes: &[u8]) -> Result<(), Problem> {
        parameters.importance.supply(bytes)
    }

    fn plan(parameters: &GgufParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        problems.extend(unobserved(parameters, cx));
        if !problems.is_empty() {
            return Err(problems);
        }
        let inputs = |site: &Site| weights::inputs(weights::shape(cx, site));
        let all = cx.outline.sites().unwrap_or_default();
        let layouts = rules(parameters).layouts(cx.sites, &all, &inputs)?;
        let mut effect = Effect::same_shape(cx.outline);
        effect.skips = weights::untargeted(cx);
        for (site, layout) in cx.sites.iter().zip(&layouts) {
            apply(&mut effect, site, *layout, inputs(site));
        }
        if parameters.method == Method::Gptq {
            let (compensated, direct) = split(parameters, cx.sites, &layouts);
            if compensated.is_empty() {
                let message = "is `gptq`, but no target is a layer in blocks of 32 numbers";
                let help = "choose `types: q4_0`, `q4_1`, `q5_0`, `q5_1` or `q8_0`, or leave `method` out";
                return Err(vec![Problem::new("/method", message).help(help)]);
            }
            effect.memory += hessian::memory(cx, &sites_of(&compensated));
            effect.notes.extend(to_nearest(&direct));
        }
        if let Some(file) = parameters.importance.file() {
            let rounded = cx.sites.iter().zip(&layouts).filter(|(site, layout)| weighs(site, **layout));
            let problem = file.problem(rounded.map(|(site, _)| (site, inputs(site))));
            problem.map_or(Ok(()), |problem| Err(vec![problem]))?;
            effect.notes.push(format!("the importance of inputs comes from `{}`", file.load));
        }
        if let Some(what) = looked_at_for(parameters) {
            effect.memory += Squares::memory(cx.sites);
            let rows = calibration::planned_rows(cx, parameters.calibration_rows);
            effect.notes.push(format!("{what} from {}", counted(rows, "row")));
            effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        }
        Ok(effect)
    }

    fn run(parameters: &GgufParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let outline = model.outline();
        let inputs = |site: &Site| outline.weights.get(&site.weight()).map_or(0, |it| weights::inputs(it.shape()));
        let layouts = rules(parameters).layouts(cx.sites, &outline.sites()?, &inputs);
        let layouts = layouts.map_err(|problems| {
            PassError::Failed(problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))
        })?;
        let (compensated, direct) = split(parameters, cx.sites, &layouts);
        let kinds =
            cx.sites.iter().zip(&layouts).filter_map(|(site, layout)| Some((site.name.clone(), layout.kind()?)));
        let kinds: IndexMap<String, GgmlType> = kinds.collect();
        let kind = |site: &str| kinds.get(site).copied().unwrap_or(parameters.types.base());
        let calibration =
            looked_at_for(parameters).map(|_| Calibration::new(cx, &model, parameters.calibration_rows)).transpose()?;
        let weighed = parameters.importance.needs_rows() && direct.iter().any(|(site, _)| multiplies(site));
        let squares = calibration.as_ref().filter(|_| weighed).map(|rows| watched(cx, rows)).transpose()?;
        let (mut model, mut sites) = each(cx, model, &sites_of(&direct), &|model, site| {
            let importance = parameters.importance.of(squares.as_ref(), site, inputs(site));
            round(model, site, kind(&site.name), importance.as_deref())
        })?;
        let mut summary = shown(&kinds);
        if let Some(calibration) = calibration.as_ref().filter(|_| !compensated.is_empty()) {
            let forms = |site: &str| Form::Blocks { kind: kind(site), importance: parameters.importance.is_on() };
            let cx = Cx { sites: &sites_of(&compensated), stream: cx.stream.clone(), ..*cx };
            let mut rounding = Rounding::new(&forms, WeightObserver::Minmax);
            let (done, told) = walk(&cx, model, calibration, &mut rounding)?;
            let ratio = calibrated::error_ratio(&told);
            summary.push_str(&format!("; output error {ratio:.3} of that of rounding to nearest"));
            model = done;
            sites.extend(told);
        }
        let mut receipt = Receipt { summary, sites, ..Receipt::default() };
        let rows = calibration.map(|calibration| ("calibration_rows".to_owned(), calibration.rows as f64));
        receipt.figures.extend(rows);
        let matrix = squares.map(|squares| squares.matrix(cx.sites)).filter(|matrix| !matrix.is_empty());
        receipt.files.extend(matrix.map(|matrix| (IMATRIX.to_owned(), matrix.bytes())));
        Ok(Outcome { model, receipt })
    }
}

/// Whether a site's errors can be weighed by its inputs.
fn weighs(site: &Site, layout: Layout) -> bool {
    multiplies(site) && layout.kind().is_some()
}

/// A target and the type of its blocks.
type Planned<'a> = (&'a Site, GgmlType);

/// The targets whose columns are rounded one after the other, and those that are rounded to nearest.
fn split<'a>(
    parameters: &GgufParameters,
    sites: &'a [Site],
    layouts: &[Layout],
) -> (Vec<Planned<'a>>, Vec<Planned<'a>>) {
    let planned = sites.iter().zip(layouts).filter_map(|(site, layout)| Some((site, layout.kind()?)));
    planned.partition(|(site, kind)| parameters.method == Method::Gptq && kind.block() == 32 && multiplies(site))
}

fn sites_of(planned: &[Planned<'_>]) -> Vec<Site> {
    planned.iter().map(|(site, _)| (*site).clone()).collect()
}

fn multiplies(site: &Site) -> bool {
    !matches!(site.kind, SiteKind::Embedding { .. })
}

/// What a plan with `method: gptq` says of targets that are rounded to nearest all the same.
fn to_nearest(direct: &[Planned<'_>]) -> Option<String> {
    let (site, kind) = direct.first()?;
    let reason = if multiplies(site) { format!("{kind} has larger blocks") } else { "a lookup table".to_owned() };
    let first = format!("rounded to nearest: `{}` ({reason})", site.name);
    Some(if direct.len() > 1 { format!("{first} and {} more", direct.len() - 1) } else { first })
}

/// What the calibration rows are for, if they are looked at.
fn looked_at_for(parameters: &GgufParameters) -> Option<&'static str> {
    match (parameters.method, parameters.importance.needs_rows()) {
        (Method::Gptq, true) => Some("the importance of inputs and how errors are made up for come"),
        (Method::Gptq, false) => Some("how errors are made up for comes"),
        (Method::Nearest, true) => Some("the importance of inputs comes"),
        (Method::Nearest, false) => None,
    }
}

fn rules(parameters: &GgufParameters) -> Rules<'_> {
    Rules { mix: parameters.types, overrides: &parameters.overrides, fallback: parameters.fallback }
}

/// Why inputs cannot be watched, where they have to be.
fn unobserved(parameters: &GgufParameters, cx: &PlanCx<'_>) -> Option<Problem> {
    looked_at_for(parameters)?;
    if cx.outline.config.is_none() {
        let parameter = if parameters.importance.is_on() { "importance" } else { "method" };
        let message = "needs a model that runs, but the family of this one is unknown";
        return Some(Problem::new(format!("/{parameter}"), message).help(format!("leave `{parameter}` out")));
    }
    calibration::problem(cx)
}

/// What a layout does to the outline.
fn apply(effect: &mut Effect, site: &Site, layout: Layout, inputs: usize) {
    let Some(kind) = layout.kind() else {
        let reason = format!("its rows of {inputs} numbers are no whole blocks of any type");
        effect.skips.push((site.name.clone(), reason));
        return;
    };
    if let Layout::StandIn(wanted, _) = layout {
        effect.notes.push(format!("`{}` has {inputs} inputs, so {kind} stands in for {wanted}", site.name));
    }
    if let Some(weight) = effect.outline.weights.get_mut(&site.weight()) {
        let shape = weight.shape().to_vec();
        effect.memory = effect.memory.max((shape.iter().product::<usize>() * BYTES_PER_WEIGHT) as u64);
        *weight = WeightOutline::Blocks { shape, kind };
    }
    effect.touches.push(site.name.clone());
}

/// The squares of the inputs of all targets.
fn watched(cx: &Cx<'_>, calibration: &Calibration) -> Result<Squares, PassError> {
    let mut squares = Squares::new(cx.sites);
    calibration.watch(cx, &mut squares)?;
    match cx.sites.iter().find(|site| squares.is_zero(&site.name)) {
        Some(site) => Err(never_active(&site.name)),
        None => Ok(squares),
    }
}

/// A site's weight in blocks, rounded to nearest, and the figures of its receipt.
fn round(
    model: &Checkpoint,
    site: &Site,
    kind: GgmlType,
    importance: Option<&[f32]>,
) -> Result<(Weight, Figures), PassError> {
    let weight = FloatWeight::read(model, site)?;
    let rounded = BlockWeight::round(&weight.numbers, &weight.shape, kind, importance)?;
    let mut differences = Differences::of(&weight.numbers);
    rounded.in_parts(&mut |part| differences.add(part))?;
    let figures = rounding::told(differences.sum(), rounding::bits_of_blocks(&rounded));
    Ok((Weight::Blocks(rounded), figures))
}

/// "rounded 4 sites: 3 in Q4_K, 1 in Q6_K".
fn shown(kinds: &IndexMap<String, GgmlType>) -> String {
    let mut counts: IndexMap<GgmlType, usize> = IndexMap::new();
    kinds.values().for_each(|kind| *counts.entry(*kind).or_default() += 1);
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} in {kind}")).collect();
    format!("rounded {}: {}", counted(kinds.len(), "site"), counts.join(", "))
}

#[cfg(test)]
mod tests;
