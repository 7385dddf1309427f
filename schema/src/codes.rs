//! Every diagnostic code with its explanation: the manual behind `paring explain CODE`.

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

/// All codes, sorted.
pub const CODES: &[CodeInfo] = &[];
