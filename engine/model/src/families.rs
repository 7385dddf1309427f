//! The model families that Paring builds and runs itself: one file each, and the table that names them.
//!
//! A family that Paring builds is a list of layers. Each layer kind says once what it reads and writes (`survey`);
//! names, shapes, sites, prunable units and multiply-accumulate counts all follow from that one description, and so
//! cannot disagree. Families that others train (`bert`, `llama`) walk the tensors there are.

pub(crate) mod bert;
mod blueprint;
mod convnet;
mod describe;
mod layers;
pub(crate) mod llama;
mod mlp;
pub(crate) mod pretrained;
mod rewrite;
mod stack;
mod survey;
mod transformer;
mod unknown;

pub use bert::{BertSpec, Head, Pooling, Projection, Scheme, add_text_head, takes_text_head};
pub use blueprint::{blueprint, initialize};
pub use describe::{FAMILIES, FamilyInfo, described};
pub use llama::{LlamaSpec, Windowed};
pub use transformer::nonlinearity::Nonlinearity;
pub use transformer::rope::{Rope, Scaling};

pub(crate) use describe::setting_names;
pub(crate) use rewrite::settle;

use crate::config::{Config, Spec};
use crate::error::Result;
use crate::network::Network;
use crate::outline::Outline;
use crate::sites::{Site, SiteKind};
use crate::tap::WeightSource;
use crate::units::UnitGroup;
use survey::{Known, Survey};

/// Every linear and convolution of the model, in forward order; every matrix, by name, when its family is unknown.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn sites(outline: &Outline) -> Result<Vec<Site>> {
    Ok(walk(outline)?.map_or_else(|| unknown::sites(outline), |(sites, _)| sites))
}

/// Every structure that can be removed whole, in forward order; none when the family is unknown.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn units(outline: &Outline) -> Result<Vec<UnitGroup>> {
    Ok(walk(outline)?.map(|(_, groups)| groups).unwrap_or_default())
}

/// The numbers of the stream that all layers of a transformer read and write, as units that can be removed one by one;
/// `None` where the family has no such stream. They are a table of their own: a norm reads all of them at once, so that
/// even without one that is always zero the rest is not as it was.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn stream(outline: &Outline) -> Result<Option<UnitGroup>> {
    let (words, walk) = match outline.config.as_ref().map(|config| &config.spec) {
        Some(Spec::Bert(spec)) => (spec.names().words(), bert::survey(spec, &outline.weights)?),
        Some(Spec::Llama(spec)) => (spec.words(), llama::survey(spec, &outline.weights)?),
        Some(Spec::Mlp(_) | Spec::Convnet(_)) | None => return Ok(None),
    };
    let columns = outline.weights.get(&format!("{words}.weight")).and_then(|weight| weight.shape().get(1));
    Ok(columns.map(|&count| walk.into_stream(words, count)))
}

/// Why transformers, whose settings hold for all layers, cannot open a directory of this model; `None` where it can, or
/// has no such models at all.
pub fn beyond_transformers(outline: &Outline) -> Option<String> {
    let known = &outline.weights;
    let reason = match &outline.config.as_ref()?.spec {
        Spec::Bert(spec) => bert::beyond_transformers(spec, known),
        Spec::Llama(spec) => llama::beyond_transformers(spec, known),
        Spec::Mlp(_) | Spec::Convnet(_) => None,
    };
    reason.map(|reason| format!("transformers cannot open the directory, Paring can: {reason}"))
}

/// Multiply-accumulate operations for one input row, over all linear and convolution layers. A model that reads tokens
/// has rows of any length: counted are the linear layers for one token (an output layer that sees one token of a text
/// too), neither lookups nor the products of tokens with each other in attention, which grow with the length.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn macs(outline: &Outline) -> Result<u64> {
    Ok(sites(outline)?.iter().map(site_macs).fold(0, u64::saturating_add))
}

/// The model's layers over the weights of `source`, ready to run; `None` when the family is unknown.
///
/// # Errors
/// When the tensors do not fit the configuration, or `source` lacks one.
pub fn network(outline: &Outline, source: &dyn WeightSource) -> Result<Option<Box<dyn Network>>> {
    let (Some(config), Some((sites, _))) = (&outline.config, walk(outline)?) else { return Ok(None) };
    let parts = stack::Parts::new(&sites, source);
    let blocks = match &config.spec {
        Spec::Mlp(spec) => mlp::build(spec, &parts)?,
        Spec::Convnet(spec) => convnet::build(spec, &parts)?,
        Spec::Bert(spec) => return bert::build(spec, &parts, &outline.weights).map(Some),
        Spec::Llama(spec) => return llama::build(spec, &parts, &outline.weights).map(Some),
    };
    Ok(Some(Box::new(stack::Stack::new(config.input.clone(), blocks))))
}

/// Sites and units: of the tensors there are, or of what the settings and both ends promise while there are none.
fn walk(outline: &Outline) -> Result<Option<(Vec<Site>, Vec<UnitGroup>)>> {
    let Some(config) = &outline.config else { return Ok(None) };
    let found = match &config.spec {
        Spec::Bert(spec) => bert::survey(spec, &outline.weights).map(|walk| (walk.sites, walk.groups)),
        Spec::Llama(spec) => llama::survey(spec, &outline.weights).map(|walk| (walk.sites, walk.groups)),
        Spec::Mlp(_) | Spec::Convnet(_) => survey(outline, config).map(|survey| (survey.sites, survey.groups)),
    };
    found.map(Some)
}

fn survey<'a>(outline: &'a Outline, config: &Config) -> Result<Survey<'a>> {
    match (&outline.inputs, &outline.outputs) {
        _ if outline.built => Survey::of(config, Some(&outline.weights)),
        (Some(inputs), Some(outputs)) => Survey::of(&blueprint::configure(&config.spec, inputs, outputs)?, None),
        _ => Survey::of(config, None),
    }
}

fn site_macs(site: &Site) -> u64 {
    let kernel = match site.kind {
        SiteKind::Embedding { tied: false } => return 0,
        SiteKind::Linear | SiteKind::Embedding { tied: true } => 1,
        SiteKind::Conv { kernel, .. } => kernel,
    };
    [site.in_features, site.out_features, kernel, kernel, site.positions]
        .iter()
        .fold(1_u64, |product, &factor| product.saturating_mul(factor as u64))
}

impl<'a> Survey<'a> {
    /// Walks the layers of the configured model over the tensors there are.
    fn of(config: &Config, known: Option<Known<'a>>) -> Result<Self> {
        let mut survey = Survey::new(config, known)?;
        match &config.spec {
            Spec::Mlp(spec) => mlp::survey(spec, &mut survey)?,
            Spec::Convnet(spec) => convnet::survey(spec, &mut survey)?,
            Spec::Bert(_) | Spec::Llama(_) => return Err(blueprint::not_from_nothing(config.spec.family())),
        }
        layers::dense::survey_head(config.output, &mut survey)?;
        Ok(survey)
    }
}
