//! Models to learn from: what they say of the rows.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, Forward, Input, Network, Outputs, Rows, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Watch;
use super::attention::Attention;
use super::hidden::{self, Hidden, PROJECTION};
use super::inside::{self, Inside, Said};
use super::likely::{Likely, LikelyTokens};
use crate::error::{Result, TrainError};
use crate::loss;
use crate::rng::Stream;
use crate::trainable::Trainable;

/// Rows of features, and texts, that run through a teacher at a time.
const BATCHES: [usize; 2] = [256, 32];

/// Models to learn from, and how much they count.
#[derive(Clone, Copy)]
pub struct Teacher<'a> {
    /// The models. They read rows as the student does, and answer in its terms; what they say is averaged. What lies
    /// within a network is learned from the first.
    pub models: &'a [Checkpoint],
    /// Softmax temperature, for classes and tokens.
    pub temperature: f64,
    /// Weight of the teacher's loss; that of the labels weighs 1 - alpha. Embeddings have no labels.
    pub alpha: f64,
    /// Of models that continue texts: how many of the tokens that they hold most likely are kept of their answers, which
    /// are asked once. Without it they answer each batch anew.
    pub top_k: Option<usize>,
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
    /// What the student's answers mean.
    outputs: Option<Outputs>,
    /// From the student's hidden states to the teacher's, where their widths differ.
    projection: Option<Tensor>,
}

/// Where its answers come from.
enum Source {
    /// Every row was answered before training: [rows, outputs].
    Known(Tensor),
    /// Every window was, and what is most likely was kept.
    Likely(Likely),
    /// Its models answer each batch anew.
    Live(Vec<Box<dyn Network>>),
}

impl<'a> Taught<'a> {
    /// With its answers to all rows, where they fit in memory: those of a model that continues texts do not, and what
    /// lies within a network neither. What maps hidden states is among the `trainable`; `outputs` are the student's.
    pub(super) fn new(
        teacher: Teacher<'a>,
        trainable: &Trainable,
        rows: &Rows,
        outputs: Option<&Outputs>,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let projection = trainable.projection(PROJECTION);
        let mut taught = Self { teacher, source: Source::Live(Vec::new()), outputs: outputs.cloned(), projection };
        let continues = outputs.map(Outputs::task) == Some(Task::Generate);
        let is_inside = teacher.hidden.is_some() || teacher.attention.is_some();
        taught.source = match (continues, teacher.top_k) {
            (false, _) if !is_inside => Source::Known(taught.answers(rows, watch)?),
            (true, Some(count)) if !is_inside => Source::Likely(taught.likely(rows, count, watch)?),
            _ => Source::Live(taught.networks()?),
        };
        Ok(taught)
    }

    /// Outputs for every row, where they are known.
    pub(super) fn known(&self) -> Option<&Tensor> {
        match &self.source {
            Source::Known(answers) => Some(answers),
            Source::Likely(_) | Source::Live(_) => None,
        }
    }

    /// What it holds most likely to follow the tokens of these windows, where that is what was kept.
    pub(super) fn likely_tokens(&self, windows: &Tensor) -> Result<Option<LikelyTokens>> {
        match &self.source {
            Source::Likely(likely) => Ok(Some(likely.of(&windows.to_vec1::<u32>()?)?)),
            Source::Known(_) | Source::Live(_) => Ok(None),
        }
    }

    /// What it says of a batch; `rows` are its row numbers.
    pub(super) fn says(&self, input: &Input, rows: &Tensor) -> Result<Said> {
        match &self.source {
            Source::Known(answers) => Ok(Said::outputs(answers.index_select(rows, 0)?)),
            Source::Likely(_) => Err(TrainError::Mismatch("the teacher's answers were not kept whole".to_owned())),
            Source::Live(networks) => {
                let blocks = self.pairs().map(|(_, block)| block).collect();
                let sites = self.teacher.attention.map(Attention::teachers_sites).unwrap_or_default();
                let mut inside = Inside { blocks, sites };
                let (mut outputs, mut hidden, mut sites) = (Vec::new(), Vec::new(), Vec::new());
                for (network, model) in networks.iter().zip(self.teacher.models) {
                    let said = inside::run(network.as_ref(), input, &inside, &mut Forward::inference())?.detached();
                    outputs.push(self.rescaled(model, &said.outputs)?);
                    hidden.extend(said.hidden);
                    sites.extend(said.sites);
                    // Of the others, answers alone are learned.
                    inside = Inside::default();
                }
                Ok(Said { outputs: self.mean(&outputs)?, hidden, sites })
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

impl Taught<'_> {
    fn networks(&self) -> Result<Vec<Box<dyn Network>>> {
        Ok(self.teacher.models.iter().map(Checkpoint::network).collect::<paring_model::Result<_>>()?)
    }

    /// What it holds most likely to follow each token of all windows.
    fn likely(&self, rows: &Rows, count: usize, watch: &mut dyn Watch) -> Result<Likely> {
        let networks = self.networks()?;
        let says = |windows: &[usize]| -> Result<Tensor> {
            let batch = rows.batch(windows)?;
            let answers = networks.iter().map(|network| network.forward(&batch, &mut Forward::inference()));
            self.mean(&answers.collect::<paring_model::Result<Vec<_>>>()?)
        };
        Likely::ask(rows, (count, self.teacher.temperature), watch, &says)
    }

    /// Answers to all rows, [rows, outputs].
    pub(super) fn answers(&self, rows: &Rows, watch: &mut dyn Watch) -> Result<Tensor> {
        let batch = if matches!(rows, Rows::Features(_)) { BATCHES[0] } else { BATCHES[1] };
        let all: Vec<usize> = (0..rows.len()).collect();
        let (total, mut done) = (all.len() * self.teacher.models.len(), 0);
        let mut of_models = Vec::new();
        for model in self.teacher.models {
            let network = model.network()?;
            let mut answers = Vec::new();
            for batch in all.chunks(batch) {
                if watch.cancelled() {
                    return Err(TrainError::Interrupted);
                }
                let outputs = network.forward(&rows.batch(batch)?, &mut Forward::inference())?;
                answers.push(outputs.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?);
                done += batch.len();
                watch.taught(done, total);
            }
            of_models.push(self.rescaled(model, &Tensor::cat(&answers, 0)?)?);
        }
        self.mean(&of_models)
    }

    /// The raw outputs of one of the models as the student means them.
    fn rescaled(&self, model: &Checkpoint, outputs: &Tensor) -> Result<Tensor> {
        match (model.outputs(), &self.outputs) {
            (Some(own), Some(wanted)) => Ok(own.rescaled(outputs, wanted)?),
            _ => Ok(outputs.clone()),
        }
    }

    /// What several models say as one: the mean of distributions at the temperature, of directions, or of numbers.
    fn mean(&self, outputs: &[Tensor]) -> Result<Tensor> {
        match (outputs, self.outputs.as_ref().map(Outputs::task)) {
            ([only], _) => Ok(only.clone()),
            (_, Some(Task::Classify | Task::Generate)) => {
                loss::mean_of_distributions(outputs, self.teacher.temperature)
            }
            (_, Some(Task::Embed)) => loss::mean_of_directions(outputs),
            _ => Ok(Tensor::stack(outputs, 0)?.mean(0)?),
        }
    }
}

impl<'a> Teacher<'a> {
    /// Models whose answers alone are learned, as they are.
    pub fn new(models: &'a [Checkpoint]) -> Self {
        let distance = Distance::default();
        Self { models, temperature: 1.0, alpha: 1.0, top_k: None, distance, hidden: None, attention: None }
    }

    /// First numbers of what is trained beside the student, by name.
    pub(super) fn projections(&self, stream: &Stream) -> Result<BTreeMap<String, Tensor>> {
        self.hidden.map(|hidden| hidden.first(stream)).transpose().map(Option::unwrap_or_default)
    }
}
