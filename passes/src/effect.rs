//! What a stage will do, planned from the model's outline.

use paring_data::{Part, Parts};
use paring_model::{Outline, Site};

use crate::context::{part_name, stand_in};
use crate::prune::pattern::Pattern;

/// What a step sees when it plans: the outline before it, and what the recipe gives it.
pub struct PlanCx<'a> {
    /// The model before the stage.
    pub outline: &'a Outline,
    /// Sites that the stage's `targets` and `ignore` leave, in forward order.
    pub sites: &'a [Site],
    /// Row numbers of each part of the data, if the recipe has data.
    pub parts: Option<&'a Parts>,
    /// The effect of the nested stages, for a sweep: planned by the engine with the first value of every variable.
    pub nested: Option<&'a Outline>,
    /// Number of nested stages.
    pub nested_stages: usize,
    /// Names of the recipe's measures.
    pub measures: &'a [String],
}

impl PlanCx<'_> {
    /// A note where other rows stand in for the part that a pass asks for; none where the part has rows of its own.
    pub fn stand_in_note(&self, part: Part) -> Option<String> {
        let used = self.parts.map_or(part, |parts| stand_in(parts, part));
        let (wanted, used) = (part_name(part), part_name(used));
        (wanted != used).then(|| format!("the recipe has no {wanted} rows; the {used} rows stand in for them"))
    }
}

/// What the stage will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The model after the stage.
    pub outline: Outline,
    /// Sites it changes, by name.
    pub touches: Vec<String>,
    /// Sites among its targets that it leaves alone, with the reason.
    pub skips: Vec<(String, String)>,
    /// Peak memory beyond the model itself, in bytes.
    pub memory: u64,
    /// Whether the outline is exact (`false` where it depends on what is found, as after a sweep over widths).
    pub exact: bool,
    /// Notes for the person, one line each.
    pub notes: Vec<String>,
    /// The pattern that the zeros of what it changes are in; `None` where they may lie anywhere.
    pub pattern: Option<Pattern>,
}

impl Effect {
    /// An exact effect that changes numbers but no shape.
    pub fn same_shape(outline: &Outline) -> Self {
        Self {
            outline: outline.clone(),
            touches: Vec::new(),
            skips: Vec::new(),
            memory: 0,
            exact: true,
            notes: Vec::new(),
            pattern: None,
        }
    }
}
