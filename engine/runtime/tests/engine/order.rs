//! Orders that cannot work are found by the plan, before any work, with the two places that do not go together.

use paring_engine::plan::plan;
use paring_model::{Checkpoint, Inputs};
use paring_passes::Needs;
use paring_schema::Diagnostics;

use crate::support::{Fake, Scene, codes, labelled, numbers, set, shift, sweep};

/// A label at `text` that says `says`.
fn at(text: &str, says: &str) -> (String, String) {
    (text.to_owned(), says.to_owned())
}

/// What a plan finds wrong with these stages.
fn problems(stages: &str, passes: &[&Fake]) -> Box<Diagnostics> {
    Scene::new(stages, passes).plan_problems()
}

#[test]
fn float_weights_are_needed_but_an_earlier_stage_rounds_them() {
    let stages = "stages:
  - { id: round, quantize/rtn: { bits: 8 } }
  - { id: cut, prune/magnitude: { sparsity: 0.5 } }
";
    let found = problems(stages, &[]);
    assert_eq!(codes(&found), ["P007"]);
    assert_eq!(labelled(&found), [at("prune/magnitude", ""), at("quantize/rtn", "weights become integers here")]);
    assert_eq!(
        found.list[0].message,
        "stage `cut`, pass `prune/magnitude` needs float weights, but `layers.0` is quantized"
    );
    assert_eq!(found.list[0].help.as_deref(), Some("move stage `cut` before stage `round`"));
}

#[test]
fn the_stage_that_rounded_is_named_whatever_lies_between() {
    let stages = "stages:
  - { id: head, quantize/rtn: { bits: 8 }, targets: [head] }
  - { id: shift, fake/shift: { by: 1 } }
  - { id: rest, quantize/rtn: { bits: 4 }, ignore: [head] }
  - { id: cut, prune/magnitude: { sparsity: 0.5 }, targets: [layers.0] }
";
    let found = problems(stages, &[&shift()]);
    assert_eq!(found.list[0].help.as_deref(), Some("move stage `cut` before stage `rest`"));
    // The head is asked for first where it is the only target.
    let found = problems(&stages.replace("targets: [layers.0]", "targets: [head]"), &[&shift()]);
    assert_eq!(found.list[0].help.as_deref(), Some("move stage `cut` before stage `head`"));
}

#[test]
fn sites_that_stayed_float_may_be_worked_on() {
    let stages = "stages:
  - { quantize/rtn: { bits: 8 }, targets: [head] }
  - { prune/magnitude: { sparsity: 0.5 }, ignore: [head] }
";
    let scene = Scene::new(stages, &[]);
    assert!(plan(&scene.project()).is_ok());
}

#[test]
fn a_sweep_that_rounds_is_the_place_where_weights_become_integers() {
    let stages = "stages:
  - id: sweep
    fake/sweep: { space: { by: { choice: [4, 8] } } }
    stages: [quantize/rtn: { bits: $by }]
  - prune/magnitude: { sparsity: 0.5 }
";
    let found = problems(stages, &[&sweep()]);
    assert_eq!(labelled(&found), [at("prune/magnitude", ""), at("fake/sweep", "weights become integers here")]);
}

#[test]
fn a_model_that_comes_rounded_has_no_stage_to_blame() {
    let scene = Scene::new("stages: [quantize/rtn: {}]\nexport: [safetensors: {}]\n", &[]);
    scene.run();
    std::fs::rename(scene.path("out/model"), scene.path("rounded")).unwrap();
    scene.write("stages: [prune/magnitude: { sparsity: 0.5 }]\n");
    scene.edit("load: model", "load: rounded");
    let found = scene.plan_problems();
    assert_eq!(labelled(&found), [at("prune/magnitude", "")]);
    let help = "start from the float model, or leave the quantized sites out with `ignore`";
    assert_eq!(found.list[0].help.as_deref(), Some(help));
}

#[test]
fn weights_are_needed_but_none_are_trained() {
    let scene = Scene::new("stages: [prune/magnitude: { sparsity: 0.5 }, train/fit: { epochs: 1 }]\n", &[]);
    scene.edit("model: { load: model }", "model: { mlp: { hidden: [2] } }");
    let found = scene.plan_problems();
    assert_eq!(codes(&found), ["P008"]);
    assert_eq!(labelled(&found), [at("prune/magnitude", ""), at("model", "starts without weights")]);
    scene.edit(
        "prune/magnitude: { sparsity: 0.5 }, train/fit: { epochs: 1 }",
        "train/fit: {}, prune/magnitude: { sparsity: 0.5 }",
    );
    assert!(plan(&scene.project()).is_ok());
}

#[test]
fn rows_and_flat_inputs_are_needed() {
    let pass = |need: &'static [Needs]| Fake::new("fake/needs", |_, _, _| panic!("it is only planned")).needs(need);
    let code = |need: &'static [Needs], change: &dyn Fn(&Scene)| {
        let scene = Scene::new("stages: [fake/needs: {}]\n", &[&pass(need)]);
        change(&scene);
        let found = plan(&scene.project()).map_err(|found| (found.list[0].code, found.list[0].help.clone()));
        found.err().map(|(code, help)| (code, help.unwrap_or_default()))
    };
    let nothing = |_: &Scene| ();
    let share = |part: &str| Some(("P009", format!("give `data.split` a share for {part} rows")));
    assert_eq!(code(&[Needs::ValidateRows], &nothing), None, "the calibration rows stand in");
    assert_eq!(code(&[Needs::CalibrateRows], &nothing), None);
    let train_only = |scene: &Scene| scene.edit("train: 0.8, calibrate: 0.2", "train: 1.0");
    assert_eq!(code(&[Needs::ValidateRows], &train_only), share("validation"));
    assert_eq!(code(&[Needs::CalibrateRows], &train_only), None, "the training rows stand in");
    let images = |scene: &Scene| {
        let mut model = scene.project().model;
        let inputs = Inputs { shape: vec![1, 1, 2], ..model.inputs().unwrap().clone() };
        let mut config = model.config().unwrap().clone();
        config.input = inputs.shape.clone();
        model.set_inputs(inputs);
        model.set_config(config);
        model.save(&scene.path("model")).unwrap();
    };
    assert_eq!(code(&[Needs::FlatInputs], &nothing), None);
    assert_eq!(code(&[Needs::FlatInputs], &images), Some(("P012", String::new())));
}

#[test]
fn a_family_is_needed_but_the_model_is_only_tensors() {
    let scene = Scene::new("stages: [fake/needs: {}]\n", &[&shift()]);
    let needs = Fake::new("fake/needs", |_, _, _| panic!("it is only planned")).needs(&[Needs::Family]);
    scene.use_passes(&[&needs]);
    std::fs::rename(scene.path("model/model.safetensors"), scene.path("tensors.safetensors")).unwrap();
    scene.edit("load: model", "load: tensors.safetensors");
    scene.edit("accuracy, ", "");
    let found = scene.plan_problems();
    assert_eq!(codes(&found), ["P014"]);
    assert_eq!(labelled(&found), [at("fake/needs", ""), at("{ load: tensors.safetensors }", "a file of tensors")]);
}

#[test]
fn everything_that_a_stage_lacks_is_told_at_once() {
    let needs = Fake::new("fake/needs", |_, _, _| panic!("it is only planned")).needs(&[
        Needs::BuiltModel,
        Needs::TrainRows,
        Needs::ValidateRows,
    ]);
    let scene = Scene::new("stages: [fake/needs: {}]\n", &[&needs]);
    scene.edit("model: { load: model }", "model: { mlp: { hidden: [2] } }");
    scene.edit("train: 0.8, calibrate: 0.2", "train: 1.0");
    assert_eq!(codes(&scene.plan_problems()), ["P008", "P009"]);
}

#[test]
fn a_mask_that_a_later_stage_was_to_keep_and_lost_fails_that_stage() {
    let loses = Fake::changing("fake/loses", |model: &mut Checkpoint| {
        let weights = numbers(model, "head.weight");
        set(model, "head.weight", &weights.iter().map(|weight| weight + 0.5).collect::<Vec<_>>());
        model.set_masked("head.weight", false).unwrap();
    });
    let stages = "stages: [prune/magnitude: { sparsity: 0.6 }, fake/loses: {}]\n";
    let result = Scene::new(stages, &[&loses]).run();
    assert_eq!(codes(&result.problems), ["E004"]);
    let words = "tensor `head.weight` is 2 x 2 F32, planned was 2 x 2 F32 masked";
    assert!(result.problems.list[0].message.ends_with(words), "{}", result.problems.list[0].message);
}
