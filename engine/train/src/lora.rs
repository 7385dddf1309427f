//! Low-rank adaptation (Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1): a weight
//! stays as it is, and the product of two narrow matrices that is added to it is trained.

use candle_core::{Tensor, Var};
use paring_model::tap::{Added, WeightProvider};
use paring_model::{Mode, Outline, Outputs, Role, Site, SiteKind, Task, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fit::matches_one;
use crate::made::MadeSite;
use crate::rng::Stream;

/// Adapters of low rank, trained in the place of whole weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rank of the adapters: the width of the two matrices of each.
    #[schemars(range(min = 1, max = 65536))]
    pub rank: usize,
    /// What an adapter adds to its weight is multiplied by alpha / rank.
    #[schemars(range(min = 1e-3, max = 1e6))]
    pub alpha: f64,
    /// Rate at which numbers of what an adapter reads are dropped while it is trained, from 0 (inclusive) to 1
    /// (exclusive).
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// Layers that get an adapter: globs over the names of sites. All linear layers but the output layer, where not
    /// given.
    #[schemars(inner(length(min = 1)), example = targets_example())]
    pub targets: Vec<String>,
    /// Whether the adapters are left beside the model too, as `STAGE.adapter`, a directory that peft opens. For models
    /// that embed or continue texts.
    pub keep_adapters: bool,
}

/// A trained adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// The site.
    pub site: String,
    /// Its input and output width.
    pub sides: [usize; 2],
    /// The narrowing matrix, [rank, in], row by row.
    pub down: Vec<f32>,
    /// The widening matrix, [out, rank], row by row.
    pub up: Vec<f32>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, dropout: 0.0, targets: Vec::new(), keep_adapters: false }
    }
}

fn targets_example() -> [&'static str; 2] {
    ["*.query", "*.value"]
}

impl Lora {
    /// The sites that get an adapter. With `targets` none is left out for its role.
    pub fn sites(&self, sites: Vec<Site>) -> Vec<Site> {
        let wanted = |site: &Site| match self.targets.as_slice() {
            [] => site.role != Role::Head,
            globs => matches_one(globs, &site.name),
        };
        sites.into_iter().filter(|site| site.kind == SiteKind::Linear && wanted(site)).collect()
    }

    /// Names of the matrices that are trained for a site: [rank, in] and [out, rank].
    pub fn names(site: &str) -> [String; 2] {
        [format!("{site}.lora_A"), format!("{site}.lora_B")]
    }

    /// Weights that are trained beside the adapters: the output layer of a model that answers with classes or numbers,
    /// since it may be new.
    pub fn trains_too(outline: &Outline) -> Vec<String> {
        let answers = matches!(outline.outputs.as_ref().map(Outputs::task), Some(Task::Classify | Task::Regress));
        let heads = outline.sites().unwrap_or_default().into_iter().filter(|site| answers && site.role == Role::Head);
        let named = heads.flat_map(|site| [format!("{}.weight", site.name), format!("{}.bias", site.name)]);
        named.filter(|name| outline.weights.contains_key(name)).collect()
    }
}

/// A site with its adapter.
#[derive(Debug)]
pub(crate) struct Adapter {
    /// [out, in], without gradient.
    weight: Tensor,
    down: Var,
    up: Var,
    names: [String; 2],
    moves: [bool; 2],
    scale: f64,
    dropout: f64,
}

impl Adapter {
    /// For the site `name` with this weight, [out, in]. The narrowing matrix is drawn as the reference implementation
    /// draws it, uniformly within 1 / sqrt(in); the widening one is zero, so that at first nothing is added.
    pub(crate) fn new(
        name: &str,
        weight: &Tensor,
        lora: &Lora,
        stream: &Stream,
        is_frozen: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let down = stream.split("lora").split(name).matrix(lora.rank, inputs)?.to_device(weight.device())?;
        let names = Lora::names(name);
        Ok(Self {
            weight: weight.detach(),
            down: Var::from_tensor(&down)?,
            up: Var::from_tensor(&Tensor::zeros((outputs, lora.rank), weight.dtype(), weight.device())?)?,
            moves: [!is_frozen(&names[0]), !is_frozen(&names[1])],
            names,
            scale: lora.alpha / lora.rank as f64,
            dropout: lora.dropout,
        })
    }
}

impl WeightProvider for Adapter {
    fn weight(&self) -> paring_model::Result<Tensor> {
        Ok(self.weight.clone())
    }

    fn input(&self, x: &Tensor, _: Mode) -> paring_model::Result<Tensor> {
        Ok(x.clone())
    }

    fn added(&self) -> paring_model::Result<Option<Added>> {
        let (narrow, wide) = (self.down.as_tensor().clone(), (self.up.as_tensor() * self.scale)?);
        Ok(Some(Added { narrow, wide, dropout: self.dropout }))
    }
}

impl MadeSite for Adapter {
    fn parameters(&self) -> Vec<(&str, &Var)> {
        let all = self.state().into_iter().zip(self.moves);
        all.filter(|(_, moves)| *moves).map(|(variable, _)| variable).collect()
    }

    fn state(&self) -> Vec<(&str, &Var)> {
        vec![(self.names[0].as_str(), &self.down), (self.names[1].as_str(), &self.up)]
    }

    fn low_rank(&self, site: &str) -> Result<Option<LowRank>> {
        let numbers = |matrix: &Var| matrix.as_detached_tensor().flatten_all()?.to_vec1::<f32>();
        let (outputs, inputs) = self.weight.dims2()?;
        let (site, sides) = (site.to_owned(), [inputs, outputs]);
        Ok(Some(LowRank { site, sides, down: numbers(&self.down)?, up: numbers(&self.up)? }))
    }

    fn finished(&self) -> Result<Weight> {
        let added = (self.up.as_detached_tensor().matmul(&self.down.as_detached_tensor())? * self.scale)?;
        Ok(Weight::Dense { tensor: (&self.weight + added)?, masked: false })
    }
}
