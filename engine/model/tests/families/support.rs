//! Models and numbers for the tests.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use paring_model::config::Spec;
use paring_model::tap::{TapWeight, WeightSource};
use paring_model::{Inputs, ModelError, Outline, Outputs, Result, families};
use serde_json::Value;

/// Uniform numbers in [0, 1), the same for the same seed (Steele et al. 2014, SplitMix64).
pub fn uniform(mut state: u64) -> impl FnMut(&mut [f32]) {
    move |buffer| {
        for number in buffer {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *number = ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u64 << 24) as f32;
        }
    }
}

/// Numbers in [low, high).
pub fn random(shape: &[usize], low: f64, high: f64, seed: u64) -> Tensor {
    let mut numbers = vec![0.0; shape.iter().product()];
    uniform(seed)(&mut numbers);
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().affine(high - low, low).unwrap()
}

/// Inputs that hand on rows of this shape.
pub fn inputs(shape: &[usize]) -> Inputs {
    Inputs { columns: Vec::new(), steps: Vec::new(), shape: shape.to_vec() }
}

/// Classes `0`, `1`, ...
pub fn classes(count: usize) -> Outputs {
    let labels = (0..count).map(|class| class.to_string()).collect();
    Outputs::Classify { column: "class".to_owned(), labels }
}

/// The settings written as JSON.
pub fn spec(family: &str, settings: Value) -> Spec {
    Spec::from_parts(family, &settings).unwrap()
}

/// What that model will be.
pub fn outline(spec: &Spec, shape: &[usize], outputs: usize) -> Outline {
    families::blueprint(spec, &inputs(shape), &classes(outputs)).unwrap()
}

/// Weights in memory, which training may move.
pub struct Weights(pub RefCell<BTreeMap<String, Tensor>>);

impl Weights {
    /// Variables for every tensor of the outline, of a size that keeps activations near 1.
    pub fn new(outline: &Outline, dtype: DType, seed: u64) -> Self {
        let tensor = |(index, (name, weight)): (usize, (&String, &paring_model::WeightOutline))| {
            let shape = weight.shape();
            let fan_in = shape.iter().skip(1).product::<usize>().max(1) as f64;
            let (low, high) = match name.rsplit('.').next() {
                Some("running_var") => (0.5, 1.5),
                Some("weight") if shape.len() == 1 => (0.8, 1.2),
                Some("weight") => (-(3.0 / fan_in).sqrt(), (3.0 / fan_in).sqrt()),
                _ => (-0.3, 0.3),
            };
            let numbers = random(shape, low, high, seed + index as u64).to_dtype(dtype).unwrap();
            (name.clone(), Var::from_tensor(&numbers).unwrap().into_inner())
        };
        Self(RefCell::new(outline.weights.iter().enumerate().map(tensor).collect()))
    }
}

impl WeightSource for Weights {
    fn site(&self, name: &str) -> Result<TapWeight> {
        self.tensor(&format!("{name}.weight")).map(TapWeight::Dense)
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let missing = || ModelError::MissingTensor { name: name.to_owned() };
        self.0.borrow().get(name).cloned().ok_or_else(missing)
    }

    fn update(&self, name: &str, value: &Tensor) -> Result<()> {
        self.0.borrow_mut().insert(name.to_owned(), value.clone());
        Ok(())
    }
}

/// The largest distance between two tensors of one shape.
pub fn distance(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.dims(), other.dims());
    let distance = (one - other).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    distance.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}
