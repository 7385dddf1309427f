//! Which hidden states of a student are compared with which of its teacher.

use paring_model::{Outline, Role};
use paring_train::fit::Hidden;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lesson::layers;
use crate::error::Problem;

/// Which layer of the teacher each layer of the student is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerMap {
    /// Evenly spread, the last with the last.
    #[default]
    Uniform,
    /// With the first ones.
    First,
    /// With the last ones.
    Last,
}

impl LayerMap {
    /// The teacher's layers for `student` layers, of `teacher`; the student has no more than the teacher.
    fn of(self, student: usize, teacher: usize) -> Vec<usize> {
        let spread = |layer: usize| (layer + 1) * teacher / student.max(1) - 1;
        match self {
            LayerMap::Uniform => (0..student).map(spread).collect(),
            LayerMap::First => (0..student).collect(),
            LayerMap::Last => (teacher - student..teacher).collect(),
        }
    }
}

/// The pairs of blocks whose outputs are compared: as [`layer_pairs`], but that the first block looks tokens up.
pub(super) fn pairs(
    both: (&Outline, &Outline),
    map: LayerMap,
    listed: Option<&[usize]>,
    place: &str,
) -> Result<Vec<(usize, usize)>, Problem> {
    let layers = layer_pairs(both, map, listed, place)?;
    Ok(layers.into_iter().map(|(own, teachers)| (own + 1, teachers + 1)).collect())
}

/// The pairs of layers that are compared, all of the student's, or why they cannot be. `listed` names the teacher's
/// layers one by one. `place` is the parameter to blame.
pub(super) fn layer_pairs(
    (student, teacher): (&Outline, &Outline),
    map: LayerMap,
    listed: Option<&[usize]>,
    place: &str,
) -> Result<Vec<(usize, usize)>, Problem> {
    let (own, all) = (layers(student), layers(teacher));
    if own == 0 || all == 0 {
        return Err(Problem::new(place, "compares layers, but the model has none that are alike"));
    }
    if own > all {
        let message = format!("compares layer by layer, but the student has {own} layers, and its teacher {all}");
        return Err(Problem::new(place, message));
    }
    let of_teacher = match listed {
        Some(listed) => checked(listed, own, all, place)?,
        None => map.of(own, all),
    };
    Ok(of_teacher.into_iter().enumerate().collect())
}

fn checked(listed: &[usize], own: usize, all: usize, place: &str) -> Result<Vec<usize>, Problem> {
    if let Some(layer) = listed.iter().find(|&&layer| layer >= all) {
        let message = format!("names layer {layer}, but the teacher has {all}, numbered from 0");
        return Err(Problem::new(place, message));
    }
    if listed.len() != own {
        let message = format!("names {} layers, expected one for each of the student's {own}", listed.len());
        return Err(Problem::new(place, message));
    }
    Ok(listed.to_vec())
}

/// What training compares in these pairs of blocks.
pub(super) fn hidden((student, teacher): (&Outline, &Outline), pairs: Vec<(usize, usize)>, weight: f64) -> Hidden {
    Hidden { pairs, weight, widths: [student, teacher].map(width) }
}

/// Numbers in a hidden state: what attention reads of each token.
fn width(outline: &Outline) -> usize {
    let sites = outline.sites().unwrap_or_default();
    sites.iter().find(|site| site.role == Role::Query).map_or(0, |site| site.in_features)
}

#[cfg(test)]
mod tests {
    use super::LayerMap;

    #[test]
    fn layers_are_mapped_by_hand() {
        assert_eq!(LayerMap::Uniform.of(3, 6), [1, 3, 5]);
        assert_eq!(LayerMap::Uniform.of(4, 6), [0, 2, 3, 5]);
        assert_eq!(LayerMap::Uniform.of(6, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(LayerMap::First.of(2, 6), [0, 1]);
        assert_eq!(LayerMap::Last.of(2, 6), [4, 5]);
    }
}
