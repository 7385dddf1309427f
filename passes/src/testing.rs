//! What tests of passes share: an engine that does nothing, tiny tables and models, and one call that configures,
//! plans and runs a pass and checks that the plan came true.

pub(crate) mod transformers;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use candle_core::{Device, Tensor};
use indexmap::IndexMap;
use paring_data::{Dataset, Part, Parts};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Inputs, Outputs, families};
use paring_train::Stream;
use serde_json::Value;

use crate::builtin;
use crate::context::{Cx, Services, Trial};
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, NamedFile, NamedModel, Step};
use crate::receipt::Outcome;

type MeasureFn = dyn Fn(&Checkpoint) -> f64;

type NestedFn = dyn Fn(&Checkpoint) -> Checkpoint;

type TrialFn = dyn Fn(usize, &IndexMap<String, Value>) -> Result<Trial, PassError>;

/// An engine that records progress and runs trials through a closure.
#[derive(Default)]
pub(crate) struct FakeServices {
    /// What ctrl-C would set.
    pub cancelled: Cell<bool>,
    /// Every progress text.
    pub told: RefCell<Vec<String>>,
    /// What a trial does.
    pub trial: Option<Box<TrialFn>>,
    /// What the nested stages make of a model.
    pub nested: Option<Box<NestedFn>>,
    /// What a model measures.
    pub measure: Option<Box<MeasureFn>>,
    /// Units that were kept, where there is a journal.
    pub journal: Option<RefCell<BTreeMap<String, (Checkpoint, Value)>>>,
}

impl Services for FakeServices {
    fn progress(&self, done: usize, total: usize, what: &str) {
        self.told.borrow_mut().push(format!("{done}/{total} {what}"));
    }

    fn cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn trial(&self, number: usize, _: &Checkpoint, bindings: &IndexMap<String, Value>) -> Result<Trial, PassError> {
        self.trial.as_ref().expect("the test has no trials")(number, bindings)
    }

    fn nested(&self, model: &Checkpoint) -> Result<Checkpoint, PassError> {
        Ok(self.nested.as_ref().expect("the test has no nested stages")(model))
    }

    fn measure(&self, name: &str, model: &Checkpoint, _: Part) -> Result<f64, PassError> {
        let missing = || PassError::Failed(format!("no `{name}` in tests"));
        self.measure.as_ref().map(|measure| measure(model)).ok_or_else(missing)
    }

    fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, PassError> {
        if let Some(journal) = &self.journal {
            journal.borrow_mut().insert(unit.to_owned(), (part.clone(), note.clone()));
        }
        Ok(part.clone())
    }

    fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
        self.journal.as_ref()?.borrow().get(unit).cloned()
    }
}

/// A pass under test: parameters, data, engine. See [`Bench::run`].
pub(crate) struct Bench {
    /// The data, if any.
    pub data: Option<(Dataset, Parts)>,
    /// The engine.
    pub services: FakeServices,
    /// The recipe's measures.
    pub measures: Vec<String>,
    /// Nested stages that a sweep plans with.
    pub nested_stages: usize,
    /// Files by the paths that parameters name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Models by the paths that parameters name.
    pub models: BTreeMap<String, Checkpoint>,
}

impl Bench {
    /// No data.
    pub fn empty() -> Self {
        Self {
            data: None,
            services: FakeServices::default(),
            measures: Vec::new(),
            nested_stages: 0,
            files: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }

    /// Every row is a training row and a calibration row; there are no others.
    pub fn with_rows(dataset: Dataset) -> Self {
        let rows: Vec<usize> = (0..dataset.rows()).collect();
        let parts = Parts { train: rows.clone(), calibrate: rows, ..Parts::default() };
        Self { data: Some((dataset, parts)), ..Self::empty() }
    }

    /// The pass with its parameters and the files that they name.
    fn configured<D: Definition>(&self, parameters: &Value) -> Result<Box<dyn Step>, Vec<Problem>> {
        let mut step = builtin::pass::<D>().configure(parameters)?;
        for NamedFile { pointer, path } in step.files() {
            step.supply(pointer, &self.files[&path]).map_err(|problem| vec![problem])?;
        }
        for NamedModel { pointer, path } in step.models() {
            step.supply_model(&pointer, self.models[&path].clone());
        }
        Ok(step)
    }

    /// Plans the pass on the model.
    pub fn plan<D: Definition>(&self, parameters: &Value, model: &Checkpoint) -> Result<Effect, Vec<Problem>> {
        let step = self.configured::<D>(parameters)?;
        let outline = model.outline();
        let sites = if model.is_built() { outline.sites().unwrap() } else { Vec::new() };
        let nested = self.services.nested.as_ref().map(|nested| nested(model).outline());
        step.plan(&PlanCx {
            outline: &outline,
            sites: &sites,
            parts: self.data.as_ref().map(|(_, parts)| parts),
            nested: nested.as_ref(),
            nested_stages: self.nested_stages,
            measures: &self.measures,
        })
    }

    /// What a pass is given, with all sites of the model as targets.
    pub fn with_cx<T>(&self, model: &Checkpoint, run: impl FnOnce(&mut Cx<'_>) -> T) -> T {
        self.cx(model, &self.services, run)
    }

    fn cx<T>(&self, model: &Checkpoint, services: &dyn Services, run: impl FnOnce(&mut Cx<'_>) -> T) -> T {
        let sites = if model.is_built() { model.outline().sites().unwrap() } else { Vec::new() };
        run(&mut Cx {
            stage: "test",
            sites: &sites,
            data: self.data.as_ref().map(|(dataset, parts)| (dataset, parts)),
            stream: Stream::new(7).split("test"),
            services,
        })
    }

    /// Plans and runs the pass on all sites; where the plan says it is exact, it must come true.
    pub fn run<D: Definition>(&self, parameters: &Value, model: &Checkpoint) -> Result<Outcome, PassError> {
        self.run_with::<D>(parameters, model, &self.services)
    }

    /// The same with another engine.
    pub fn run_with<D: Definition>(
        &self,
        parameters: &Value,
        model: &Checkpoint,
        services: &dyn Services,
    ) -> Result<Outcome, PassError> {
        let effect = self.plan::<D>(parameters, model).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let step = self.configured::<D>(parameters).unwrap();
        let outcome = self.cx(model, services, |cx| step.run(cx, model.clone()))?;
        if effect.exact {
            assert_eq!(outcome.model.outline().weights, effect.outline.weights, "the plan did not come true");
            assert_eq!(outcome.model.outline().config, effect.outline.config, "the plan did not come true");
        }
        Ok(outcome)
    }
}

/// Number columns `x0`, `x1`, ... from rows of features, and a text column `label`.
pub(crate) fn classes(rows: &[&[f64]], labels: &[&str]) -> Dataset {
    let labels: ArrayRef = Arc::new(StringArray::from(labels.to_vec()));
    dataset(rows, labels)
}

/// Number columns `x0`, `x1`, ... from rows of features, and a number column `label`.
pub(crate) fn numbers(rows: &[&[f64]], targets: &[f64]) -> Dataset {
    let targets: ArrayRef = Arc::new(Float64Array::from(targets.to_vec()));
    dataset(rows, targets)
}

fn dataset(rows: &[&[f64]], label: ArrayRef) -> Dataset {
    let column =
        |index: usize| -> ArrayRef { Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row[index]))) };
    let mut columns: Vec<(String, ArrayRef)> = (0..rows[0].len()).map(|i| (format!("x{i}"), column(i))).collect();
    columns.push(("label".to_owned(), label));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Dataset { batch, image: None, paths: Vec::new(), digest: String::new() }
}

/// Inputs that read the columns `x0`, `x1`, ... as they are.
pub(crate) fn inputs(width: usize) -> Inputs {
    let column = |index| ColumnEncoding { name: format!("x{index}"), encoding: Encoding::Number { fill: None } };
    Inputs { columns: (0..width).map(column).collect(), steps: Vec::new(), shape: vec![width] }
}

/// Classes of the column `label`.
pub(crate) fn labels(names: &[&str]) -> Outputs {
    Outputs::Classify { column: "label".to_owned(), labels: names.iter().map(|&name| name.to_owned()).collect() }
}

/// An mlp without weights.
pub(crate) fn unbuilt(hidden: &[usize], inputs: Inputs, outputs: Outputs) -> Checkpoint {
    Checkpoint::unbuilt(mlp(hidden), inputs, outputs)
}

/// An mlp whose weights are small and all different.
pub(crate) fn built(hidden: &[usize], inputs: Inputs, outputs: Outputs) -> Checkpoint {
    let mut next = 0_u32;
    let mut fill = |_: &str, buffer: &mut [f32]| {
        for number in buffer {
            next = (next * 29 + 17) % 101;
            *number = next as f32 / 101.0;
        }
    };
    families::initialize(&mlp(hidden), &inputs, &outputs, &mut fill).unwrap()
}

/// Bytes of a model's weights file.
pub(crate) fn saved_size(model: &Checkpoint) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    model.save(directory.path()).unwrap();
    std::fs::metadata(directory.path().join("model.safetensors")).unwrap().len()
}

/// A tensor of rows.
pub(crate) fn matrix(rows: &[&[f32]]) -> Tensor {
    let data: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    Tensor::from_vec(data, (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

/// Settings of an mlp.
pub(crate) fn mlp(hidden: &[usize]) -> Spec {
    Spec::Mlp(MlpSpec { hidden: hidden.to_vec(), activation: Activation::Relu, dropout: 0.0 })
}
