//! The table at the end of a run: each measure before the first stage and after every stage, size and time.

use indexmap::IndexMap;
use paring_engine::report::{Report, Timings};

use crate::output;

/// The table.
pub fn table(report: &Report, timings: &Timings, width: usize) -> String {
    let names = measures(report, timings);
    let mut header = vec!["stage", "pass"];
    header.extend(names.iter().map(String::as_str));
    header.push("time");
    let mut rows = Vec::new();
    if let Some(first) = report.stages.first().and_then(|stage| stage.before.as_ref()) {
        let timed = timings.stages.first().map(|stage| &stage.before);
        rows.push(row(["(start)", ""], &names, first, timed, String::new()));
    }
    let none = IndexMap::new();
    for (stage, timed) in report.stages.iter().zip(&timings.stages) {
        let mark = if stage.outcome == "kept" { String::new() } else { format!(" ({})", stage.outcome) };
        let time = if timed.cached { "cached".to_owned() } else { format!("{:.1} s", timed.seconds) };
        let after = stage.after.as_ref().unwrap_or(&none);
        rows.push(row([&format!("{}{mark}", stage.id), &stage.pass], &names, after, Some(&timed.after), time));
    }
    output::table(&header, rows, width)
}

/// Every measure that any stage has, results first.
fn measures(report: &Report, timings: &Timings) -> Vec<String> {
    let results = report.stages.iter().flat_map(|stage| stage.before.iter().chain(&stage.after));
    let timed = timings.stages.iter().flat_map(|stage| [&stage.before, &stage.after]);
    let mut names: Vec<String> = Vec::new();
    for name in results.chain(timed).flat_map(IndexMap::keys) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn row(
    first: [&str; 2],
    names: &[String],
    results: &IndexMap<String, f64>,
    timed: Option<&IndexMap<String, f64>>,
    time: String,
) -> Vec<String> {
    let value = |name: &String| results.get(name).or_else(|| timed?.get(name)).copied();
    let cells =
        names.iter().map(|name| value(name).map_or_else(|| "-".to_owned(), |value| output::figure(name, value)));
    first.iter().map(|&text| text.to_owned()).chain(cells).chain([time]).collect()
}
