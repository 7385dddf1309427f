//! Runs that are cancelled: they end as interrupted, leave nothing unfinished, and the next run goes on from there.

use paring_engine::report::StageReport;
use paring_engine::{Cancel, Ending, Events, Quiet, RunResult};
use paring_passes::PassError;

use crate::support::{Fake, Scene, done, set, shift, sweep};

const TWO: &str = "stages:
  - { id: first, fake/shift: { by: 1.5 } }
  - { id: second, fake/waits: {} }
export: [{ safetensors: {} }]
";

/// Cancels once the stage of that id is done.
struct CancelAfter<'a>(&'a str, &'a Cancel);

impl Events for CancelAfter<'_> {
    fn stage_started(&self, _index: usize, _total: usize, _id: &str, _pass: &str) {}
    fn progress(&self, _done: usize, _total: usize, _what: &str) {}
    fn stage_finished(&self, report: &StageReport, _cached: bool, _seconds: f64) {
        if report.id == self.0 {
            self.1.cancel();
        }
    }
}

/// Asks for the run to be cancelled, as a person would at that moment, and looks whether it is.
fn waits(cancel: &Cancel) -> Fake {
    let cancel = cancel.clone();
    Fake::new("fake/waits", move |_, cx, model| {
        cancel.cancel();
        cx.check_cancelled()?;
        done(model)
    })
}

/// Does what `fake/waits` would have done.
fn waited() -> Fake {
    Fake::changing("fake/waits", |model| set(model, "head.bias", &[0.25, 0.0]))
}

fn was_interrupted(scene: &Scene, result: &RunResult) {
    assert_eq!((result.ending, result.ending.exit_code()), (Ending::Interrupted, 130));
    assert!(result.problems.list.is_empty(), "{:?}", result.problems.list);
    assert!(!scene.path("out").exists(), "{:?}", scene.names("out"));
    assert!(scene.unfinished().is_empty(), "{:?}", scene.unfinished());
}

#[test]
fn between_stages() {
    let (first, second, cancel) = (shift(), waited(), Cancel::default());
    let scene = Scene::new(TWO, &[&first, &second]);
    was_interrupted(&scene, &scene.run_watched(&CancelAfter("first", &cancel), &cancel));
    assert_eq!((first.runs(), second.runs()), (1, 0));
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!((first.runs(), second.runs()), (1, 1));
}

#[test]
fn inside_a_pass() {
    let (first, cancel) = (shift(), Cancel::default());
    let (asks, does) = (waits(&cancel), waited());
    let scene = Scene::new(TWO, &[&first, &asks]);
    was_interrupted(&scene, &scene.run_watched(&Quiet, &cancel));
    assert_eq!(scene.cache().entries().len(), 1);
    scene.use_passes(&[&first, &does]);
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!((first.runs(), does.runs()), (1, 1));
}

#[test]
fn before_the_first_stage_even_where_everything_is_cached() {
    let first = shift();
    let scene = Scene::new("stages: [fake/shift: { by: 1 }]\n", &[&first]);
    assert_eq!(scene.run().ending, Ending::Done);
    let before = scene.files("out");
    let cancel = Cancel::default();
    cancel.cancel();
    assert_eq!(scene.run_watched(&Quiet, &cancel).ending, Ending::Interrupted);
    assert!(scene.files("out") == before, "an interrupted run leaves the last one's results as they are");
}

#[test]
fn a_pass_that_does_not_look_is_waited_for_and_its_result_kept() {
    let cancel = Cancel::default();
    let deaf = {
        let cancel = cancel.clone();
        Fake::changing("fake/waits", move |model| {
            cancel.cancel();
            set(model, "head.bias", &[0.25, 0.0]);
        })
    };
    let after = shift();
    let rest = "stages: [fake/waits: {}, fake/shift: { by: 1 }]\n";
    let scene = Scene::new(rest, &[&deaf, &after]);
    was_interrupted(&scene, &scene.run_watched(&Quiet, &cancel));
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!((deaf.runs(), after.runs()), (1, 1));
}

#[test]
fn inside_a_trial_of_a_sweep_whose_finished_trials_are_kept() {
    let recipe = "stages:
  - id: sweep
    fake/sweep: { space: { by: { choice: [1, 2, 3] } } }
    stages: [fake/tries: { by: $by }]
";
    let cancel = Cancel::default();
    let tries = {
        let cancel = cancel.clone();
        Fake::new("fake/tries", move |parameters, cx, mut model| {
            let by = parameters["by"].as_f64().unwrap() as f32;
            if by == 2.0 && !cancel.is_cancelled() {
                cancel.cancel();
                return Err(cx.check_cancelled().expect_err("the run is cancelled"));
            }
            set(&mut model, "head.bias", &[by, 0.0]);
            done(model)
        })
    };
    let scene = Scene::new(recipe, &[&sweep(), &tries]);
    was_interrupted(&scene, &scene.run_watched(&Quiet, &cancel));
    assert_eq!(tries.runs(), 2);
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!(tries.runs(), 4, "the first trial's result was there already");
}

#[test]
fn an_interruption_is_no_failure_that_keep_best_goes_on_after() {
    let cancel = Cancel::default();
    let fails = Fake::new("fake/fails", |_, _, _| Err(PassError::Failed("no luck".to_owned())));
    let (asks, after) = (waits(&cancel), shift());
    let rest = "stages: [fake/fails: {}, fake/waits: {}, fake/shift: { by: 1 }]\non_fail: keep_best\n";
    let scene = Scene::new(rest, &[&fails, &asks, &after]);
    let result = scene.run_watched(&Quiet, &cancel);
    assert_eq!(result.ending, Ending::Interrupted);
    assert_eq!(after.runs(), 0);
    assert!(!scene.path("out").exists());
}
