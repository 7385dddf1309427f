//! A model to learn from: what it says of the rows, and how far a student is from that.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, Forward, Input, Network, Rows};
use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Watch;
use crate::error::{Result, TrainError};
use crate::rng::Stream;
use crate::trainable::Trainable;

/// Rows of features, and texts, that run through a teacher at a time.
const BATCHES: [usize; 2] = [256, 32];

/// A model to learn from, and how much it counts.
#[derive(Clone, Copy)]
pub struct Teacher<'a> {
    /// The model. It reads rows as the student does.
    pub model: &'a Checkpoint,
    /// Softmax temperature, for classes and tokens.
    pub temperature: f64,
    /// Weight of the teacher's loss; that of the labels weighs 1 - alpha. Embeddings have no labels.
    pub alpha: f64,
    /// How embeddings are compared.
    pub distance: Distance,
    /// Hidden states that are compared too.
    pub hidden: Option<&'a Hidden>,
}

/// How far two embeddings are from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// One minus the cosine of the angle between them.
    #[default]
    Cosine,
    /// The mean of their squared differences.
    SquaredError,
}

/// Hidden states that a student learns to have as its teacher has them.
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
const PROJECTION: &str = "hidden_projection.weight";

impl Hidden {
    /// Names of what is trained beside the student and thrown away afterwards.
    pub fn projections(&self) -> Vec<String> {
        let [own, wanted] = self.widths;
        if own == wanted { Vec::new() } else { vec![PROJECTION.to_owned()] }
    }
}

/// What a model says of a batch.
pub(super) struct Said {
    /// Raw outputs.
    pub(super) outputs: Tensor,
    /// Outputs of the blocks that were asked for.
    pub(super) hidden: Vec<Tensor>,
}

/// A teacher at work.
pub(super) struct Taught<'a> {
    pub(super) teacher: Teacher<'a>,
    source: Source,
    /// From the student's hidden states to the teacher's, where their widths differ.
    projection: Option<Tensor>,
}

/// Where its answers come from.
enum Source {
    /// Every row was answered before training: [rows, outputs].
    Known(Tensor),
    /// It answers each batch anew.
    Live(Box<dyn Network>),
}

impl<'a> Taught<'a> {
    /// With its answers to all rows, where they fit in memory: those of a model that continues texts do not, and hidden
    /// states neither. What maps hidden states is among the `trainable`.
    pub(super) fn new(
        teacher: Teacher<'a>,
        trainable: &Trainable,
        (rows, continues): (&Rows, bool),
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let source = match continues || teacher.hidden.is_some() {
            true => Source::Live(teacher.model.network()?),
            false => Source::Known(teacher.answers(rows, watch)?),
        };
        Ok(Self { teacher, source, projection: trainable.projection(PROJECTION) })
    }

    /// Outputs for every row, where they are known.
    pub(super) fn known(&self) -> Option<&Tensor> {
        match &self.source {
            Source::Known(answers) => Some(answers),
            Source::Live(_) => None,
        }
    }

    /// What it says of a batch; `rows` are its row numbers.
    pub(super) fn says(&self, input: &Input, rows: &Tensor) -> Result<Said> {
        match &self.source {
            Source::Known(answers) => Ok(Said { outputs: answers.index_select(rows, 0)?, hidden: Vec::new() }),
            Source::Live(network) => {
                let blocks: Vec<usize> = self.pairs().map(|(_, block)| block).collect();
                let said = run(network.as_ref(), input, &blocks, &mut Forward::inference())?;
                let hidden = said.hidden.iter().map(Tensor::detach).collect();
                Ok(Said { outputs: said.outputs.detach(), hidden })
            }
        }
    }

    /// A hidden state of the student, [..., its width], as wide as the teacher's.
    pub(super) fn projected(&self, state: &Tensor) -> Result<Tensor> {
        let Some(projection) = &self.projection else { return Ok(state.clone()) };
        let mut shape = state.dims().to_vec();
        shape.pop();
        shape.push(projection.dim(0)?);
        let rows = state.flatten_to(state.rank().saturating_sub(2))?;
        Ok(rows.matmul(&projection.t()?)?.reshape(shape)?)
    }

    /// Blocks of the student whose outputs are compared.
    pub(super) fn blocks(&self) -> Vec<usize> {
        self.pairs().map(|(block, _)| block).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.teacher.hidden.into_iter().flat_map(|hidden| hidden.pairs.iter().copied())
    }
}

impl Teacher<'_> {
    /// First numbers of what is trained beside the student: uniform within 1/sqrt(the student's width) around zero.
    pub(super) fn projections(&self, stream: &Stream) -> Result<BTreeMap<String, Tensor>> {
        let Some(hidden) = self.hidden else { return Ok(BTreeMap::new()) };
        let [own, wanted] = hidden.widths;
        let bound = (own.max(1) as f32).sqrt().recip();
        let first = |name: String| {
            let mut rng = stream.split(&name).rng();
            let numbers = (0..own * wanted).map(|_| rng.random_range(-bound..bound)).collect();
            Ok((name, Tensor::from_vec(numbers, (wanted, own), &Device::Cpu)?))
        };
        hidden.projections().into_iter().map(first).collect()
    }

    /// Its answers to all rows, [rows, outputs].
    pub(super) fn answers(&self, rows: &Rows, watch: &mut dyn Watch) -> Result<Tensor> {
        let network = self.model.network()?;
        let batch = if matches!(rows, Rows::Features(_)) { BATCHES[0] } else { BATCHES[1] };
        let all: Vec<usize> = (0..rows.len()).collect();
        let (mut answers, mut done) = (Vec::new(), 0);
        for batch in all.chunks(batch) {
            if watch.cancelled() {
                return Err(TrainError::Interrupted);
            }
            let outputs = network.forward(&rows.batch(batch)?, &mut Forward::inference())?;
            answers.push(outputs.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?);
            done += batch.len();
            watch.taught(done, all.len());
        }
        Ok(Tensor::cat(&answers, 0)?)
    }
}

/// Runs a network, and keeps the outputs of some blocks; they come in the order asked for.
pub(super) fn run(network: &dyn Network, input: &Input, blocks: &[usize], cx: &mut Forward<'_>) -> Result<Said> {
    if blocks.is_empty() {
        return Ok(Said { outputs: network.forward(input, cx)?, hidden: Vec::new() });
    }
    let (mut x, shared) = network.enter(input)?;
    let mut kept: Vec<Option<Tensor>> = vec![None; blocks.len()];
    for index in 0..network.blocks() {
        x = network.block(index, &x, &shared, cx)?;
        for (block, kept) in blocks.iter().zip(&mut kept) {
            if *block == index {
                *kept = Some(x.clone());
            }
        }
    }
    let missing = |block: usize| TrainError::Mismatch(format!("there is no block {block}, but {}", network.blocks()));
    let hidden = blocks.iter().zip(kept).map(|(block, kept)| kept.ok_or_else(|| missing(*block)));
    Ok(Said { hidden: hidden.collect::<Result<_>>()?, outputs: x })
}
