//! The end of a run: the recipe's gates, the exports, the report.

use paring_schema::Diagnostic;
use paring_schema::language::OnFail;
use paring_train::measure::LatencySettings;

use super::stages::{Run, stage_file};
use super::{Ending, RunResult};
use crate::export;
use crate::output::{OutputError, export_name};
use crate::report::{ExportReport, REPORT_VERSION, Report, Timings};

pub(super) fn finish(mut run: Run<'_>) -> RunResult {
    let gates = judge_recipe(&mut run);
    let exports = if wants_export(&run) { export_all(&mut run) } else { Vec::new() };
    let (report, timings) = reports(&run, gates, exports);
    if run.ending != Ending::Interrupted
        && let Err(error) = write(&run, &report, &timings)
    {
        run.problems.push(Diagnostic::new("E001", error.to_string()));
        run.ending = Ending::StageFailed;
    }
    let problems = run.project.diagnostics(std::mem::take(&mut run.problems));
    RunResult { ending: run.ending, report, timings, problems }
}

/// Judges the recipe's gates on the finished model; where they are not met and the recipe says so, goes back to the
/// last model that met them.
fn judge_recipe(run: &mut Run<'_>) -> Vec<crate::gates::Verdict> {
    if run.ending == Ending::Interrupted || run.state.measured.is_none() {
        return Vec::new();
    }
    let keeps_best = run.project.loaded().recipe.on_fail == OnFail::KeepBest;
    if run.ending != Ending::Done && !keeps_best {
        return Vec::new();
    }
    let verdicts = run.recipe_verdicts(&run.state);
    if verdicts.iter().all(|verdict| verdict.met) {
        return verdicts;
    }
    run.gates_not_met(&verdicts, "", "");
    if run.ending == Ending::Done {
        run.ending = Ending::GateNotMet;
    }
    if let Some(best) = run.best.clone().filter(|_| keeps_best) {
        run.state = best;
        return run.recipe_verdicts(&run.state);
    }
    verdicts
}

fn wants_export(run: &Run<'_>) -> bool {
    let keeps_best = run.project.loaded().recipe.on_fail == OnFail::KeepBest;
    match run.ending {
        Ending::Done => true,
        Ending::Interrupted => false,
        Ending::StageFailed | Ending::GateNotMet => keeps_best && run.state.model.is_built(),
    }
}

fn export_all(run: &mut Run<'_>) -> Vec<ExportReport> {
    let mut done = Vec::new();
    let recipe = run.project.loaded().recipe.clone();
    for index in 0..recipe.export.len() {
        let name = export_name(index);
        let exported = run.runner.probe(&run.state.model).map_err(|error| error.to_string()).and_then(|probe| {
            let place = export::Place { output: &run.output, directory: &name, recipe: &recipe.name };
            let wanted = recipe.export.get(index).ok_or("it is not in the recipe")?;
            export::export(wanted, &run.state.model, probe.as_ref(), &place).map_err(|error| error.to_string())
        });
        match exported {
            Ok(report) => done.push(report),
            Err(reason) => {
                let place = run.project.loaded().span(&format!("/export/{index}"));
                let message = format!("the export failed: {reason}");
                run.problems.push(Diagnostic::new("E008", message).label(place, ""));
                run.ending = Ending::StageFailed;
            }
        }
    }
    done
}

fn reports(run: &Run<'_>, gates: Vec<crate::gates::Verdict>, exports: Vec<ExportReport>) -> (Report, Timings) {
    let recipe = &run.project.loaded().recipe;
    let report = Report {
        report: REPORT_VERSION,
        recipe: recipe.name.clone(),
        description: recipe.description.clone(),
        seed: recipe.seed,
        ending: run.ending.name().to_owned(),
        data: run.project.data.as_ref().map(|data| data.digest.clone()),
        baseline: run.baseline.as_ref().map(|measured| measured.results.clone()),
        stages: run.stages.clone(),
        gates,
        model: run.state.model.is_built().then(|| run.state.digest.clone()),
        exports,
        notes: run.plan.notes.clone(),
    };
    let timings = Timings {
        timings: 1,
        seconds: run.started.elapsed().as_secs_f64(),
        latency: LatencySettings::default().stated(),
        stages: run.timings.clone(),
    };
    (report, timings)
}

fn write(run: &Run<'_>, report: &Report, timings: &Timings) -> Result<(), OutputError> {
    let text = |value: serde_json::Result<String>| {
        value
            .map(|text| text + "\n")
            .map_err(|error| OutputError::Write { path: run.options.out.clone(), source: error.into() })
    };
    for stage in &report.stages {
        for (name, bytes) in &stage.receipt.files {
            run.output.write_beside(&stage_file(&stage.id, name), bytes)?;
        }
    }
    run.output.write("report.json", text(serde_json::to_string_pretty(report))?.as_bytes())?;
    run.output.write("timings.json", text(serde_json::to_string_pretty(timings))?.as_bytes())
}
