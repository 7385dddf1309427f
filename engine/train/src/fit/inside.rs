//! What is looked at within a network while it runs: outputs of blocks, and of the linear layers in them.

use candle_core::Tensor;
use paring_model::tap::Observer;
use paring_model::{Forward, Input, ModelError, Network};

use crate::error::{Result, TrainError};

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inside {
    /// Blocks, by number.
    pub(super) blocks: Vec<usize>,
    /// Linear layers, by the names of their sites.
    pub(super) sites: Vec<String>,
}

/// What a model says of a batch.
pub(super) struct Said {
    /// Raw outputs.
    pub(super) outputs: Tensor,
    /// Outputs of the blocks that were asked for, in that order.
    pub(super) hidden: Vec<Tensor>,
    /// Outputs of the linear layers that were asked for, in that order.
    pub(super) sites: Vec<Tensor>,
}

impl Said {
    /// Nothing but raw outputs.
    pub(super) fn outputs(outputs: Tensor) -> Self {
        Self { outputs, hidden: Vec::new(), sites: Vec::new() }
    }

    /// The same without the graph behind it.
    pub(super) fn detached(&self) -> Self {
        let detached = |tensors: &[Tensor]| tensors.iter().map(Tensor::detach).collect();
        Self { outputs: self.outputs.detach(), hidden: detached(&self.hidden), sites: detached(&self.sites) }
    }
}

/// Runs a network, and keeps what was asked for.
pub(super) fn run(network: &dyn Network, input: &Input, inside: &Inside, cx: &mut Forward<'_>) -> Result<Said> {
    let mut taps = Taps { sites: &inside.sites, kept: vec![None; inside.sites.len()] };
    let (outputs, hidden) = if inside.sites.is_empty() {
        blocks(network, input, &inside.blocks, cx)?
    } else {
        let mut watched = Forward { observer: Some(&mut taps), statistics: cx.statistics, ..Forward::inference() };
        watched.mode = cx.mode;
        if let Some(uniform) = &mut cx.uniform {
            watched.uniform = Some(&mut **uniform);
        }
        blocks(network, input, &inside.blocks, &mut watched)?
    };
    let missing = |site: &String| TrainError::Model(ModelError::MissingTensor { name: format!("{site}.weight") });
    let sites = inside.sites.iter().zip(taps.kept).map(|(site, kept)| kept.ok_or_else(|| missing(site)));
    Ok(Said { outputs, hidden, sites: sites.collect::<Result<_>>()? })
}

fn blocks(
    network: &dyn Network,
    input: &Input,
    blocks: &[usize],
    cx: &mut Forward<'_>,
) -> Result<(Tensor, Vec<Tensor>)> {
    if blocks.is_empty() {
        return Ok((network.forward(input, cx)?, Vec::new()));
    }
    let (mut x, shared) = network.enter(input)?;
    let mut kept: Vec<Option<Tensor>> = vec![None; blocks.len()];
    for index in 0..network.blocks() {
        x = network.block(index, &x, &shared, cx)?;
        for (block, kept) in blocks.iter().zip(&mut kept) {
            if *block == index {
                *kept = Some(x.clone());
            }
        }
    }
    let missing = |block: usize| TrainError::Mismatch(format!("there is no block {block}, but {}", network.blocks()));
    let hidden = blocks.iter().zip(kept).map(|(block, kept)| kept.ok_or_else(|| missing(*block)));
    Ok((x, hidden.collect::<Result<_>>()?))
}

/// Keeps outputs of linear layers.
struct Taps<'a> {
    sites: &'a [String],
    kept: Vec<Option<Tensor>>,
}

impl Observer for Taps<'_> {
    fn see(&mut self, _: &str, _: &Tensor) -> paring_model::Result<()> {
        Ok(())
    }

    fn given(&mut self, name: &str, output: &Tensor) -> paring_model::Result<()> {
        for (site, kept) in self.sites.iter().zip(&mut self.kept) {
            if site == name {
                *kept = Some(output.clone());
            }
        }
        Ok(())
    }
}
