//! The walk over a model's layers. Each layer reads the flow, adds its sites and tensors, and leaves the flow that the
//! next one reads; along the way the walk learns which slices of which tensors make one removable unit.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::outline::WeightOutline;
use crate::sites::{Fold, Role, Site, SiteKind};
use crate::units::{Slice, UnitGroup};

/// The tensors of a built model.
pub(crate) type Known<'a> = &'a BTreeMap<String, WeightOutline>;

/// What one row is between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// This many features.
    Features(usize),
    /// Channels, height, width.
    Image([usize; 3]),
}

/// A tensor that the model has, and how it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declared {
    /// Its name.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// Its first numbers.
    pub(crate) start: Start,
}

/// The first numbers of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Uniform within 1/sqrt(inputs of one output) on both sides of zero.
    Uniform {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// All ones.
    Ones,
    /// All zeros.
    Zeros,
}

/// Who decides how many outputs a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// Its own weight; the settings where there is none yet.
    Free(usize),
    /// What reads it.
    Fixed(usize),
}

/// Units that a tensor's outputs belong to; none where outputs cannot be removed.
pub(crate) type Stream = Option<usize>;

/// A site as its layer describes it.
pub(crate) struct Draft {
    /// Its name.
    pub(crate) name: String,
    /// What it does.
    pub(crate) role: Role,
    /// The operation.
    pub(crate) kind: SiteKind,
    /// The layer it belongs to.
    pub(crate) layer: Option<usize>,
    /// What it reads.
    pub(crate) input: Flow,
    /// How many outputs it has.
    pub(crate) width: Width,
    /// Whether it has a bias when built from nothing.
    pub(crate) bias: bool,
    /// Units it reads.
    pub(crate) from: Stream,
    /// Units it writes.
    pub(crate) to: Stream,
}

/// The walk.
pub(crate) struct Survey<'a> {
    family: &'static str,
    known: Option<Known<'a>>,
    /// What the next layer reads.
    pub(crate) flow: Flow,
    /// The units that the flow carries.
    pub(crate) stream: Stream,
    /// What writes the flow, where scales can be folded into that.
    pub(crate) fold: Option<Fold>,
    /// Tensors so far.
    pub(crate) tensors: Vec<Declared>,
    /// Sites so far.
    pub(crate) sites: Vec<Site>,
    /// Units so far.
    pub(crate) groups: Vec<UnitGroup>,
}

impl Flow {
    /// How many numbers a row has.
    pub(crate) fn size(self) -> usize {
        match self {
            Flow::Features(width) => width,
            Flow::Image([channels, height, width]) => channels.saturating_mul(height).saturating_mul(width),
        }
    }

    /// Numbers that belong to one channel (or feature).
    fn positions(self) -> usize {
        match self {
            Flow::Features(_) => 1,
            Flow::Image([_, height, width]) => height.saturating_mul(width),
        }
    }
}

impl<'a> Survey<'a> {
    /// At the model's input.
    pub(crate) fn new(config: &Config, known: Option<Known<'a>>) -> Result<Self> {
        let family = config.spec.family();
        let flow = match *config.input.as_slice() {
            [width] => Flow::Features(width),
            [channels, height, width] => Flow::Image([channels, height, width]),
            _ => {
                let found = config.input.len();
                let reason =
                    format!("the input has {found} dimensions, expected 1 (features) or 3 (channels, height, width)");
                return Err(ModelError::Config { family: family.to_owned(), reason });
            }
        };
        let (tensors, sites, groups) = (Vec::new(), Vec::new(), Vec::new());
        let survey = Self { family, known, flow, stream: None, fold: None, tensors, sites, groups };
        if flow.size() == 0 || config.output == 0 {
            return Err(survey.wrong("the model needs at least one input and one output".to_owned()));
        }
        Ok(survey)
    }

    /// The error for a setting of this family.
    pub(crate) fn wrong(&self, reason: String) -> ModelError {
        ModelError::Config { family: self.family.to_owned(), reason }
    }

    /// The image that `layer` reads.
    pub(crate) fn image(&self, layer: usize, kind: &str) -> Result<[usize; 3]> {
        match self.flow {
            Flow::Image(image) => Ok(image),
            Flow::Features(width) => {
                let reason = format!("`layers.{layer}` ({kind}) needs an image, but its input is {width} features");
                Err(self.wrong(reason))
            }
        }
    }

    /// Whether the model has that tensor; `unless_known` where it is not built.
    pub(crate) fn has(&self, tensor: &str, unless_known: bool) -> bool {
        self.known.map_or(unless_known, |known| known.contains_key(tensor))
    }

    /// A new group of units, written next by the site `site`.
    pub(crate) fn open(&mut self, site: &str, kind: &'static str) -> Stream {
        self.groups.push(UnitGroup { site: site.to_owned(), kind, count: 0, slices: Vec::new() });
        Some(self.groups.len() - 1)
    }

    /// Adds a site with its tensors and slices, and gives its number of outputs.
    pub(crate) fn site(&mut self, draft: Draft) -> Result<usize> {
        let out = self.outputs(&draft)?;
        let shape = draft.weight_shape(out);
        let bias = self.has(&format!("{}.bias", draft.name), draft.bias);
        let fold = self.fold.take().filter(|_| draft.kind == SiteKind::Linear);
        let site = Site { fold, ..draft.site(out, bias, draft.input) };
        let start = Start::Uniform { fan_in: shape.iter().skip(1).copied().fold(1, usize::saturating_mul) };
        self.declare(site.weight(), shape, start, draft.to)?;
        if bias {
            self.declare(site.bias_name(), vec![out], start, draft.to)?;
        }
        self.read_by(&site, &draft);
        if let Some(group) = draft.to.and_then(|index| self.groups.get_mut(index)) {
            group.count = out;
        }
        self.sites.push(site);
        Ok(out)
    }

    /// Adds the tensors of a batch norm over `width` channels of `stream`.
    pub(crate) fn norm(&mut self, name: &str, width: usize, stream: Stream) -> Result<()> {
        let starts = [Start::Ones, Start::Zeros, Start::Zeros, Start::Ones];
        for (tensor, start) in ["weight", "bias", "running_mean", "running_var"].iter().zip(starts) {
            self.declare(format!("{name}.{tensor}"), vec![width], start, stream)?;
        }
        Ok(())
    }

    /// Notes a tensor, whose axis 0 belongs to `stream`, and compares it with the one there is.
    fn declare(&mut self, name: String, shape: Vec<usize>, start: Start, stream: Stream) -> Result<()> {
        if let Some(known) = self.known {
            let found = known.get(&name).ok_or_else(|| ModelError::MissingTensor { name: name.clone() })?.shape();
            if found != shape {
                return Err(ModelError::Shape { name, found: found.to_vec(), expected: shape });
            }
        }
        if let Some(group) = stream.and_then(|index| self.groups.get_mut(index)) {
            group.slices.push(Slice { tensor: name.clone(), axis: 0, width: 1, offset: 0 });
        }
        self.tensors.push(Declared { name, shape, start });
        Ok(())
    }

    /// Notes that removing a unit of what the site reads removes inputs of its weight.
    fn read_by(&mut self, site: &Site, draft: &Draft) {
        let width = if site.kind == SiteKind::Linear { draft.input.positions() } else { 1 };
        if let Some(group) = draft.from.and_then(|index| self.groups.get_mut(index)) {
            group.slices.push(Slice { tensor: site.weight(), axis: 1, width, offset: 0 });
        }
    }

    fn outputs(&self, draft: &Draft) -> Result<usize> {
        let weight = format!("{}.weight", draft.name);
        let known = self.known.and_then(|known| known.get(&weight)?.shape().first().copied());
        match (draft.width, known) {
            (Width::Fixed(width), _) | (Width::Free(_), Some(width)) => Ok(width),
            (Width::Free(0), None) => Err(self.wrong(format!("`{}` has no outputs, expected at least 1", draft.name))),
            (Width::Free(width), None) => Ok(width),
        }
    }
}

impl Draft {
    fn in_features(&self) -> usize {
        match (self.kind, self.input) {
            (SiteKind::Conv { .. }, Flow::Image([channels, _, _])) => channels,
            _ => self.input.size(),
        }
    }

    fn weight_shape(&self, out: usize) -> Vec<usize> {
        match self.kind {
            SiteKind::Linear | SiteKind::Embedding { .. } => vec![out, self.in_features()],
            SiteKind::Conv { kernel, .. } => vec![out, self.in_features(), kernel, kernel],
        }
    }

    fn site(&self, out_features: usize, bias: bool, input: Flow) -> Site {
        Site {
            name: self.name.clone(),
            role: self.role,
            kind: self.kind,
            layer: self.layer,
            in_features: self.in_features(),
            out_features,
            bias,
            positions: positions(self.kind, input),
            norm_before: None,
            fold: None,
            shares_input_with: Vec::new(),
        }
    }
}

/// How many windows of `size` entries, `stride` apart, fit on `length` entries with `padding` more on each side.
pub(crate) fn windows(length: usize, size: usize, stride: usize, padding: usize) -> Option<usize> {
    let room = length.saturating_add(padding.saturating_mul(2)).checked_sub(size)?;
    Some(room.checked_div(stride)?.saturating_add(1))
}

fn positions(kind: SiteKind, input: Flow) -> usize {
    match (kind, input) {
        (SiteKind::Conv { kernel, stride, padding }, Flow::Image([_, height, width])) => [height, width]
            .iter()
            .map(|&length| windows(length, kernel, stride, padding).unwrap_or(0))
            .fold(1, usize::saturating_mul),
        _ => 1,
    }
}
