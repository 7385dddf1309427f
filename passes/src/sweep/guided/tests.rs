//! Sweeps that learn, over a fake engine whose trials are arithmetic.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::context::Trial;
use crate::error::PassError;
use crate::pass::Definition;
use crate::receipt::Receipt;
use crate::sweep::bayes::Bayes;
use crate::sweep::evolution::Evolution;
use crate::sweep::sobol::Sobol;
use crate::sweep::tpe::Tpe;
use crate::testing::{Bench, built, inputs, labels};

/// What the trials bound, in order.
type Bound = Rc<RefCell<Vec<Value>>>;

/// Trials measure accuracy = 1 - (x - 0.3)^2 - (n - 4)^2 / 100 and size = n; those of the choice `bad` fail, and the one
/// of the number `interrupted` is interrupted.
fn bench(interrupted: usize) -> (Bench, Bound) {
    let mut bench = Bench::empty();
    bench.measures = vec!["accuracy".to_owned(), "size".to_owned()];
    bench.nested_stages = 1;
    let bound = Bound::default();
    let seen = Rc::clone(&bound);
    bench.services.trial = Some(Box::new(move |number, bindings| {
        if number == interrupted {
            return Err(PassError::Interrupted);
        }
        seen.borrow_mut().push(json!(bindings));
        if bindings["kind"] == "bad" {
            return Err(PassError::Failed("bad is refused".to_owned()));
        }
        let (x, n) = (bindings["x"].as_f64().unwrap(), bindings["n"].as_f64().unwrap());
        let accuracy = 1.0 - (x - 0.3).powi(2) - (n - 4.0).powi(2) / 100.0;
        let measures = IndexMap::from([("accuracy".to_owned(), accuracy), ("size".to_owned(), n)]);
        Ok(Trial { measures, model: built(&[n as usize], inputs(2), labels(&["a", "b"])), cached: false })
    }));
    (bench, bound)
}

fn block(trials: usize, objectives: Value) -> Value {
    json!({ "trials": trials, "objectives": objectives, "space": {
        "x": { "range": [0.0, 1.0] }, "n": { "int": [1, 9] }, "kind": { "choice": ["good", "bad"] },
    } })
}

fn run<D: Definition>(block: &Value) -> (Receipt, Vec<Value>) {
    let (bench, bound) = bench(usize::MAX);
    let outcome = bench.run::<D>(block, &built(&[12], inputs(2), labels(&["a", "b"]))).unwrap();
    let bound = bound.borrow().clone();
    (outcome.receipt, bound)
}

fn accuracy(receipt: &Receipt) -> f64 {
    let chosen = receipt.figures["chosen"] as usize;
    receipt.details["trials"][chosen]["measures"]["accuracy"].as_f64().unwrap()
}

/// A sweep that stopped in the middle and is run again goes the same way to the same end.
fn goes_on<D: Definition>() {
    let block = block(24, json!({ "accuracy": "maximize" }));
    let (receipt, whole) = run::<D>(&block);
    assert_eq!(whole.len(), 24);
    let (stopped, bound) = bench(17);
    let model = built(&[12], inputs(2), labels(&["a", "b"]));
    assert!(matches!(stopped.run::<D>(&block, &model), Err(PassError::Interrupted)));
    assert_eq!(bound.borrow()[..], whole[..17]);
    let (again, second) = run::<D>(&block);
    assert_eq!(second, whole);
    assert_eq!(serde_json::to_value(again.details).unwrap(), serde_json::to_value(receipt.details).unwrap());
}

#[test]
fn an_interrupted_sweep_goes_the_same_way_again() {
    goes_on::<Sobol>();
    goes_on::<Tpe>();
    goes_on::<Bayes>();
    goes_on::<Evolution>();
}

#[test]
fn learning_comes_nearer_to_the_best_and_keeps_away_from_what_fails() {
    let block = block(40, json!({ "accuracy": "maximize" }));
    for (receipt, bound, limit) in [
        {
            let (receipt, bound) = run::<Tpe>(&block);
            (receipt, bound, 0.99)
        },
        {
            let (receipt, bound) = run::<Bayes>(&block);
            (receipt, bound, 0.9999)
        },
    ] {
        assert!(accuracy(&receipt) > limit, "{}", accuracy(&receipt));
        let bad = bound[20..].iter().filter(|values| values["kind"] == "bad").count();
        assert!(bad < 6, "{bad} of the last 20 trials failed");
    }
}

#[test]
fn several_objectives_give_a_front() {
    let block = block(60, json!({ "accuracy": "maximize", "size": "minimize" }));
    let (receipt, _) = run::<Evolution>(&block);
    let front = receipt.details["pareto_front"].as_array().unwrap();
    assert!(front.len() >= 3, "{front:?}");
}

#[test]
fn patience_ends_a_sweep_that_does_not_get_better() {
    let mut block = block(60, json!({ "size": "minimize" }));
    block["patience"] = json!(7);
    let (receipt, bound) = run::<Tpe>(&block);
    let chosen = receipt.figures["chosen"] as usize;
    assert_eq!((bound.len(), receipt.figures["trials"]), (chosen + 8, (chosen + 8) as f64));
}

#[test]
fn a_small_space_is_tried_once() {
    let space = json!({ "x": { "choice": [0.1, 0.3] }, "n": { "int": [3, 4] }, "kind": { "choice": ["good"] } });
    let block = json!({ "trials": 50, "objectives": { "accuracy": "maximize" }, "space": space });
    let (_, mut bound) = run::<Tpe>(&block);
    bound.sort_by_key(Value::to_string);
    bound.dedup();
    assert_eq!(bound.len(), 4);
}
