//! A place of its own for one test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paring_engine::plan::plan;
use paring_engine::run::run;
use paring_engine::{Cache, Cancel, Events, Options, Plan, Project, Quiet, Registry, RunOptions, RunResult};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Inputs, Outputs, families};
use paring_passes::Pass;
use paring_schema::Diagnostics;
use tempfile::TempDir;

use super::Fake;
use super::fake::set;

/// Rows that [`tiny_model`] gets right. The five of class `b` are nearer and nearer to the border: it takes a shift of
/// more than 1, 2, 3, 4, 5 to get them wrong.
const ROWS: &str = "x0,x1,label\n1,0,a\n2,0,a\n3,0,a\n4,1,a\n5,1,a\n0,1,b\n0,2,b\n1,4,b\n1,5,b\n0,5,b\n";

const HEAD: &str = "paring: 1
name: scene
model: { load: model }
task: classify
data:
  train: { path: rows.csv, label: label }
  test: { path: test.csv, label: label }
  split: { train: 0.8, calibrate: 0.2 }
measure: [accuracy, size]
";

/// A directory with a model, rows, a recipe, and room for results and a cache.
pub struct Scene {
    directory: TempDir,
    /// The passes that recipes may name.
    passes: RefCell<Vec<Fake>>,
}

impl Scene {
    /// A fresh place whose recipe has this text after the head that names model, rows and measures.
    pub fn new(rest: &str, passes: &[&Fake]) -> Self {
        let scene = Self { directory: place(), passes: RefCell::default() };
        scene.use_passes(passes);
        tiny_model().save(&scene.path("model")).unwrap();
        std::fs::write(scene.path("rows.csv"), ROWS.to_owned() + &ROWS[ROWS.find('\n').unwrap() + 1..]).unwrap();
        std::fs::write(scene.path("test.csv"), ROWS).unwrap();
        scene.write(rest);
        scene
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes another recipe.
    pub fn write(&self, rest: &str) {
        std::fs::write(self.path("recipe.yaml"), HEAD.to_owned() + rest).unwrap();
    }

    /// Changes the recipe's text.
    pub fn edit(&self, from: &str, to: &str) {
        self.edit_file("recipe.yaml", from, to);
    }

    /// Changes a file's text.
    pub fn edit_file(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "`{from}` is not in `{name}`");
        std::fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    /// Brings other fakes.
    pub fn use_passes(&self, passes: &[&Fake]) {
        *self.passes.borrow_mut() = passes.iter().map(|&pass| pass.clone()).collect();
    }

    /// The cache that runs use.
    pub fn cache(&self) -> Cache {
        Cache::new(self.path("cache"))
    }

    /// The recipe, opened with the fakes and the built-in passes.
    pub fn project(&self) -> Project {
        self.open(&[]).unwrap_or_else(|problems| panic!("{:?}", messages(&problems)))
    }

    /// As [`Scene::project`], with `name=value` settings.
    pub fn open(&self, settings: &[&str]) -> Result<Project, Box<Diagnostics>> {
        let mut passes = paring_passes::registry::builtin();
        passes.extend(self.passes.borrow().iter().map(|fake| -> Box<dyn Pass> { Box::new(fake.clone()) }));
        let set = settings.iter().map(|&setting| setting.to_owned()).collect();
        let options = Options { set, roots: Vec::new() };
        Project::open(&self.path("recipe.yaml"), &options, Arc::new(Registry::new(passes)))
    }

    /// What a plan finds wrong.
    pub fn plan_problems(&self) -> Box<Diagnostics> {
        plan(&self.project()).expect_err("the plan finds nothing wrong")
    }

    /// Per stage whether the cache holds its result, and why.
    pub fn why(&self) -> Vec<(bool, String)> {
        let project = self.project();
        let mut plan = planned(&project);
        plan.ask_cache(&project, &self.cache()).unwrap();
        plan.stages.into_iter().map(|stage| stage.cache.map(|state| (state.hit, state.why)).unwrap()).collect()
    }

    /// Plans and runs the recipe into `out`.
    pub fn run(&self) -> RunResult {
        self.run_watched(&Quiet, &Cancel::default())
    }

    /// As [`Scene::run`], telling `events` and stopping when `cancel` says so.
    pub fn run_watched(&self, events: &dyn Events, cancel: &Cancel) -> RunResult {
        let result = self.try_run("out", events, cancel);
        result.unwrap_or_else(|problems| panic!("{:?}", messages(&problems)))
    }

    /// Plans and runs the recipe into a directory below this place.
    pub fn try_run(&self, out: &str, events: &dyn Events, cancel: &Cancel) -> Result<RunResult, Box<Diagnostics>> {
        let project = self.project();
        let options = RunOptions { out: self.path(out), cache: self.cache() };
        run(&project, &planned(&project), &options, events, cancel)
    }

    /// The model that the last run exported.
    pub fn exported(&self) -> Checkpoint {
        Checkpoint::open(&self.path("out/model")).unwrap()
    }

    /// Names of what lies in a directory, sorted; none where there is no directory.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(directory)).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Every file below a directory, with its bytes, by its path from there.
    pub fn files(&self, directory: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        gather(&self.path(directory), Path::new(""), &mut found);
        found
    }

    /// Files and directories that somebody was still writing, empty ones too.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        hidden(self.directory.path())
    }
}

/// A directory in memory where there is one: runs sync what they write, which takes most of a test's time on a disk.
fn place() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// Everything below a directory whose name begins with a point.
fn hidden(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            let is_hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            let below = if path.is_dir() { hidden(&path) } else { Vec::new() };
            below.into_iter().chain(is_hidden.then_some(path))
        })
        .collect()
}

fn planned(project: &Project) -> Plan {
    plan(project).unwrap_or_else(|problems| panic!("{:?}", messages(&problems)))
}

fn gather(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(root.join(below)).into_iter().flatten() {
        let path = below.join(entry.unwrap().file_name());
        if root.join(&path).is_dir() {
            gather(root, &path, found);
        } else {
            found.insert(path.clone(), std::fs::read(root.join(&path)).unwrap());
        }
    }
}

/// Two inputs, two hidden neurons that hand them on, two classes: `a` where x0 is larger than x1, else `b`.
pub fn tiny_model() -> Checkpoint {
    let number = |name: &str| ColumnEncoding { name: name.to_owned(), encoding: Encoding::Number { fill: None } };
    let inputs = Inputs { columns: vec![number("x0"), number("x1")], steps: Vec::new(), shape: vec![2] };
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let outputs = Outputs::Classify { column: "label".to_owned(), labels };
    let spec = Spec::Mlp(MlpSpec { hidden: vec![2], activation: Activation::Relu, dropout: 0.0 });
    let mut model = families::initialize(&spec, &inputs, &outputs, &mut |_, _| ()).unwrap();
    for (name, values) in [("layers.0.weight", [1.0, 0.0, 0.0, 1.0]), ("head.weight", [1.0, 0.0, 0.0, 1.0])] {
        set(&mut model, name, &values);
    }
    set(&mut model, "layers.0.bias", &[0.0; 2]);
    set(&mut model, "head.bias", &[0.0; 2]);
    model
}

/// The codes of problems, in order.
pub fn codes(problems: &Diagnostics) -> Vec<&'static str> {
    problems.list.iter().map(|problem| problem.code).collect()
}

/// Messages with their codes.
pub fn messages(problems: &Diagnostics) -> Vec<String> {
    problems.list.iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

/// The labels of the only problem: the text that each points at, and what it says.
pub fn labelled(problems: &Diagnostics) -> Vec<(String, String)> {
    assert_eq!(problems.list.len(), 1, "{:?}", messages(problems));
    let label = |label: &paring_schema::diagnostic::Label| {
        let text = &problems.sources.get(label.span.source).text;
        (text[label.span.start..label.span.end].to_owned(), label.text.clone())
    };
    problems.list[0].labels.iter().map(label).collect()
}
