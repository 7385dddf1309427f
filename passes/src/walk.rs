//! The walk over the blocks of a model that calibrated passes share: calibration activations stay, one block's weights
//! live at a time, and a site sees what the sites before it, as the pass has left them, make of the calibration rows.
//!
//! Each block is a unit of the stage's journal: its new weights, what is told of them, and the activations after it.

mod groups;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use indexmap::IndexMap;
use paring_model::tap::{LateWeights, TapWeight};
use paring_model::{Checkpoint, Input, IntegerWeight, Network, Shared, Site, Weight};
use serde_json::{Value, json};

use crate::calibration::Calibration;
use crate::context::Cx;
use crate::coroutine::{Batch, Stop};
use crate::error::PassError;

pub(crate) use groups::{Group, columns, groups, multiplying, untouched};

/// Figures of one site's receipt.
pub(crate) type Figures = IndexMap<String, f64>;

/// What a pass does on the walk.
pub(crate) trait Visitor {
    /// Sees the input, [rows, in], that the sites of a group share, for one batch; padding is left out.
    ///
    /// # Errors
    /// What it cannot digest ends the walk.
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError>;

    /// All batches were seen: the new weights of the group's sites, each with its figures; none where they come once
    /// the block is done.
    ///
    /// # Errors
    /// Why there are none.
    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError>;

    /// All groups of a block were seen: changes that leave the block's outputs as they are, or nearly so. What the next
    /// blocks see is what the block made before.
    ///
    /// # Errors
    /// Why they cannot be made.
    fn finish(&mut self, model: &mut Checkpoint) -> Result<Finished, PassError> {
        let _ = model;
        Ok(Finished::default())
    }
}

/// What a visitor did at the end of a block.
#[derive(Default)]
pub(crate) struct Finished {
    /// Names of the tensors that changed.
    pub(crate) tensors: Vec<String>,
    /// Figures of the sites that changed.
    pub(crate) figures: Vec<(String, Figures)>,
    /// The changes come with a later block: nothing of this one can be kept yet.
    pub(crate) waits: bool,
}

/// Runs the calibration rows through the model, block by block, and gives each group of targets to the visitor. The
/// model with the new weights, and the figures of each site.
///
/// # Errors
/// When the model does not run, a site is never reached, the visitor refuses, or the person pressed ctrl-C.
pub(crate) fn walk(
    cx: &Cx<'_>,
    model: Checkpoint,
    calibration: &Calibration,
    visitor: &mut dyn Visitor,
) -> Result<(Checkpoint, IndexMap<String, Figures>), PassError> {
    run(cx, cx.sites, model, calibration, visitor, true)
}

/// As [`walk`], at any sites.
///
/// # Errors
/// As [`walk`].
pub(crate) fn walk_at(
    cx: &Cx<'_>,
    sites: &[Site],
    model: Checkpoint,
    calibration: &Calibration,
    visitor: &mut dyn Visitor,
) -> Result<(Checkpoint, IndexMap<String, Figures>), PassError> {
    run(cx, sites, model, calibration, visitor, true)
}

fn run(
    cx: &Cx<'_>,
    sites: &[Site],
    model: Checkpoint,
    calibration: &Calibration,
    visitor: &mut dyn Visitor,
    keeps: bool,
) -> Result<(Checkpoint, IndexMap<String, Figures>), PassError> {
    let weights = LateWeights::new(model.clone());
    let network = model.network_from(&weights)?;
    let batches = calibration.batches.iter().map(|input| BatchState::enter(network.as_ref(), input));
    let mut walk = Walk {
        cx,
        weights: &weights,
        open: groups(sites),
        batches: batches.collect::<Result<_, PassError>>()?,
        model,
        figures: IndexMap::new(),
        total: sites.len(),
        keeps,
    };
    let mut block = if keeps { walk.resume(network.blocks()) } else { 0 };
    while !walk.open.is_empty() && block < network.blocks() {
        walk.block(network.as_ref(), block, visitor)?;
        block += 1;
    }
    if let Some(group) = walk.open.first() {
        return Err(PassError::Failed(format!("`{}` is never used when the model runs", group.name())));
    }
    Ok((walk.model, walk.figures))
}

/// As [`walk`], at any sites, for a visitor that changes nothing: nothing is kept.
///
/// # Errors
/// As [`walk`].
pub(crate) fn look(
    cx: &Cx<'_>,
    sites: &[Site],
    model: &Checkpoint,
    calibration: &Calibration,
    visitor: &mut dyn Visitor,
) -> Result<(), PassError> {
    run(cx, sites, model.clone(), calibration, visitor, false).map(drop)
}

struct Walk<'a> {
    cx: &'a Cx<'a>,
    weights: &'a LateWeights,
    /// Groups that no batch has come to yet.
    open: Vec<Group>,
    batches: Vec<BatchState>,
    model: Checkpoint,
    figures: IndexMap<String, Figures>,
    total: usize,
    /// Blocks are units of the stage's journal.
    keeps: bool,
}

/// One batch between two blocks.
pub(crate) struct BatchState {
    /// What the next block reads.
    pub(crate) x: Tensor,
    /// What all blocks read.
    pub(crate) shared: Shared,
    /// Numbers of the tokens that are not padding, where there is padding; and how many there are with it.
    tokens: Option<(Tensor, usize)>,
}

impl BatchState {
    /// Before the first block.
    ///
    /// # Errors
    /// When the input does not fit.
    pub(crate) fn enter(network: &dyn Network, input: &Input) -> Result<Self, PassError> {
        let (x, shared) = network.enter(input)?;
        let tokens = match input {
            Input::Tokens(tokens) => tokens.mask.as_ref().map(present).transpose()?,
            _ => None,
        };
        Ok(Self { x, shared, tokens })
    }

    /// Rows of a site's input that are not padding.
    fn without_padding(&self, input: &Tensor) -> Result<Tensor, PassError> {
        match &self.tokens {
            Some((kept, all)) if input.rank() == 2 && input.dim(0)? == *all => Ok(input.index_select(kept, 0)?),
            _ => Ok(input.clone()),
        }
    }

    /// What the last block made of the batch, one answer a row, [answers, width]; those to padding are left out.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn answers(&self, outputs: &Tensor) -> Result<Tensor, PassError> {
        self.without_padding(&outputs.flatten_to(outputs.rank().saturating_sub(2))?)
    }
}

/// Numbers of the ones in a mask [rows, length], and how many numbers it has.
fn present(mask: &Tensor) -> Result<(Tensor, usize), PassError> {
    let mask = mask.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
    let kept: Vec<u32> = (0..).zip(&mask).filter(|(_, one)| **one != 0).map(|(number, _)| number).collect();
    Ok((Tensor::new(kept, &candle_core::Device::Cpu)?, mask.len()))
}

impl Walk<'_> {
    /// Runs one block; what was open in it is settled after.
    fn block(&mut self, network: &dyn Network, index: usize, visitor: &mut dyn Visitor) -> Result<(), PassError> {
        let mut settled = Vec::new();
        let shared: Vec<Shared> = self.batches.iter().map(|batch| batch.shared.clone()).collect();
        let outputs = std::thread::scope(|scope| {
            let start =
                |(batch, shared): (&BatchState, _)| Batch::new(scope, network, index, (batch.x.clone(), shared));
            let mut running: Vec<Option<Batch<'_>>> = self.batches.iter().zip(&shared).map(start).map(Some).collect();
            let mut outputs = vec![None; running.len()];
            loop {
                let group = self.advance(&mut running, &mut outputs, visitor)?;
                let Some(group) = group else { break };
                settled.extend(self.settle(&group, visitor)?);
                if self.open.is_empty() {
                    return Ok(None); // Nothing after this is looked at.
                }
            }
            Ok::<_, PassError>(Some(outputs))
        })?;
        for (batch, output) in self.batches.iter_mut().zip(outputs.into_iter().flatten()) {
            batch.x = output.unwrap_or_else(|| batch.x.clone());
        }
        let Finished { tensors, figures, waits } = visitor.finish(&mut self.model)?;
        let sites = figures.iter().map(|(site, _)| site.clone());
        settled.extend(sites);
        self.figures.extend(figures);
        if waits {
            return Ok(());
        };
        if self.keeps {
            self.keep(index, &settled, tensors)?;
        }
        self.model.outline().sites()?.iter().for_each(|site| self.weights.forget(&site.name));
        Ok(())
    }

    /// Every batch runs on to the next open group, or through the block.
    fn advance(
        &self,
        running: &mut [Option<Batch<'_>>],
        outputs: &mut [Option<Tensor>],
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Group>, PassError> {
        let mut reached = None;
        for (number, ((slot, output), state)) in running.iter_mut().zip(outputs).zip(&self.batches).enumerate() {
            let Some(mut batch) = slot.take() else { continue };
            loop {
                self.cx.check_cancelled()?;
                let (stop, waiting) = batch.go_on()?;
                batch = waiting;
                match stop {
                    Stop::Through(through) => {
                        *output = Some(through);
                        break;
                    }
                    Stop::At(name, input) => {
                        let Some(group) = self.open_at(&name) else { continue };
                        self.tell(&name, number);
                        visitor.see(&group, &state.without_padding(&input)?)?;
                        reached = Some(group);
                        *slot = Some(batch);
                        break;
                    }
                }
            }
        }
        Ok(reached)
    }

    fn open_at(&self, site: &str) -> Option<Group> {
        self.open.iter().find(|group| group.sites.iter().any(|member| member.name == site)).cloned()
    }

    fn tell(&self, name: &str, batch: usize) {
        let done = self.figures.len();
        self.cx.services.progress(done, self.total, &format!("{name}, batch {} of {}", batch + 1, self.batches.len()));
    }

    /// The new weights of a group take the place of the old; the sites' names.
    fn settle(&mut self, group: &Group, visitor: &mut dyn Visitor) -> Result<Vec<String>, PassError> {
        let new = visitor.settle(group, &self.model)?;
        let settled = group.sites.iter().take(new.len()).map(|site| site.name.clone()).collect();
        self.open.retain(|open| open.name() != group.name());
        for (site, (weight, figures)) in group.sites.iter().zip(new) {
            self.model.set_weight(&site.weight(), weight);
            self.weights.replace(&site.name, stored(&self.model, site)?);
            self.figures.insert(site.name.clone(), figures);
        }
        Ok(settled)
    }

    /// Keeps what a block came to.
    fn keep(&mut self, index: usize, settled: &[String], tensors: Vec<String>) -> Result<(), PassError> {
        let mut names: Vec<String> = settled.iter().map(|site| format!("{site}.weight")).collect();
        names.extend(tensors);
        let told: BTreeMap<&String, &Figures> =
            settled.iter().filter_map(|site| Some((site, self.figures.get(site)?))).collect();
        let kept = self.cx.services.keep(&block_unit(index), &self.model.part(&names), &json!(told))?;
        self.model.adopt(kept);
        let activations = self.batches.iter().enumerate();
        let activations = activations.map(|(number, batch)| (format!("batch.{number:06}"), batch.x.clone()));
        if !self.open.is_empty() {
            let part = Checkpoint::of_tensors(activations);
            self.cx.services.keep(&activations_unit(index), &part, &Value::Null)?;
        }
        if let Some(before) = index.checked_sub(1) {
            self.cx.services.discard(&activations_unit(before));
        }
        Ok(())
    }

    /// Takes over what an earlier run kept; the block to go on with.
    fn resume(&mut self, blocks: usize) -> usize {
        let last =
            (0..blocks).rev().find_map(|index| Some((index, self.cx.services.kept(&activations_unit(index))?.0)));
        let Some((last, activations)) = last else { return 0 };
        let kept: Option<Vec<_>> = (0..=last).map(|index| self.cx.services.kept(&block_unit(index))).collect();
        let inputs = (0..self.batches.len()).map(|number| activations.tensor(&format!("batch.{number:06}")).ok());
        let (Some(kept), Some(inputs)) = (kept, inputs.collect::<Option<Vec<Tensor>>>()) else { return 0 };
        for (part, note) in kept {
            let told: IndexMap<String, Figures> = serde_json::from_value(note).unwrap_or_default();
            self.open.retain(|group| group.sites.iter().all(|site| !told.contains_key(&site.name)));
            self.figures.extend(told);
            self.model.adopt(part);
        }
        for (batch, x) in self.batches.iter_mut().zip(inputs) {
            batch.x = x;
        }
        last + 1
    }
}

/// What the site multiplies with once its weight is that of the model. Integers run as they will in the finished model;
/// blocks as the numbers that they stand for, which is faster for many rows.
fn stored(model: &Checkpoint, site: &Site) -> Result<TapWeight, PassError> {
    Ok(match model.weight(&site.weight())? {
        Weight::Quantized(weight) => TapWeight::Integers(Arc::new(IntegerWeight::new(&weight))),
        _ => TapWeight::Dense(model.tensor(&site.weight())?.to_dtype(DType::F32)?),
    })
}

fn block_unit(index: usize) -> String {
    format!("block-{index:05}")
}

fn activations_unit(index: usize) -> String {
    format!("activations-{index:05}")
}
