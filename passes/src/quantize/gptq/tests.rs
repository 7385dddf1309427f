//! `quantize/gptq` on small models.

use std::cell::RefCell;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, Spec};
use paring_model::{Checkpoint, Weight, families};
use paring_train::Stream;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::Gptq;
use crate::context::{Services, Trial};
use crate::error::PassError;
use crate::testing::{Bench, classes, inputs, labels};

/// Rows whose columns hang together.
fn bench(rows: usize, width: usize) -> Bench {
    let mut rng = Stream::new(3).split("rows").rng();
    let row = |_| {
        let mut last = 0.0;
        let next = |_| {
            last = 0.7 * last + rng.random_range(-1.0..1.0);
            last
        };
        (0..width).map(next).collect()
    };
    let rows: Vec<Vec<f64>> = (0..rows).map(row).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

fn random(spec: &Spec, width: usize) -> Checkpoint {
    let stream = Stream::new(5);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(spec, &inputs(width), &labels(&["a", "b"]), fill).unwrap()
}

fn mlp() -> Spec {
    Spec::from_parts("mlp", &json!({"hidden": [32, 24], "activation": "gelu"})).unwrap()
}

fn convnet() -> Spec {
    let conv = |channels, stride| {
        let activation = Activation::Relu;
        ConvnetLayer::Conv(ConvSpec { channels, kernel: 3, stride, padding: None, batch_norm: false, activation })
    };
    Spec::Convnet(ConvnetSpec { input: Some([1, 8, 8]), layers: vec![conv(4, 1), conv(6, 2)] })
}

#[rstest]
#[case(mlp(), 16, json!({"bits": 3}))]
#[case(mlp(), 16, json!({"bits": 3, "group_size": 8, "symmetric": false}))]
#[case(mlp(), 16, json!({"bits": 4, "granularity": "tensor"}))]
#[case(mlp(), 16, json!({"bits": 3, "act_order": false, "static_groups": false, "group_size": 8}))]
#[case(convnet(), 64, json!({"bits": 3, "observer": "mse"}))]
fn outputs_of_layers_are_nearer_than_with_the_nearest_weights(
    #[case] spec: Spec,
    #[case] width: usize,
    #[case] parameters: Value,
) {
    let float = random(&spec, width);
    let outcome = bench(300, width).run::<Gptq>(&parameters, &float).unwrap();
    let sites = float.outline().sites().unwrap();
    assert_eq!(outcome.receipt.sites.len(), sites.len());
    for site in sites {
        let figures = &outcome.receipt.sites[&site.name];
        assert!(figures["output_error"] < figures["nearest_output_error"], "{}: {figures:?}", site.name);
        assert!(matches!(outcome.model.weight(&site.weight()).unwrap(), Weight::Quantized(_)));
    }
    assert!(outcome.receipt.figures["output_error_ratio"] < 0.9, "{:?}", outcome.receipt.figures);
}

/// Keeps units, and refuses to go on after some of them.
#[derive(Default)]
struct Journal {
    units: RefCell<BTreeMap<String, (Checkpoint, Value)>>,
    /// How many more units may be kept.
    left: RefCell<Option<usize>>,
}

impl Services for Journal {
    fn progress(&self, _: usize, _: usize, _: &str) {}

    fn cancelled(&self) -> bool {
        *self.left.borrow() == Some(0)
    }

    fn trial(&self, _: usize, _: &Checkpoint, _: &IndexMap<String, Value>) -> Result<Trial, PassError> {
        Err(PassError::Interrupted)
    }

    fn measure(&self, _: &str, _: &Checkpoint, _: Part) -> Result<f64, PassError> {
        Err(PassError::Interrupted)
    }

    fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, PassError> {
        if unit.starts_with("activations") {
            self.left.borrow_mut().iter_mut().for_each(|left| *left -= 1);
        }
        self.units.borrow_mut().insert(unit.to_owned(), (part.clone(), note.clone()));
        Ok(part.clone())
    }

    fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
        self.units.borrow().get(unit).cloned()
    }

    fn discard(&self, unit: &str) {
        self.units.borrow_mut().remove(unit);
    }
}

#[test]
fn a_run_that_was_cut_off_goes_on_after_the_last_block_to_the_same_model() {
    let float = random(&mlp(), 16);
    let bench = bench(100, 16);
    let parameters = json!({"bits": 3});
    let whole = bench.run::<Gptq>(&parameters, &float).unwrap();
    for blocks in 1..3 {
        let journal = Journal { left: RefCell::new(Some(blocks)), ..Journal::default() };
        let cut = bench.run_with::<Gptq>(&parameters, &float, &journal);
        assert!(matches!(cut, Err(PassError::Interrupted)));
        assert_eq!(journal.units.borrow().len(), blocks + 1, "{:?}", journal.units.borrow().keys());
        *journal.left.borrow_mut() = None;
        // What was kept is not done again: with another first block the rest would differ.
        let resumed = bench.run_with::<Gptq>(&parameters, &float, &journal).unwrap();
        assert_eq!(resumed.model.digest().unwrap(), whole.model.digest().unwrap());
        assert_eq!(resumed.receipt, whole.receipt);
    }
}

#[test]
fn bad_data_is_refused() {
    let float = random(&mlp(), 16);
    let zeros = vec![vec![0.0; 16]; 40];
    let rows: Vec<&[f64]> = zeros.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..40).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    let refused = Bench::with_rows(classes(&rows, &labels)).run::<Gptq>(&json!({}), &float).unwrap_err().to_string();
    let message = "the input of `layers.0` is zero in all calibration rows, so nothing is known of its weights; leave it \
        out with `ignore`, or calibrate with other rows";
    assert_eq!(refused, message);
    let few = bench(5, 16).plan::<Gptq>(&json!({}), &float).unwrap_err();
    assert_eq!(few[0].message, "has 5 calibration rows, expected at least 8");
    let group = bench(50, 16).plan::<Gptq>(&json!({"group_size": 5}), &float).unwrap_err();
    assert!(group[0].message.starts_with("is `5`, which does not divide `layers.0` (16 inputs)"), "{group:?}");
    let order = bench(50, 16).plan::<Gptq>(&json!({"static_groups": false}), &float).unwrap_err();
    assert_eq!(order[0].pointer, "/static_groups");
}
