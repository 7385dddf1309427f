//! What the end-to-end tests share: the binary, scratch directories, and texts made comparable.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The `paring` binary that `cargo test` built beside this test's own executable.
///
/// # Panics
/// When it is not there: the crate `paring` has an integration test, so `cargo test` in the workspace builds it.
#[allow(clippy::expect_used, reason = "test support: without the binary there is nothing to test")]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test.ancestors().nth(2).expect("the test lies in target/PROFILE/deps");
    let binary = profile.join(format!("paring{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "`{}` is missing: run `cargo test` for the whole workspace", binary.display());
    binary
}

/// A place of its own for one test: an output directory and a cache that nobody else uses.
pub struct Scratch {
    directory: TempDir,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// A fresh place.
    ///
    /// # Panics
    /// When the system gives no temporary directory.
    #[allow(clippy::expect_used, reason = "test support: a machine without temporary directories runs no test")]
    pub fn new() -> Self {
        Self { directory: TempDir::with_prefix("paring test é ").expect("a temporary directory") }
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The binary with this place's cache, started in the workspace, colourless.
    pub fn paring(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(workspace())
            .env("PARING_CACHE", self.path("cache"))
            .env("NO_COLOR", "1")
            .env("COLUMNS", "120")
            .env_remove("RUST_LOG");
        command
    }

    /// Runs a recipe into `out` below this place.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[allow(clippy::expect_used, reason = "test support: without the binary there is nothing to test")]
    pub fn run(&self, recipe: &Path, out: &str) -> Output {
        let mut command = self.paring();
        command.arg("run").arg(recipe).arg("--out").arg(self.path(out));
        command.output().expect("the paring binary starts")
    }
}

/// Exit code and standard error in one text, with the scratch directory's name taken out.
pub fn outcome(output: &Output, scratch: &Scratch) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let place = scratch.directory.path().display().to_string();
    format!("exit code: {}\n----- stderr\n{}", output.status.code().unwrap_or(-1), stderr.replace(&place, "[scratch]"))
}

/// Where the recipes of `tests/bad` find data: the shipped tables and their own files.
pub fn bad_arguments() -> [&'static str; 4] {
    ["--root", "recipes", "--root", "tests/bad/files"]
}

/// The recipes that ship, sorted by name.
///
/// # Panics
/// When the folder cannot be read.
#[allow(clippy::expect_used, reason = "test support: without recipes there is nothing to test")]
pub fn recipes() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(workspace().join("recipes")).expect("the folder recipes");
    let mut paths: Vec<PathBuf> = folder.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    paths
}
