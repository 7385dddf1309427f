//! What is computed once, what is computed again and why, and what in a cache is not believed.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use paring_engine::Ending;
use paring_model::Checkpoint;
use paring_passes::{Pass as _, PassError};

use crate::support::{Fake, Scene, set, shift, sweep};

const TWO: &str = "stages:
  - { id: first, fake/shift: { by: 1.5 } }
  - { id: second, fake/again: { by: 2 } }
export: [{ safetensors: {} }]
";

/// `fake/shift` under another name, so that both are counted apart.
fn again() -> Fake {
    Fake::new("fake/again", |parameters, cx, model| shift().configure(parameters).unwrap().run(cx, model))
}

/// A recipe that has run once, and how often each of its passes ran.
fn warm() -> (Scene, Fake, Fake) {
    let (first, second) = (shift(), again());
    let scene = Scene::new(TWO, &[&first, &second]);
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!((first.runs(), second.runs()), (1, 1));
    (scene, first, second)
}

#[test]
fn a_second_run_runs_no_pass_and_gives_the_same_report() {
    let (scene, first, second) = warm();
    let before = scene.files("out");
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done);
    assert_eq!((first.runs(), second.runs()), (1, 1));
    assert!(result.timings.stages.iter().all(|stage| stage.cached));
    for (path, bytes) in scene.files("out").into_iter().filter(|(path, _)| !path.ends_with("timings.json")) {
        assert!(before[&path] == bytes, "{} differs", path.display());
    }
    assert!(scene.why().iter().all(|(hit, _)| *hit));
}

/// A model that a stage names, or one around nested stages.
#[test]
fn a_teacher_that_changed_teaches_again() {
    for stage in [
        "distill/logits: { student: { mlp: { hidden: [2] } }, teacher: { load: teacher }, epochs: 1 }",
        "distill/self: { teacher: { load: teacher }, epochs: 1 }\n    stages: [{ train/fit: { epochs: 1 } }]",
    ] {
        let scene = Scene::new(&format!("stages:\n  - {stage}\n"), &[]);
        let mut teacher = Checkpoint::open(&scene.path("model")).unwrap();
        teacher.save(&scene.path("teacher")).unwrap();
        assert_eq!(scene.run().ending, Ending::Done, "{stage}");
        assert!(scene.why()[0].0);
        teacher.set_tensor("head.bias", Tensor::ones(2, DType::F32, &Device::Cpu).unwrap());
        teacher.save(&scene.path("teacher")).unwrap();
        assert_eq!(scene.why()[0], (false, "the file `teacher` changed".to_owned()));
    }
}

#[test]
fn a_changed_parameter_runs_its_stage_and_those_after_it_again() {
    let (scene, first, second) = warm();
    scene.edit("by: 2", "by: 2.5");
    assert_eq!(
        scene.why(),
        [(true, "nothing that decides its result has changed".to_owned()), (false, "`by` changed".to_owned())]
    );
    scene.run();
    assert_eq!((first.runs(), second.runs()), (1, 2));
    scene.edit("by: 1.5", "by: 1.25");
    assert_eq!(scene.why(), [(false, "`by` changed".to_owned()), (false, "a stage before it runs again".to_owned())]);
    scene.run();
    assert_eq!((first.runs(), second.runs()), (2, 3));
}

#[test]
fn everything_that_decides_a_result_is_told_when_it_differs() {
    let differs = |change: &dyn Fn(&Scene), expected: &str| {
        let (scene, ..) = warm();
        change(&scene);
        assert_eq!(scene.why()[0], (false, expected.to_owned()));
        assert!(!scene.run().timings.stages[0].cached, "{expected}");
    };
    let data = "the data or its split changed";
    differs(&|scene| scene.edit("name: scene", "name: scene\nseed: 3"), &format!("{data}; the seed was 0"));
    differs(&|scene| scene.edit_file("rows.csv", "5,1,a", "5,2,a"), data);
    differs(&|scene| scene.edit_file("test.csv", "5,1,a", "5,2,a"), data);
    differs(&|scene| scene.edit("train: 0.8, calibrate: 0.2", "train: 0.7, calibrate: 0.3"), data);
    differs(&|scene| scene.edit("by: 1.5 }", "by: 1.5 }, ignore: [head]"), "its selectors changed");
    differs(&|scene| scene.edit("fake/shift", "fake/again"), "the pass was `fake/shift`");
    let newer = |scene: &Scene| scene.use_passes(&[&shift().version(2), &again()]);
    differs(&newer, "version 1 of the pass gave the last result");
    let other_model = |scene: &Scene| {
        let mut model = scene.project().model;
        set(&mut model, "layers.0.bias", &[0.0, 0.25]);
        model.save(&scene.path("model")).unwrap();
    };
    differs(&other_model, "the model before it changed");
}

#[test]
fn a_model_with_an_empty_tensor_is_cached_as_any_other() {
    let row = |numbers: [f32; 2]| Tensor::new(&[numbers], &Device::Cpu).unwrap();
    let fills = Fake::changing("fake/fills", move |model| model.set_tensor("full", row([1.0, 2.0])));
    let scene = Scene::new("stages: [fake/fills: {}]\n", &[&fills]);
    let tensors = [("full", row([0.0, 0.0])), ("empty", Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap())];
    candle_core::safetensors::save(&tensors.into_iter().collect(), scene.path("tensors.safetensors")).unwrap();
    scene.edit("load: model", "load: tensors.safetensors");
    scene.edit("accuracy, ", "");
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!(fills.runs(), 1);
}

#[test]
fn a_failure_is_never_cached() {
    let fails = Fake::new("fake/fails", |_, _, _| Err(PassError::Failed("the disk ate it".to_owned())));
    let scene = Scene::new("stages: [fake/fails: {}]\n", &[&fails]);
    for times in 1..3 {
        assert_eq!(scene.run().ending, Ending::StageFailed);
        assert_eq!(fails.runs(), times);
        assert!(scene.cache().entries().is_empty());
    }
}

/// Where the cache keeps the result of a stage.
fn entry(scene: &Scene, stage: &str) -> PathBuf {
    let entries = scene.cache().entries();
    let key = &entries.iter().find(|entry| entry.stage == stage).unwrap().key;
    scene.cache().path().join("stages").join(&key[..2]).join(key)
}

/// Damages the first stage's entry: the stage must run again, give what it gave, and be found the time after.
fn runs_again_after(damage: impl Fn(&Scene, &Path), what: &str) {
    let (scene, first, second) = warm();
    let before = scene.files("out/model");
    damage(&scene, &entry(&scene, "first"));
    assert_eq!(scene.run().ending, Ending::Done, "{what}");
    assert_eq!((first.runs(), second.runs()), (2, 1), "{what}");
    assert!(before == scene.files("out/model"), "{what}");
    scene.run();
    assert_eq!(first.runs(), 2, "{what}");
}

fn change_byte(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last - place] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_entry_whose_model_is_damaged_is_not_believed() {
    let weights = |entry: &Path| entry.join("model/model.safetensors");
    runs_again_after(|_, entry| change_byte(&weights(entry), 0), "a changed bit");
    let truncate = |_: &Scene, entry: &Path| {
        let bytes = std::fs::read(weights(entry)).unwrap();
        std::fs::write(weights(entry), &bytes[..bytes.len() / 2]).unwrap();
    };
    runs_again_after(truncate, "truncated weights");
    runs_again_after(|_, entry| std::fs::remove_file(entry.join("model/config.json")).unwrap(), "a file that is gone");
    runs_again_after(|_, entry| std::fs::write(entry.join("model/more.txt"), "more").unwrap(), "a file too many");
    runs_again_after(|_, entry| std::fs::remove_dir_all(entry.join("model")).unwrap(), "no model");
}

#[test]
fn an_entry_whose_words_are_damaged_is_not_believed() {
    let reword = |from: &'static str, to: &'static str| {
        move |_: &Scene, entry: &Path| {
            let path = entry.join("entry.json");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    runs_again_after(|_, entry| std::fs::write(entry.join("entry.json"), "{").unwrap(), "truncated words");
    runs_again_after(|_, entry| std::fs::remove_file(entry.join("entry.json")).unwrap(), "no words");
    runs_again_after(reword("it worked", "it wonders"), "another receipt");
    runs_again_after(reword("head.bias", "head.bits"), "another finding");
    runs_again_after(reword("\"by\": 1.5", "\"by\": 1.25"), "another parameter");
}

#[test]
fn an_entry_that_names_another_digest_is_not_believed() {
    let rename = |scene: &Scene, entry: &Path| {
        let result = scene.run().report.model.unwrap();
        let path = entry.join("entry.json");
        let mut words: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        find(&mut words, "result").expect("the entry names its result's digest").clone_from(&result.into());
        std::fs::write(path, words.to_string()).unwrap();
    };
    runs_again_after(rename, "another digest");
}

/// The value under a key, wherever it is.
fn find<'a>(value: &'a mut serde_json::Value, key: &str) -> Option<&'a mut serde_json::Value> {
    let map = value.as_object_mut()?;
    if map.contains_key(key) { map.get_mut(key) } else { map.values_mut().find_map(|inner| find(inner, key)) }
}

#[test]
fn an_entry_of_another_key_is_not_believed() {
    let swap = |scene: &Scene, first: &Path| {
        let second = entry(scene, "second");
        for name in ["entry.json", "model/model.safetensors"] {
            std::fs::copy(second.join(name), first.join(name)).unwrap();
        }
    };
    runs_again_after(swap, "the second stage's result under the first one's key");
}

#[test]
fn an_entry_that_a_killed_run_was_still_writing_is_not_listed() {
    let (scene, ..) = warm();
    let first = entry(&scene, "first");
    let half = first.with_file_name(".new-half");
    std::fs::create_dir(&half).unwrap();
    std::fs::copy(first.join("entry.json"), half.join("entry.json")).unwrap();
    assert_eq!(scene.cache().entries().len(), 2);
}

#[test]
fn measures_that_are_damaged_are_taken_again() {
    let (scene, ..) = warm();
    let before = scene.run().report;
    for (path, bytes) in scene.files("cache/v1/measures") {
        let text = String::from_utf8(bytes).unwrap();
        std::fs::write(scene.path("cache/v1/measures").join(path), text.replace("0.", "0.1")).unwrap();
    }
    assert_eq!(scene.run().report, before);
}

#[test]
fn another_version_of_a_nested_pass_runs_the_sweep_again() {
    let recipe = "stages:
  - id: sweep
    fake/sweep: { space: { by: { choice: [1, 2] } } }
    stages: [fake/shift: { by: $by }]
";
    let (sweep, old, new) = (sweep(), shift(), shift().version(2));
    let scene = Scene::new(recipe, &[&sweep, &old]);
    scene.run();
    scene.run();
    assert_eq!((sweep.runs(), old.runs()), (1, 2));
    scene.use_passes(&[&sweep, &new]);
    assert_eq!(scene.why(), [(false, "version 1 of the nested pass `fake/shift` gave the last result".to_owned())]);
    scene.run();
    assert_eq!((sweep.runs(), new.runs()), (2, 2));
}
