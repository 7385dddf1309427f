//! What the documents show is true: the README's recipe runs, its commands exist, and a report fits its own schema.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop where a test would")]

use paring_tests::{Scratch, workspace};

fn readme() -> String {
    std::fs::read_to_string(workspace().join("README.md")).unwrap()
}

#[test]
fn the_recipe_of_the_readme_runs_and_its_report_fits_the_report_schema() {
    let readme = readme();
    let recipe = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let scratch = Scratch::new();
    std::fs::write(scratch.path("tour.yaml"), recipe).unwrap();
    let mut command = scratch.paring();
    command.arg("run").arg(scratch.path("tour.yaml")).args(["--root", "recipes"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let schema = scratch.paring().args(["schema", "report"]).output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let report = std::fs::read(scratch.path("out/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    jsonschema::validate(&schema, &report).unwrap();
}

#[test]
fn the_commands_of_the_readme_exist() {
    let help = Scratch::new().paring().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = readme();
    let commands: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("paring ")?.split_whitespace().next()).collect();
    assert!(commands.len() > 5, "the README shows {commands:?}");
    let missing: Vec<_> = commands.iter().filter(|command| !help.contains(&format!("\n  {command} "))).collect();
    assert!(missing.is_empty(), "the README shows commands that do not exist: {missing:?}");
}

#[test]
fn the_readme_lists_every_pass() {
    let readme = readme();
    let missing: Vec<&str> = paring_passes::registry::builtin()
        .iter()
        .map(|pass| pass.info().id)
        .filter(|id| !readme.contains(&format!("`{id}`")))
        .collect();
    assert!(missing.is_empty(), "passes that the README does not list: {missing:?}");
}
