//! What a plan predicts from headers is what a run leaves: names, shapes, storage and the file's size to the byte.

use std::cell::Cell;

use candle_core::DType;
use paring_engine::plan::plan;
use paring_engine::{Ending, Plan, RunResult};
use paring_model::{Checkpoint, Outline, WeightOutline};
use proptest::prelude::{Just, Strategy, any, prop};
use proptest::prop_oneof;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::{Fake, Scene, codes, shift};

/// `fake/narrow`: half floats in the head, and a mask on the first layer.
fn narrow() -> Fake {
    let change = |model: &mut Checkpoint| {
        let head = model.tensor("head.weight").unwrap().to_dtype(DType::F16).unwrap();
        model.set_tensor("head.weight", head);
        model.set_masked("layers.0.weight", true).unwrap();
    };
    Fake::changing("fake/narrow", change).foresees(|_, outline| {
        for (name, weight) in &mut outline.weights {
            let WeightOutline::Dense { dtype, masked, .. } = weight else { continue };
            *masked |= name == "layers.0.weight";
            if name == "head.weight" {
                *dtype = "F16".to_owned();
            }
        }
    })
}

/// Every stage that ran left what its plan says, where the plan is sure of it.
fn came_true(plan: &Plan, result: &RunResult) {
    let stages = plan.stages.iter().zip(&result.report.stages);
    for (planned, done) in stages.filter(|(planned, done)| planned.exact && done.outcome == "kept") {
        let expected = &planned.effect.outline.weights;
        let found = &done.engine.tensors;
        assert!(found.iter().map(|tensor| &tensor.name).eq(expected.keys()), "{}: {found:?}", done.id);
        for (tensor, weight) in found.iter().zip(expected.values()) {
            assert_eq!((tensor.shape.as_slice(), tensor.storage.as_str()), (weight.shape(), storage(weight).as_str()));
        }
        assert_eq!(planned.size, done.engine.size_after, "{}", done.id);
    }
}

/// A planned storage as reports name it.
fn storage(weight: &WeightOutline) -> String {
    match weight {
        WeightOutline::Dense { dtype, masked: false, .. } => dtype.clone(),
        WeightOutline::Dense { dtype, masked: true, .. } => format!("{dtype} masked"),
        WeightOutline::Quantized { scheme, .. } => format!("int{}", scheme.bits),
        WeightOutline::Blocks { kind, .. } => kind.name().to_owned(),
    }
}

#[test]
fn fake_passes_leave_what_they_foresee() {
    let rest = "stages: [fake/shift: { by: 1 }, fake/narrow: {}, fake/shift: { by: 2 }]\nexport: [safetensors: {}]\n";
    let scene = Scene::new(rest, &[&shift(), &narrow()]);
    let plan = plan(&scene.project()).unwrap();
    assert!(plan.stages.iter().all(|stage| stage.exact));
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done);
    came_true(&plan, &result);
    let outline = &plan.stages[2].effect.outline;
    assert_eq!(&scene.exported().outline(), outline);
    let file = std::fs::metadata(scene.path("out/model/model.safetensors")).unwrap().len();
    assert_eq!((plan.stages[2].size, result.report.exports[0].bytes), (file, file));
    assert_eq!(plan.size, Some(result.report.stages[0].engine.size_before));
}

#[test]
fn what_is_not_sure_makes_no_later_stage_sure() {
    let rest = "stages: [fake/shift: { by: 1 }, fake/narrow: {}, fake/shift: { by: 2 }]\n";
    let scene = Scene::new(rest, &[&shift(), &narrow().unsure()]);
    let exact: Vec<bool> = plan(&scene.project()).unwrap().stages.iter().map(|stage| stage.exact).collect();
    assert_eq!(exact, [true, false, false]);
}

/// A stage of a built-in pass, on the whole model or on one of its layers.
fn stage() -> impl Strategy<Value = String> {
    let place =
        prop_oneof![Just(""), Just(", targets: [head]"), Just(", targets: ['layers.*']"), Just(", ignore: [head]")];
    let of_sites = prop_oneof![
        (1..10_u32).prop_map(|tenths| format!("prune/magnitude: {{ sparsity: 0.{tenths} }}")),
        any::<bool>()
            .prop_map(|wide| format!("prune/magnitude: {{ pattern: '{}' }}", if wide { "2:4" } else { "1:2" })),
        (1..9_usize).prop_map(|keep| format!("prune/neurons: {{ keep: {keep} }}")),
        (2..9_u32, any::<bool>())
            .prop_map(|(bits, symmetric)| format!("quantize/rtn: {{ bits: {bits}, symmetric: {symmetric} }}")),
        (2..9_u32).prop_map(|bits| format!("quantize/rtn: {{ bits: {bits}, group_size: 2 }}")),
        Just("quantize/static-int8: {}".to_owned()),
        (2..9_u32).prop_map(|bits| format!("quantize/qat: {{ bits: {bits}, activation_bits: {bits}, epochs: 1 }}")),
    ];
    let of_model = prop_oneof![
        Just("train/fit: { epochs: 1 }".to_owned()),
        Just("select/rfe: { keep: 1 }".to_owned()),
        Just("select/pca: { keep: 1 }".to_owned()),
        (1..6_usize)
            .prop_map(|width| format!("distill/logits: {{ student: {{ mlp: {{ hidden: [{width}] }} }}, epochs: 1 }}")),
    ];
    let sweep = prop_oneof![
        Just("{ bits: { choice: [4, 8] } } }, stages: [quantize/rtn: { bits: $bits }]"),
        Just("{ keep: { int: [2, 3] } } }, stages: [prune/neurons: { keep: $keep }]"),
        Just(
            "{ cut: { choice: [0.6, 0.7] } } }, stages: [prune/magnitude: { sparsity: $cut }, train/fit: { epochs: 1 }]"
        ),
    ];
    prop_oneof![
        4 => (of_sites, place).prop_map(|(stage, place)| format!("  - {{ {stage}{place} }}\n")),
        2 => of_model.prop_map(|stage| format!("  - {{ {stage} }}\n")),
        1 => sweep.prop_map(|sweep| {
            format!("  - {{ sweep/grid: {{ objectives: {{ accuracy: maximize }}, space: {sweep} }}\n")
        }),
    ]
}

#[test]
fn random_sequences_of_built_in_passes_leave_what_was_planned() {
    let (planned, finished) = (Cell::new(0), Cell::new(0));
    let check = |stages: Vec<String>| {
        let scene = Scene::new(&format!("stages:\n{}export: [safetensors: {{}}]\n", stages.concat()), &[]);
        scene.edit("model: { load: model }", "model: { mlp: { hidden: [8, 4] } }");
        scene.edit("train: 0.8, calibrate: 0.2", "train: 0.6, calibrate: 0.4");
        scene.edit("stages:\n", "stages:\n  - train/fit: { epochs: 1 }\n");
        let Ok(plan) = plan(&scene.project()) else { return Ok(()) };
        planned.set(planned.get() + 1);
        let result = scene.run();
        came_true(&plan, &result);
        if result.ending == Ending::Done {
            finished.set(finished.get() + 1);
            let last = plan.stages.last().unwrap();
            let Outline { weights, config, .. } = scene.exported().outline();
            if last.exact {
                assert_eq!((&weights, &config), (&last.effect.outline.weights, &last.effect.outline.config));
            }
        } else {
            // A pass may find that it has nothing to do; it may not leave something else than was planned.
            assert_eq!(codes(&result.problems), ["E002"], "{stages:?}: {:?}", result.problems.list);
        }
        Ok(())
    };
    let config = Config { cases: 50, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&prop::collection::vec(stage(), 1..4), check).unwrap();
    assert!(finished.get() >= 15, "only {} of {} planned recipes ran to their end", finished.get(), planned.get());
}
