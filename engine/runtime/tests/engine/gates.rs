//! Gates: each bound on both of its sides and on it, and what is kept when one is not met.

use paring_engine::{Ending, RunResult};
use paring_passes::PassError;

use crate::support::{Fake, Scene, codes, numbers, shift};

/// A stage that takes accuracy from `before` tenths to `after` tenths with a gate on it.
fn gated(before: u32, after: u32, gate: &str) -> RunResult {
    let by = |tenths: u32| f64::from(10 - tenths) + if tenths < 10 { 0.5 } else { 0.0 };
    let change = by(after) - by(before);
    let first = if before < 10 { format!("  - fake/shift: {{ by: {} }}\n", by(before)) } else { String::new() };
    let rest =
        format!("stages:\n{first}  - {{ fake/shift: {{ by: {change} }}, require: {{ accuracy: {{ {gate} }} }} }}\n");
    let result = Scene::new(&rest, &[&shift()]).run();
    let stage = result.report.stages.last().unwrap();
    assert_eq!(stage.after.as_ref().unwrap()["accuracy"], f64::from(after) / 10.0);
    result
}

#[test]
fn every_bound_is_inclusive_and_one_step_beyond_it_is_not_met() {
    // Before, after, a gate at the very bound, and one that is just missed.
    let cases = [
        (10, 8, "min: 0.8", "min: 0.801"),
        (10, 8, "max: 0.8", "max: 0.799"),
        (10, 8, "max_drop: 0.2", "max_drop: 0.199"),
        (8, 7, "max_drop: 0.1", "max_drop: 0.099"),
        (6, 9, "max_rise: 0.3", "max_rise: 0.299"),
        (7, 8, "max_rise: 0.1", "max_rise: 0.099"),
        (10, 7, "max_ratio: 0.7", "max_ratio: 0.699"),
        (6, 9, "max_ratio: 150%", "max_ratio: 1.499"),
        (10, 7, "min_ratio: 0.7", "min_ratio: 0.701"),
        (8, 6, "min_ratio: 0.75", "min_ratio: 0.751"),
    ];
    for (before, after, at, beyond) in cases {
        assert_eq!(gated(before, after, at).ending, Ending::Done, "{before} to {after}: {at}");
        let missed = gated(before, after, beyond);
        assert_eq!((missed.ending, missed.ending.exit_code()), (Ending::GateNotMet, 3), "{beyond}");
        assert_eq!(codes(&missed.problems), ["E005"], "{beyond}");
        let verdict = &missed.report.stages.last().unwrap().gates[0];
        assert_eq!((verdict.met, verdict.bound.as_str()), (false, beyond.split(':').next().unwrap()));
    }
}

#[test]
fn a_gate_that_is_missed_tells_what_was_found_and_what_was_wanted() {
    let message = |gate: &str| gated(10, 8, gate).problems.list[0].message.clone();
    assert_eq!(message("min: 0.9"), "stage `fake-shift`: `accuracy` is 0.8, required is at least 0.9");
    assert_eq!(message("max_drop: 0.1"), "stage `fake-shift`: `accuracy` drops by 0.2, required is at most 0.1");
}

#[test]
fn both_bounds_of_a_gate_are_judged() {
    let both = gated(10, 8, "min: 0.9, max_drop: 0.1");
    assert_eq!(codes(&both.problems), ["E005", "E005"]);
    assert_eq!(codes(&gated(10, 8, "min: 0.9, max_drop: 0.3").problems), ["E005"]);
}

/// Three stages, of which the second takes away three tenths of accuracy; accuracy at the end is 0.5, and 0.8 where the
/// second stage is undone.
fn three(gate_of_second: &str, rest: &str) -> Scene {
    let stages = format!(
        "stages:
  - {{ id: one, fake/shift: {{ by: 1.5 }} }}
  - {{ id: two, fake/shift: {{ by: 3 }}{gate_of_second} }}
  - {{ id: three, fake/shift: {{ by: 1 }} }}
export: [{{ safetensors: {{}} }}]
{rest}"
    );
    Scene::new(&stages, &[&shift()])
}

/// How far the exported model is shifted.
fn kept(scene: &Scene) -> f32 {
    numbers(&scene.exported(), "head.bias")[0]
}

fn outcomes(result: &RunResult) -> Vec<&str> {
    result.report.stages.iter().map(|stage| stage.outcome.as_str()).collect()
}

const STRICT: &str = ", require: { accuracy: { max_drop: 0.2 } }";

#[test]
fn a_stage_gate_stops_the_run_and_nothing_is_exported() {
    let scene = three(STRICT, "");
    let result = scene.run();
    assert_eq!(result.ending, Ending::GateNotMet);
    assert_eq!(outcomes(&result), ["kept", "undone"]);
    assert_eq!(scene.names("out"), ["report.json", "timings.json"]);
    assert_eq!(result.report.ending, "gate_not_met");
}

#[test]
fn with_keep_best_the_stage_is_undone_and_the_next_goes_on_from_the_model_before_it() {
    let scene = three(STRICT, "on_fail: keep_best\n");
    let result = scene.run();
    assert_eq!(result.ending, Ending::GateNotMet);
    assert_eq!(outcomes(&result), ["kept", "undone", "kept"]);
    assert_eq!(kept(&scene), 2.5);
    assert_eq!(result.report.stages[2].before.as_ref().unwrap()["accuracy"], 0.9);
    assert_eq!(result.report.model.as_deref(), Some(scene.exported().digest().unwrap().as_str()));
}

#[test]
fn a_recipe_gate_is_judged_on_the_finished_model_against_the_first() {
    let scene = three("", "require: { accuracy: { max_drop: 0.5 } }\n");
    assert_eq!(scene.run().ending, Ending::Done);
    let scene = three("", "require: { accuracy: { max_drop: 0.49 } }\n");
    let result = scene.run();
    assert_eq!((result.ending, codes(&result.problems)), (Ending::GateNotMet, vec!["E005"]));
    assert_eq!(outcomes(&result), ["kept", "kept", "kept"]);
    assert_eq!(scene.names("out"), ["report.json", "timings.json"]);
}

#[test]
fn with_keep_best_the_last_model_that_met_the_recipe_gate_is_kept() {
    let scene = three("", "require: { accuracy: { min: 0.85 } }\non_fail: keep_best\n");
    let result = scene.run();
    assert_eq!(result.ending, Ending::GateNotMet);
    assert_eq!(kept(&scene), 1.5);
    assert_eq!(result.report.model.as_deref(), Some(scene.exported().digest().unwrap().as_str()));
}

#[test]
fn with_keep_best_the_first_model_is_kept_where_it_alone_meets_the_recipe_gate() {
    let scene = three("", "require: { accuracy: { max_drop: 0.05 } }\non_fail: keep_best\n");
    assert_eq!(scene.run().ending, Ending::GateNotMet);
    assert_eq!(kept(&scene), 0.0);
}

#[test]
fn with_keep_best_a_stage_that_fails_is_left_out_and_the_exit_code_tells() {
    let fails = Fake::new("fake/fails", |_, _, _| Err(PassError::Failed("no luck".to_owned())));
    let rest = "stages: [fake/shift: { by: 1.5 }, fake/fails: {}, fake/again: { by: 1 }]
on_fail: keep_best
export: [safetensors: {}]
";
    let scene = Scene::new(&rest.replace("again", "shift"), &[&shift(), &fails]);
    let result = scene.run();
    assert_eq!((result.ending, result.ending.exit_code()), (Ending::StageFailed, 1));
    assert_eq!(outcomes(&result), ["kept", "failed", "kept"]);
    assert_eq!(kept(&scene), 2.5);
}
