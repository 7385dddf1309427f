//! Every diagnostic code with its explanation: the manual behind `paring explain CODE`.

mod data;
mod model;
mod plan;
mod recipe;
mod run;
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
    let mut codes: Vec<CodeInfo> =
        [text::CODES, recipe::CODES, plan::CODES, data::CODES, model::CODES, run::CODES].concat();
    codes.sort_by_key(|info| info.code);
    codes
});

/// The entry of a code, in any letter case.
pub fn find(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|info| info.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::{CODES, find};

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
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
