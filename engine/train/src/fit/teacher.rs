//! A model to learn from: what it says of the rows, and how far a student is from that.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, Forward, Input, Network, Rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Watch;
use super::attention::Attention;
use super::hidden::{self, Hidden, PROJECTION};
use super::inside::{self, Inside, Said};
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
    /// What attention reads, compared too.
    pub attention: Option<&'a Attention>,
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
    /// With its answers to all rows, where they fit in memory: those of a model that continues texts do not, and what lies
    /// within a network neither. What maps hidden states is among the `trainable`.
    pub(super) fn new(
        teacher: Teacher<'a>,
        trainable: &Trainable,
        (rows, continues): (&Rows, bool),
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let source = match continues || teacher.hidden.is_some() || teacher.attention.is_some() {
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
            Source::Known(answers) => Ok(Said::outputs(answers.index_select(rows, 0)?)),
            Source::Live(network) => {
                let blocks = self.pairs().map(|(_, block)| block).collect();
                let sites = self.teacher.attention.map(Attention::teachers_sites).unwrap_or_default();
                let inside = Inside { blocks, sites };
                Ok(inside::run(network.as_ref(), input, &inside, &mut Forward::inference())?.detached())
            }
        }
    }

    /// A hidden state of the student, [..., its width], as wide as the teacher's.
    pub(super) fn projected(&self, state: &Tensor) -> Result<Tensor> {
        match &self.projection {
            Some(projection) => hidden::projected(state, projection),
            None => Ok(state.clone()),
        }
    }

    /// What is compared within the student.
    pub(super) fn inside(&self) -> Inside {
        let sites = self.teacher.attention.map(Attention::own_sites).unwrap_or_default();
        Inside { blocks: self.pairs().map(|(block, _)| block).collect(), sites }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.teacher.hidden.into_iter().flat_map(|hidden| hidden.pairs.iter().copied())
    }
}

impl Teacher<'_> {
    /// First numbers of what is trained beside the student, by name.
    pub(super) fn projections(&self, stream: &Stream) -> Result<BTreeMap<String, Tensor>> {
        self.hidden.map(|hidden| hidden.first(stream)).transpose().map(Option::unwrap_or_default)
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
