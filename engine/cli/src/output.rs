//! Standard output: data, as text for people or as JSON for programs.

use std::io::Write as _;

use paring_engine::train::measure::info;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Writes a line of data.
///
/// # Errors
/// When standard output is closed or full.
pub fn line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// Writes a piece of a line of data, at once.
///
/// # Errors
/// When standard output is closed or full.
pub fn piece(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a JSON document, indented.
///
/// # Errors
/// When standard output is closed or full.
pub fn json(value: &impl serde::Serialize) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other)?;
    line(&text)
}

/// A plain table: a header row, left-aligned first column, right-aligned others.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, width: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec()).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(120));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A size in bytes as people read it: `203.4 kB`.
pub fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A measured value as people read it, by the measure's unit.
pub fn figure(measure: &str, value: f64) -> String {
    let unit = info(measure).map_or("", |info| info.unit);
    match unit {
        "bytes" => bytes(value),
        "ms" => format!("{value:.3} ms"),
        _ if measure.starts_with("latency") => format!("{value:.3} ms"),
        _ if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_read_like_a_person_writes_them() {
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(203_432.0), "203.4 kB");
        assert_eq!(bytes(999_960.0), "1.0 MB");
    }
}
