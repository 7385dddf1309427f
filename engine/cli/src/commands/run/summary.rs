//! The table at the end of a run: each measure before the first stage and after every stage, size and time.

use indexmap::IndexMap;
use paring_engine::report::{Report, Timings};
use paring_engine::train::measure::{Direction, info};

use crate::output;

/// Times whose ratio is nearer to 1 than this are alike.
const ALIKE: f64 = 0.05;

/// The table. A time that is clearly worse than that of the model before all stages is marked.
pub fn table(report: &Report, timings: &Timings, width: usize) -> String {
    let names = measures(report, timings);
    let mut header = vec!["stage", "pass"];
    header.extend(names.iter().map(String::as_str));
    header.push("time");
    let mut rows = Vec::new();
    if let Some(first) = report.stages.first().and_then(|stage| stage.before.as_ref()) {
        let timed = timings.stages.first().map(|stage| &stage.before);
        rows.push(row(["(start)", ""], &names, first, timed.map(|timed| (timed, timed)), String::new()));
    }
    let none = IndexMap::new();
    for (stage, timed) in report.stages.iter().zip(&timings.stages) {
        let mark = if stage.outcome == "kept" { String::new() } else { format!(" ({})", stage.outcome) };
        let time = if timed.cached { "cached".to_owned() } else { format!("{:.1} s", timed.seconds) };
        let after = stage.after.as_ref().unwrap_or(&none);
        let start = timings.stages.first().map_or(&none, |first| &first.before);
        let name = format!("{}{mark}", stage.id);
        rows.push(row([&name, &stage.pass], &names, after, Some((&timed.after, start)), time));
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

/// Times of a row, and those at the start.
type Timed<'a> = (&'a IndexMap<String, f64>, &'a IndexMap<String, f64>);

fn row(
    first: [&str; 2],
    names: &[String],
    results: &IndexMap<String, f64>,
    timed: Option<Timed<'_>>,
    time: String,
) -> Vec<String> {
    let cell = |name: &String| {
        if let Some(value) = results.get(name) {
            return output::figure(name, *value);
        }
        let Some((value, start)) = timed.and_then(|(now, start)| Some((*now.get(name)?, start.get(name)))) else {
            return "-".to_owned();
        };
        let mark = if start.is_some_and(|start| slower(name, *start, value)) { " (slower)" } else { "" };
        format!("{}{mark}", output::figure(name, value))
    };
    first.iter().map(|&text| text.to_owned()).chain(names.iter().map(cell)).chain([time]).collect()
}

fn slower(name: &str, start: f64, now: f64) -> bool {
    match info(name) {
        Some(info) if info.unit == "bytes" => false,
        Some(info) if info.direction == Direction::Higher => now < start * (1.0 - ALIKE),
        _ => now > start * (1.0 + ALIKE),
    }
}

#[cfg(test)]
mod tests {
    use super::{row, slower};

    #[test]
    fn slower_is_more_milliseconds_or_fewer_tokens_a_second() {
        assert!(slower("latency", 10.0, 11.0) && !slower("latency", 10.0, 10.4) && !slower("latency", 10.0, 5.0));
        assert!(slower("decode_speed", 50.0, 40.0) && !slower("decode_speed", 50.0, 60.0));
        assert!(!slower("peak_memory", 10.0, 20.0));
    }

    #[test]
    fn times_worse_than_at_the_start_are_marked() {
        let figures = |latency: f64| [("latency".to_owned(), latency)].into();
        let cells =
            row(["a", "b"], &["latency".to_owned()], &[].into(), Some((&figures(20.0), &figures(10.0))), String::new());
        assert_eq!(cells, ["a", "b", "20.000 ms (slower)", ""]);
        let cells =
            row(["a", "b"], &["latency".to_owned()], &[].into(), Some((&figures(5.0), &figures(10.0))), String::new());
        assert_eq!(cells, ["a", "b", "5.000 ms", ""]);
    }
}
