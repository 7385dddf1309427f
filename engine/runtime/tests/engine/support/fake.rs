//! Passes that do what a test needs done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use indexmap::IndexMap;
use paring_model::{Checkpoint, Outline};
use paring_passes::{Cx, Effect, Needs, Outcome, Pass, PassError, PassInfo, PlanCx, Problem, Receipt, Step};
use serde_json::{Value, json};

type Act = dyn Fn(&Value, &mut Cx<'_>, Checkpoint) -> Result<Outcome, PassError> + Send + Sync;
type Foresee = dyn Fn(&Value, &mut Outline) + Send + Sync;

/// A pass made of closures. It takes any parameters and works on any site.
#[derive(Clone)]
pub struct Fake {
    info: PassInfo,
    exact: bool,
    act: Arc<Act>,
    foresee: Arc<Foresee>,
    runs: Arc<AtomicUsize>,
}

impl Fake {
    /// A pass that predicts the same tensors and does what `act` does.
    pub fn new(
        id: &'static str,
        act: impl Fn(&Value, &mut Cx<'_>, Checkpoint) -> Result<Outcome, PassError> + Send + Sync + 'static,
    ) -> Self {
        let info = PassInfo { id, summary: "does what a test needs done", version: 1, needs: &[], leaves: &[] };
        Self { info, exact: true, act: Arc::new(act), foresee: Arc::new(|_, _| ()), runs: Arc::default() }
    }

    /// A pass that only changes the model.
    pub fn changing(id: &'static str, change: impl Fn(&mut Checkpoint) + Send + Sync + 'static) -> Self {
        Self::new(id, move |_, _, mut model| {
            change(&mut model);
            done(model)
        })
    }

    /// What it predicts.
    pub fn foresees(mut self, foresee: impl Fn(&Value, &mut Outline) + Send + Sync + 'static) -> Self {
        self.foresee = Arc::new(foresee);
        self
    }

    /// Says that its prediction is not certain.
    pub fn unsure(mut self) -> Self {
        self.exact = false;
        self
    }

    /// Another version.
    pub fn version(mut self, version: u32) -> Self {
        self.info.version = version;
        self
    }

    /// What it needs.
    pub fn needs(mut self, needs: &'static [Needs]) -> Self {
        self.info.needs = needs;
        self
    }

    /// How often it ran.
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Pass for Fake {
    fn info(&self) -> PassInfo {
        self.info.clone()
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Step>, Vec<Problem>> {
        Ok(Box::new(FakeStep { fake: self.clone(), parameters: parameters.clone() }))
    }
}

struct FakeStep {
    fake: Fake,
    parameters: Value,
}

impl Step for FakeStep {
    fn resolved(&self) -> Value {
        self.parameters.clone()
    }

    fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut outline = cx.nested.unwrap_or(cx.outline).clone();
        (self.fake.foresee)(&self.parameters, &mut outline);
        let touches = cx.sites.iter().map(|site| site.name.clone()).collect();
        Ok(Effect { touches, exact: self.fake.exact, ..Effect::same_shape(&outline) })
    }

    fn run(&self, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        self.fake.runs.fetch_add(1, Ordering::SeqCst);
        (self.fake.act)(&self.parameters, cx, model)
    }
}

/// A model and a receipt that says it worked.
pub fn done(model: Checkpoint) -> Result<Outcome, PassError> {
    Ok(Outcome { model, receipt: Receipt { summary: "it worked".to_owned(), ..Receipt::default() } })
}

/// Replaces a tensor by one of the same shape.
pub fn set(model: &mut Checkpoint, name: &str, values: &[f32]) {
    let shape = model.tensor(name).unwrap().dims().to_vec();
    model.set_tensor(name, Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap());
}

/// The numbers of a tensor.
pub fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `fake/shift`: adds `by` to the first bias of the head. On the test rows of a [`super::Scene`] each whole number that
/// the sum of all shifts passes costs a tenth of accuracy, up to five.
pub fn shift() -> Fake {
    Fake::new("fake/shift", |parameters, _, mut model| {
        let mut bias = numbers(&model, "head.bias");
        bias[0] += parameters["by"].as_f64().unwrap() as f32;
        set(&mut model, "head.bias", &bias);
        done(model)
    })
}

/// `fake/sweep`: one trial for each entry of `values`, bound to `$by`; the model of the last.
pub fn sweep() -> Fake {
    let run = |parameters: &Value, cx: &mut Cx<'_>, model: Checkpoint| {
        let mut last = model.clone();
        for (number, value) in parameters["space"]["by"]["choice"].as_array().unwrap().iter().enumerate() {
            let bindings = IndexMap::from([("by".to_owned(), value.clone())]);
            last = cx.services.trial(number, &model, &bindings)?.model;
        }
        done(last)
    };
    Fake::new("fake/sweep", run).unsure().needs(&[Needs::NestedStages])
}
