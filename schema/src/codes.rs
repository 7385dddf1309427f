//! Every diagnostic code with its explanation: the manual behind `paring explain CODE`.

mod recipe;
mod text;

use std::sync::LazyLock;

/// A code and its manual entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeInfo {
    /// The code: `Y` text, `R` recipe, `P` plan, `D` data, `M` model, `E` run, `X` plugin.
    pub code: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means, an example, the cure (Markdown).
    pub explanation: &'static str,
}

/// All codes, sorted. Each letter has a file of its own.
pub static CODES: LazyLock<Vec<CodeInfo>> = LazyLock::new(|| {
    let mut codes: Vec<CodeInfo> = [text::CODES, recipe::CODES].concat();
    codes.sort_by_key(|info| info.code);
    codes
});

/// The entry of a code, in any letter case.
pub fn find(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|info| info.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{CODES, find};

    /// Codes written as texts in the sources of this crate.
    fn used(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, found);
            } else if !path.to_string_lossy().contains("codes") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let texts = text.split('"').filter(|part| part.len() == 4 && part.starts_with(['Y', 'R']));
                found.extend(texts.filter(|part| part[1..].parse::<u16>().is_ok()).map(str::to_owned));
            }
        }
    }

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn every_code_in_use_has_an_entry_and_every_entry_is_in_use() {
        let mut found = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let own = CODES.iter().map(|info| info.code).filter(|code| code.starts_with(['Y', 'R']));
        assert_eq!(found, own.map(str::to_owned).collect());
    }

    #[test]
    fn entries_have_an_example_and_a_cure() {
        for info in CODES.iter() {
            assert_eq!(info.explanation.matches("```").count(), 2, "{}", info.code);
            assert!(
                info.title.chars().next().is_some_and(|c| !c.is_uppercase() || info.title.starts_with("YAML")),
                "{}",
                info.code
            );
        }
    }

    #[test]
    fn entries_are_found_in_any_case() {
        assert_eq!(find("r004").map(|info| info.code), Some("R004"));
        assert_eq!(find("R999"), None);
    }
}
