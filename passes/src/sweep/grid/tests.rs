//! Grids over a fake engine whose trials are arithmetic.

use indexmap::IndexMap;
use serde_json::json;

use super::{Grid, combinations, count};
use crate::context::Trial;
use crate::error::PassError;
use crate::testing::{Bench, built, inputs, labels};

fn space(value: serde_json::Value) -> super::Space {
    serde_json::from_value(value).unwrap()
}

#[test]
fn combinations_come_in_order_the_last_variable_fastest() {
    let space = space(json!({ "a": { "choice": [1, 2] }, "b": { "choice": ["x", "y", "z"] } }));
    let all = combinations(&space);
    assert_eq!(count(&space), Some(6));
    assert_eq!(serde_json::to_value(&all[0]).unwrap(), json!({ "a": 1, "b": "x" }));
    assert_eq!(serde_json::to_value(&all[1]).unwrap(), json!({ "a": 1, "b": "y" }));
    assert_eq!(serde_json::to_value(&all[5]).unwrap(), json!({ "a": 2, "b": "z" }));
}

/// An engine whose trials measure accuracy = 1 - (x - 3)^2 / 10; x = 2 fails.
fn bench() -> Bench {
    let mut bench = Bench::empty();
    bench.measures = vec!["accuracy".to_owned()];
    bench.nested_stages = 1;
    bench.services.trial = Some(Box::new(|_, bindings| {
        let x = bindings["x"].as_f64().unwrap();
        if x == 2.0 {
            return Err(PassError::Failed("two is refused".to_owned()));
        }
        let measures = IndexMap::from([("accuracy".to_owned(), 1.0 - (x - 3.0).powi(2) / 10.0)]);
        let model = built(&[x as usize], inputs(2), labels(&["a", "b"]));
        Ok(Trial { measures, model, cached: false })
    }));
    bench
}

#[test]
fn the_best_trial_becomes_the_result_and_a_failed_one_is_recorded() {
    let block = json!({ "space": { "x": { "choice": [1, 2, 3, 4] } }, "objectives": { "accuracy": "maximize" } });
    let model = built(&[2], inputs(2), labels(&["a", "b"]));
    let outcome = bench().run::<Grid>(&block, &model).unwrap();
    assert_eq!(outcome.receipt.figures["chosen"], 2.0);
    assert_eq!(outcome.receipt.figures["failed"], 1.0);
    assert_eq!(outcome.receipt.details["trials"][1]["reason"], "two is refused");
    assert_eq!(outcome.model.tensor("layers.0.weight").unwrap().dims(), [3, 2]);
}

#[test]
fn a_sweep_whose_trials_all_fail_is_a_failure() {
    let block = json!({ "space": { "x": { "choice": [2] } }, "objectives": { "accuracy": "maximize" } });
    let model = built(&[2], inputs(2), labels(&["a", "b"]));
    let error = bench().run::<Grid>(&block, &model).unwrap_err();
    assert_eq!(error.to_string(), "all 1 trial failed; the first: two is refused");
}

#[test]
fn an_objective_that_is_not_measured_is_found_before_any_work() {
    let block = json!({ "space": { "x": { "choice": [1] } }, "objectives": { "size": "minimize" } });
    let model = built(&[2], inputs(2), labels(&["a", "b"]));
    let problems = bench().plan::<Grid>(&block, &model).unwrap_err();
    assert_eq!(problems[0].pointer, "/objectives/size");
}
