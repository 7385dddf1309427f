//! The output directory: one run at a time, whole files or none, and nothing that a run did not write is touched.

use std::path::Path;

use paring_engine::output::OutputDirectory;
use paring_engine::{Cancel, Ending, Quiet};
use paring_passes::PassError;
use paring_schema::Diagnostics;

use crate::support::{Fake, Scene, codes, set, shift};

const SHIFT: &str = "stages: [fake/shift: { by: 1.5 }]\nexport: [safetensors: {}]\n";

fn try_run(scene: &Scene, out: &str) -> Result<Ending, Box<Diagnostics>> {
    scene.try_run(out, &Quiet, &Cancel::default()).map(|result| result.ending)
}

/// The run is refused before any work, with this code and help.
fn refused(scene: &Scene, out: &str, code: &str, words: &str) {
    let problems = try_run(scene, out).expect_err("the directory is refused");
    assert_eq!(codes(&problems), [code]);
    let problem = &problems.list[0];
    assert!(problem.message.contains(words) && problem.message.contains(out), "{}", problem.message);
    assert_eq!(problem.help.as_deref(), Some("choose another directory with `--out DIR`"));
    assert!(scene.cache().entries().is_empty(), "it is found out before the work");
}

#[test]
fn a_directory_that_another_run_writes_to_is_refused_until_that_run_ends() {
    let scene = Scene::new(SHIFT, &[&shift()]);
    let other = OutputDirectory::open(&scene.path("out")).unwrap();
    other.write("notes.txt", b"busy").unwrap();
    refused(&scene, "out", "E007", "another run is writing to");
    assert_eq!(scene.names("out"), ["notes.txt"]);
    drop(other);
    assert_eq!(try_run(&scene, "out").unwrap(), Ending::Done);
}

#[test]
fn files_of_others_outlive_every_ending() {
    let cancel = Cancel::default();
    cancel.cancel();
    let fails = Fake::new("fake/fails", |_, _, _| Err(PassError::Failed("no luck".to_owned())));
    let scene = Scene::new(SHIFT, &[&shift(), &fails]);
    std::fs::create_dir_all(scene.path("out/notes")).unwrap();
    std::fs::write(scene.path("out/notes/mine.txt"), "mine").unwrap();
    std::fs::write(scene.path("out/model.txt"), "mine too").unwrap();
    assert_eq!(scene.run_watched(&Quiet, &cancel).ending, Ending::Interrupted);
    assert_eq!(scene.names("out"), ["model.txt", "notes"]);
    assert_eq!(scene.run().ending, Ending::Done);
    scene.edit("fake/shift: { by: 1.5 }", "fake/fails: {}");
    assert_eq!(scene.run().ending, Ending::StageFailed);
    assert_eq!(scene.names("out"), ["model", "model.txt", "notes", "report.json", "timings.json"]);
    assert_eq!(std::fs::read(scene.path("out/notes/mine.txt")).unwrap(), b"mine");
    assert_eq!(std::fs::read(scene.path("out/model.txt")).unwrap(), b"mine too");
}

#[test]
fn what_no_run_wrote_is_not_replaced() {
    for (name, words) in [("model", "model"), ("report.json", "report.json"), ("timings.json", "timings.json")] {
        let scene = Scene::new(SHIFT, &[&shift()]);
        std::fs::create_dir(scene.path("out")).unwrap();
        std::fs::write(scene.path("out").join(name), "mine").unwrap();
        refused(&scene, "out", "E001", words);
        assert_eq!(std::fs::read(scene.path("out").join(name)).unwrap(), b"mine");
    }
    let scene = Scene::new(SHIFT, &[&shift()]);
    std::fs::create_dir_all(scene.path("out/model")).unwrap();
    std::fs::write(scene.path("out/model/thesis.txt"), "mine").unwrap();
    refused(&scene, "out", "E001", "was not written by a run");
    assert_eq!(scene.names("out/model"), ["thesis.txt"]);
}

#[test]
fn the_model_that_a_recipe_starts_from_is_not_replaced_by_its_result() {
    let scene = Scene::new(SHIFT, &[&shift()]);
    let before = scene.files("model");
    let problems = try_run(&scene, "").expect_err("the output would lie over the model");
    assert_eq!(codes(&problems), ["E001"]);
    assert!(problems.list[0].message.contains("the recipe starts from"), "{}", problems.list[0].message);
    assert!(scene.files("model") == before);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_and_left_as_it_is() {
    let scene = Scene::new(SHIFT, &[&shift()]);
    std::fs::write(scene.path("taken"), "mine").unwrap();
    refused(&scene, "taken/out", "E001", "cannot write to");
    refused(&scene, "taken", "E001", "cannot write to");
    assert_eq!(std::fs::read(scene.path("taken")).unwrap(), b"mine");
}

#[test]
#[cfg(unix)]
fn a_read_only_parent_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;

    let scene = Scene::new(SHIFT, &[&shift()]);
    let parent = scene.path("parent");
    std::fs::create_dir(&parent).unwrap();
    std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser writes everywhere: what is refused to others succeeds then.
    if tempfile::tempfile_in(&parent).is_ok() {
        assert_eq!(try_run(&scene, "parent/out").unwrap(), Ending::Done);
    } else {
        refused(&scene, "parent/out", "E001", "cannot write to");
        assert!(scene.names("parent").is_empty());
    }
    std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_a_killed_run_left_unfinished_is_removed() {
    let scene = Scene::new(SHIFT, &[&shift()]);
    assert_eq!(scene.run().ending, Ending::Done);
    let killed = OutputDirectory::open(&scene.path("out")).unwrap();
    let left = killed.unfinished().unwrap().keep();
    std::fs::write(left.join("model.safetensors"), "half").unwrap();
    std::fs::write(scene.path("out/.unfinished-report"), "half").unwrap();
    drop(killed);
    assert_eq!(scene.run().ending, Ending::Done);
    assert_eq!(scene.names("out"), ["model", "report.json", "timings.json"]);
}

#[test]
fn a_result_that_cannot_be_stored_fails_its_stage_and_leaves_nothing_partial() {
    let scene = Scene::new("stages: [fake/deletes: {}]\nexport: [safetensors: {}]\n", &[]);
    std::fs::write(scene.path("model/vocabulary.txt"), "a b").unwrap();
    let carried = scene.path("model/vocabulary.txt");
    let deletes = Fake::changing("fake/deletes", move |model| {
        std::fs::remove_file(&carried).unwrap();
        set(model, "head.bias", &[0.5, 0.0]);
    });
    scene.use_passes(&[&deletes]);
    let result = scene.run();
    assert_eq!((result.ending, codes(&result.problems)), (Ending::StageFailed, vec!["E009"]));
    assert_eq!(scene.names("out"), ["report.json", "timings.json"]);
    assert!(scene.cache().entries().is_empty() && scene.unfinished().is_empty(), "{:?}", scene.unfinished());
}

#[test]
fn a_failed_publication_leaves_what_was_there() {
    let scene = Scene::new(SHIFT, &[&shift()]);
    assert_eq!(scene.run().ending, Ending::Done);
    let before = scene.files("out");
    let output = OutputDirectory::open(&scene.path("out")).unwrap();
    let gone = output.unfinished().unwrap();
    std::fs::remove_dir(gone.path()).unwrap();
    output.publish(gone, "model").expect_err("there is nothing to publish");
    drop(output);
    assert!(scene.files("out") == before, "{:?}", scene.names("out"));
}

#[test]
fn the_same_recipe_gives_the_same_bytes_in_two_directories() {
    let results = |out: &str| {
        let scene = Scene::new(SHIFT, &[&shift()]);
        assert_eq!(try_run(&scene, out).unwrap(), Ending::Done);
        let mut files = scene.files(out);
        assert!(files.remove(Path::new("timings.json")).is_some());
        files
    };
    let (one, two) = (results("out"), results("else where/é"));
    assert!(one.contains_key(Path::new("model/model.safetensors")) && one.contains_key(Path::new("report.json")));
    assert!(one == two);
}
