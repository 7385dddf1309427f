//! A checkpoint's weights as variables: what the optimizer moves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use paring_model::tap::{TapWeight, WeightSource};
use paring_model::{Checkpoint, ModelError, Site, Weight};

use crate::error::{Result, TrainError};
use crate::fake::{FakeQuantization, FakeSite, HeldSite};
use crate::lora::{Adapter, Lora, LowRank};
use crate::made::MadeSite;
use crate::rng::Stream;
use crate::sparse::{Growth, MovingSite, Thinning};

/// Variables by tensor name, with masks where zeros must stay. They are f32 whatever the checkpoint stores.
pub struct Trainable {
    variables: BTreeMap<String, Var>,
    statistics: BTreeMap<String, Var>,
    masks: BTreeMap<String, Tensor>,
    frozen: BTreeSet<String>,
    /// Sites whose weights are made anew in every forward pass, by the name of the weight.
    made: BTreeMap<String, Arc<dyn MadeSite>>,
    /// Whether some of them are rounded, with their inputs.
    is_rounded: bool,
    /// Weights that become zero little by little.
    thinning: Option<Thinning>,
    /// What is trained with the weights and is no part of the model, by name.
    projections: BTreeMap<String, Var>,
    /// Variables that a network has asked for.
    used: RefCell<BTreeSet<String>>,
}

/// A copy of all variables and running statistics at one moment.
pub struct Snapshot {
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl Trainable {
    /// Copies of the checkpoint's float weights. Masked weights keep their zeros, frozen ones stay as they are.
    ///
    /// # Errors
    /// When the model is not built or a weight is quantized.
    pub fn new(model: &Checkpoint, is_frozen: impl Fn(&str) -> bool) -> Result<Self> {
        Self::of(model, is_frozen, None)
    }

    /// The same, where weights of integers become floats that are rounded to the same grid in every forward pass;
    /// `keeps_zeros` says whether integers of zero stay so.
    pub(crate) fn held(model: &Checkpoint, is_frozen: impl Fn(&str) -> bool, keeps_zeros: bool) -> Result<Self> {
        Self::of(model, is_frozen, Some(keeps_zeros))
    }

    fn of(model: &Checkpoint, is_frozen: impl Fn(&str) -> bool, keeps_zeros: Option<bool>) -> Result<Self> {
        if !model.is_built() {
            return Err(TrainError::Mismatch("the model has no weights yet, so it cannot be trained".to_owned()));
        }
        let mut this = Self {
            variables: BTreeMap::new(),
            statistics: BTreeMap::new(),
            masks: BTreeMap::new(),
            frozen: model.names().into_iter().filter(|name| is_frozen(name)).collect(),
            made: BTreeMap::new(),
            is_rounded: false,
            thinning: None,
            projections: BTreeMap::new(),
            used: RefCell::default(),
        };
        for name in model.names() {
            match (model.weight(&name)?, keeps_zeros) {
                (Weight::Quantized(like), Some(keeps_zeros)) => {
                    this.add(name.clone(), &like.dequantize()?, keeps_zeros)?;
                    let weight = (this.value(&name)?, this.masks.get(&name).cloned());
                    this.made.insert(name, Arc::new(HeldSite::new(weight, like)?));
                }
                (Weight::Quantized(_) | Weight::Blocks(_), _) => return Err(ModelError::Quantized { name }.into()),
                (Weight::Dense { tensor, masked }, _) if tensor.dtype().is_float() => {
                    this.add(name, &tensor, masked)?
                }
                (Weight::Dense { .. }, _) => {}
            }
        }
        Ok(this)
    }

    /// Rounds the weights and inputs of these sites, by name, in every forward pass. Steps that are learned are
    /// variables too: `{site}.weight_step` and `{site}.input_step`, of which some may be frozen.
    ///
    /// # Errors
    /// When a site has no weight.
    pub fn rounded(
        mut self,
        sites: &BTreeMap<String, FakeQuantization>,
        is_frozen: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        for (site, quantization) in sites {
            let name = format!("{site}.weight");
            let weight = (self.value(&name)?, self.masks.get(&name).cloned());
            self.made.insert(name, Arc::new(FakeSite::new(site, weight, quantization, &is_frozen)?));
            self.is_rounded = true;
        }
        Ok(self)
    }

    /// Adds matrices that are trained with the weights, from these first numbers, and are never stored in the model;
    /// some may be frozen.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn with_projections(
        mut self,
        first: BTreeMap<String, Tensor>,
        is_frozen: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        for (name, tensor) in first {
            if is_frozen(&name) {
                self.frozen.insert(name.clone());
            }
            self.projections.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(self)
    }

    /// Gives these sites adapters in the place of gradients of their own.
    ///
    /// # Errors
    /// When a site is no linear layer, or its weight has a mask, whose zeros an adapter would fill.
    pub fn adapted(
        mut self,
        sites: &[Site],
        lora: &Lora,
        stream: &Stream,
        is_frozen: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        for site in sites {
            let name = site.weight();
            if self.masks.contains_key(&name) {
                let message = format!("an adapter would fill the masked zeros of `{name}`");
                return Err(TrainError::Mismatch(message));
            }
            let adapter = Adapter::new(&site.name, &self.value(&name)?, lora, stream, &is_frozen)?;
            self.made.insert(name, Arc::new(adapter));
        }
        Ok(self)
    }

    /// The matrix of that name as a loss sees it, where there is one: one that is frozen has no gradient.
    pub fn projection(&self, name: &str) -> Option<Tensor> {
        Some(self.as_seen(name, self.projections.get(name)?))
    }

    /// Lets the weights of these sites become zero little by little: the smallest, or those that training moves least
    /// away from zero.
    ///
    /// # Errors
    /// When a site has no weight.
    pub fn thinned(
        mut self,
        sites: &[String],
        growth: Growth,
        by_movement: bool,
        is_frozen: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let (mut masks, mut scores) = (BTreeMap::new(), BTreeMap::new());
        for site in sites {
            let name = format!("{site}.weight");
            let weight = self.value(&name)?;
            let mask = match self.masks.get(&name) {
                Some(mask) => mask.copy()?,
                None => weight.ones_like()?.detach(),
            };
            let mask = Var::from_tensor(&mask)?;
            let view = mask.as_detached_tensor();
            if by_movement {
                let moving = MovingSite::new(site, weight, view, &is_frozen)?;
                scores.insert(name.clone(), moving.scores().clone());
                self.made.insert(name.clone(), Arc::new(moving));
            } else {
                self.masks.insert(name.clone(), view);
            }
            masks.insert(name, mask);
        }
        self.thinning = Some(Thinning::new(growth, masks, scores)?);
        Ok(self)
    }

    /// The weights that become zero little by little.
    pub(crate) fn thinning(&self) -> Option<&Thinning> {
        self.thinning.as_ref()
    }

    /// Chooses anew which of them are zero at this share of the run.
    ///
    /// # Errors
    /// When a site would have no weight left.
    pub(crate) fn thin(&self, progress: f64) -> Result<()> {
        let Some(thinning) = &self.thinning else { return Ok(()) };
        thinning.choose(progress, |name| Ok(self.value(name)?.detach()))?;
        self.constrain()
    }

    fn add(&mut self, name: String, tensor: &Tensor, masked: bool) -> Result<()> {
        let variable = Var::from_tensor(&tensor.to_dtype(DType::F32)?.copy()?)?;
        if is_statistic(&name) {
            self.statistics.insert(name, variable);
            return Ok(());
        }
        if masked {
            self.masks.insert(name.clone(), variable.as_detached_tensor().ne(0.0)?.to_dtype(DType::F32)?);
        }
        self.variables.insert(name, variable);
        Ok(())
    }

    /// The variables that the optimizer moves, by name: those that a network made of these weights uses and that are
    /// not frozen, the steps of rounded sites, and projections. Running statistics of batch norm are not among them.
    pub fn parameters(&self) -> Vec<(&str, &Var)> {
        let used = self.used.borrow();
        let moves = |(name, _): &(&String, &Var)| used.contains(*name) && !self.frozen.contains(*name);
        let weights = self.variables.iter().filter(moves).map(|(name, variable)| (name.as_str(), variable));
        let sites = self.made.iter().filter(|(name, _)| used.contains(*name));
        let projections = self.projections.iter().filter(|(name, _)| !self.frozen.contains(*name));
        let projections = projections.map(|(name, variable)| (name.as_str(), variable));
        weights.chain(sites.flat_map(|(_, site)| site.parameters())).chain(projections).collect()
    }

    /// Whether the weights of some sites are rounded.
    pub fn is_rounded(&self) -> bool {
        self.is_rounded
    }

    /// What learned steps multiply the rate of an optimizer by whose moves are as long as the rate, however large the
    /// variable: with it a step moves relative to its size as the weights do to theirs, which the factor of its
    /// gradient does for plain gradient descent (Esser et al. 2020, section 2.2). By the name of the step.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn relative_sizes(&self) -> Result<BTreeMap<String, f64>> {
        let mut sizes = BTreeMap::new();
        for site in self.made.values() {
            for (name, _) in site.parameters() {
                sizes.insert(name.to_owned(), site.relative_size(name)?.unwrap_or(1.0));
            }
        }
        Ok(sizes)
    }

    /// Everything that training changes, by name.
    pub(crate) fn state(&self) -> impl Iterator<Item = (&str, &Var)> {
        let tensors = self.variables.iter().chain(&self.statistics).chain(&self.projections);
        let tensors = tensors.map(|(name, variable)| (name.as_str(), variable));
        tensors.chain(self.made.values().flat_map(|site| site.state()))
    }

    /// The variable of that name as a network sees it: one that is frozen has no gradient.
    fn seen(&self, name: &str) -> paring_model::Result<Tensor> {
        let value = self.value(name)?;
        self.used.borrow_mut().insert(name.to_owned());
        Ok(value)
    }

    fn value(&self, name: &str) -> paring_model::Result<Tensor> {
        let variable = self.variables.get(name).ok_or_else(|| missing(name))?;
        Ok(self.as_seen(name, variable))
    }

    fn as_seen(&self, name: &str, variable: &Var) -> Tensor {
        if self.frozen.contains(name) { variable.as_detached_tensor() } else { variable.as_tensor().clone() }
    }

    /// After a step of the optimizer: sets masked entries to exactly zero again (weight decay touches them), and keeps
    /// learned steps positive.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn constrain(&self) -> Result<()> {
        for site in self.made.values() {
            site.constrain()?;
        }
        for (name, mask) in &self.masks {
            if let Some(variable) = self.variables.get(name) {
                variable.set(&(variable.as_detached_tensor() * mask)?)?;
            }
        }
        Ok(())
    }

    /// Whether every variable and running statistic is a finite number; otherwise the first that is not.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn first_not_finite(&self) -> Result<Option<&str>> {
        for (name, variable) in self.state() {
            // zero times a finite number is zero; times anything else it is not a number
            if (variable.as_detached_tensor() * 0.0)?.sum_all()?.to_scalar::<f32>()? != 0.0 {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Copies the present values.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut tensors = BTreeMap::new();
        for (name, variable) in self.state() {
            tensors.insert(name.to_owned(), variable.as_detached_tensor().copy()?);
        }
        Ok(Snapshot { tensors })
    }

    /// Sets all values back to a snapshot of the same weights.
    ///
    /// # Errors
    /// When it lacks one of them, or has one of another shape.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        for (name, variable) in self.state() {
            let tensor = snapshot.tensors.get(name).ok_or_else(|| missing(name))?;
            if tensor.dims() != variable.dims() {
                let (found, expected) = (tensor.dims(), variable.dims());
                return Err(TrainError::Mismatch(format!(
                    "tensor `{name}` has shape {found:?}, expected {expected:?}"
                )));
            }
            variable.set(tensor)?;
        }
        Ok(())
    }

    /// The adapters of sites that have one.
    pub(crate) fn adapters(&self) -> Result<Vec<LowRank>> {
        let site = |name: &str| name.trim_end_matches(".weight").to_owned();
        let adapters = self.made.iter().map(|(name, made)| made.low_rank(&site(name)));
        Ok(adapters.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Writes the variables' present values into a checkpoint, in the types that it stores; those of rounded sites as
    /// integers, and adapters as part of their weights.
    ///
    /// # Errors
    /// When candle refuses, or a rounded site saw no input.
    pub fn store(&self, model: &mut Checkpoint) -> Result<()> {
        for (name, variable) in self.variables.iter().chain(&self.statistics) {
            let stored = model.tensor(name)?.dtype();
            model.set_tensor(name, variable.as_detached_tensor().copy()?.to_dtype(stored)?);
            if self.thinning.as_ref().is_some_and(|thinning| thinning.masks().contains_key(name)) {
                model.set_masked(name, true)?;
            }
        }
        for (name, site) in &self.made {
            let stored = model.tensor(name)?.dtype();
            model.set_weight(
                name,
                match site.finished()? {
                    Weight::Dense { tensor, masked } => Weight::Dense { tensor: tensor.to_dtype(stored)?, masked },
                    weight => weight,
                },
            );
        }
        Ok(())
    }
}

/// Running statistics follow the batches; the optimizer must not touch them.
fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

fn missing(name: &str) -> ModelError {
    ModelError::MissingTensor { name: name.to_owned() }
}

impl WeightSource for Trainable {
    fn site(&self, name: &str) -> paring_model::Result<TapWeight> {
        let name = format!("{name}.weight");
        let tensor = self.seen(&name)?;
        if let Some(site) = self.made.get(&name) {
            return Ok(TapWeight::Provided(site.clone()));
        }
        Ok(match self.masks.get(&name) {
            Some(mask) => TapWeight::Masked { tensor, mask: mask.clone() },
            None => TapWeight::Dense(tensor),
        })
    }

    fn tensor(&self, name: &str) -> paring_model::Result<Tensor> {
        if let Some(statistic) = self.statistics.get(name) {
            return Ok(statistic.as_detached_tensor());
        }
        self.seen(name)
    }

    fn update(&self, name: &str, value: &Tensor) -> paring_model::Result<()> {
        let statistic = self.statistics.get(name).ok_or_else(|| missing(name))?;
        Ok(statistic.set(&value.detach())?)
    }
}
