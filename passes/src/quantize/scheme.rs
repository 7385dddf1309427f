//! From parameters to an integer scheme: which weights share a scale.

use paring_model::{Granularity, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// The group size where groups are asked for without one.
const GROUP: usize = 128;

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// All of a layer.
    Tensor,
    /// Those of one output channel.
    Channel,
    /// `group_size` consecutive inputs of one output channel.
    Group,
}

/// The scheme of parameters. A group size alone means groups; neither means channels.
pub(crate) fn of(bits: u8, symmetric: bool, granularity: Option<Sharing>, group_size: Option<usize>) -> WeightScheme {
    let granularity = match (granularity, group_size) {
        (Some(Sharing::Tensor), _) => Granularity::Tensor,
        (Some(Sharing::Channel), _) | (None, None) => Granularity::Channel,
        (Some(Sharing::Group) | None, size) => Granularity::Group(size.unwrap_or(GROUP)),
    };
    WeightScheme { bits, symmetric, granularity }
}

/// What is wrong with parameters that do not go together.
pub(crate) fn problems(granularity: Option<Sharing>, group_size: Option<usize>) -> Vec<Problem> {
    match (granularity, group_size) {
        (Some(Sharing::Tensor | Sharing::Channel), Some(_)) => {
            let problem = Problem::new("/group_size", "goes with `granularity: group` only");
            vec![problem.help("remove `granularity` or `group_size`")]
        }
        _ => Vec::new(),
    }
}
