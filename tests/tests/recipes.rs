//! Every recipe that ships is planned and run. The plan's and the report's facts that do not depend on the machine's
//! arithmetic are snapshots: resolved settings, ledgers, and for each tensor its shape, storage and masked zeros.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop where a test would")]

use paring_tests::Scratch;
use serde_json::{Map, Value, json};

/// Recipes over data that does not ship; `assets.rs` runs them.
const DOWNLOADED: &[&str] = &[
    "distill-attention.yaml",
    "distill-embeddings.yaml",
    "distill-features.yaml",
    "fashion-mnist.yaml",
    "prune-heads.yaml",
    "prune-layers.yaml",
    "prune-width.yaml",
    "sentiment-student.yaml",
];

/// Measures that follow from shapes alone.
const EXACT: &[&str] = &["size", "params", "macs", "bits_per_weight"];

fn json_of(scratch: &Scratch, arguments: &[&str], recipe: &str) -> Value {
    let mut command = scratch.paring();
    command.args(arguments).arg(format!("recipes/{recipe}")).arg("--json");
    if arguments == ["run"] {
        command.arg("--out").arg(scratch.path("out"));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{recipe}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The stage's facts; shapes are left out where the plan says that they depend on what is found.
fn stage_facts(stage: &Value, exact: bool) -> Value {
    let tensors: Vec<String> = items(&stage["engine"], "tensors").iter().map(tensor_line).collect();
    let measured: Map<String, Value> = stage["after"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| exact && EXACT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({
        "id": stage["id"],
        "pass": stage["pass"],
        "parameters": stage["parameters"],
        "ledger": stage["ledger"],
        "outcome": stage["outcome"],
        "tensors": if exact { json!(tensors) } else { json!("depend on what is found") },
        "measures": measured,
    })
}

fn tensor_line(tensor: &Value) -> String {
    let storage = tensor["storage"].as_str().unwrap();
    let zeros = if storage.ends_with("masked") { format!(", {} zeros", tensor["zeros"]) } else { String::new() };
    format!("{} {} {storage}{zeros}", tensor["name"].as_str().unwrap(), tensor["shape"])
}

/// Of which stages the plan is certain.
fn exactness(plan: &Value) -> Vec<bool> {
    items(plan, "stages").iter().map(|stage| stage["exact"] == true).collect()
}

fn check_plan_came_true(recipe: &str, plan: &Value, report: &Value) {
    for (planned, done) in items(plan, "stages").iter().zip(items(report, "stages")) {
        let built = done["engine"]["size_after"] != 0;
        if planned["exact"] == true && built {
            assert_eq!(planned["size"], done["engine"]["size_after"], "{recipe}: stage {}", planned["id"]);
        }
    }
}

#[test]
fn every_shipped_recipe_runs_and_does_what_its_plan_says() {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::glob!("../../recipes", "*.yaml", |path| {
            let recipe = path.file_name().unwrap().to_str().unwrap();
            if DOWNLOADED.contains(&recipe) {
                return;
            }
            let scratch = Scratch::new();
            let plan = json_of(&scratch, &["plan"], recipe);
            let report = json_of(&scratch, &["run"], recipe)["report"].take();
            check_plan_came_true(recipe, &plan, &report);
            let certain = exactness(&plan);
            let stages: Vec<Value> =
                items(&report, "stages").iter().zip(certain).map(|(stage, exact)| stage_facts(stage, exact)).collect();
            let gates: Vec<Value> =
                items(&report, "gates").iter().map(|gate| json!([gate["measure"], gate["bound"], gate["met"]])).collect();
            insta::assert_json_snapshot!(json!({
                "plan": {
                    "rows": plan["rows"],
                    "notes": items(&plan, "stages").iter().map(|stage| stage["notes"].clone()).collect::<Vec<_>>(),
                    "exports": plan["exports"],
                },
                "stages": stages,
                "gates": gates,
                "opened_by": items(&report, "exports").iter().map(|e| e["opened_by"].clone()).collect::<Vec<_>>(),
            }));
        });
    });
}

#[test]
fn every_built_in_pass_has_a_recipe() {
    let missing: Vec<&str> = paring_passes::registry::builtin()
        .iter()
        .map(|pass| pass.info().id)
        .filter(|id| !paring_tests::workspace().join(format!("recipes/{}.yaml", id.replace('/', "-"))).is_file())
        .collect();
    assert!(missing.is_empty(), "passes without a recipe: {missing:?}");
}
