//! Hidden states that a student learns to have as its teacher has them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::Result;
use crate::rng::Stream;

/// Hidden states that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// Blocks of the student and of the teacher whose outputs are compared, the student's ascending.
    pub pairs: Vec<(usize, usize)>,
    /// Weight of their loss, beside that of the answers.
    pub weight: f64,
    /// Numbers in a state of the student, and in one of the teacher. Where they differ, one linear map for all pairs
    /// leads from the student's states to the teacher's; it is learned with the student.
    pub widths: [usize; 2],
}

/// The linear map of [`Hidden::widths`], [teacher's width, student's width], as `freeze` and `learning_rates` know it.
pub(super) const PROJECTION: &str = "hidden_projection.weight";

impl Hidden {
    /// Names of what is trained beside the student and thrown away afterwards.
    pub fn projections(&self) -> Vec<String> {
        let [own, wanted] = self.widths;
        if own == wanted { Vec::new() } else { vec![PROJECTION.to_owned()] }
    }

    /// First numbers of these, by name: uniform within 1/sqrt(the student's width) around zero.
    pub(super) fn first(&self, stream: &Stream) -> Result<BTreeMap<String, Tensor>> {
        let [own, wanted] = self.widths;
        let first = |name: String| {
            let matrix = stream.split(&name).matrix(wanted, own)?;
            Ok((name, matrix))
        };
        self.projections().into_iter().map(first).collect()
    }
}

/// A hidden state [..., width] after a linear map [other width, width].
pub(super) fn projected(state: &Tensor, projection: &Tensor) -> Result<Tensor> {
    let mut shape = state.dims().to_vec();
    shape.pop();
    shape.push(projection.dim(0)?);
    let rows = state.flatten_to(state.rank().saturating_sub(2))?;
    Ok(rows.matmul(&projection.t()?)?.reshape(shape)?)
}
