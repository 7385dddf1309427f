//! The model families that Paring builds and runs itself: one file each, and the table that names them.
//!
//! A family is a list of layers. Each layer kind says once what it reads and writes (`survey`); names, shapes, sites,
//! prunable units and multiply-accumulate counts all follow from that one description, and so cannot disagree.

mod blueprint;
mod convnet;
mod describe;
mod layers;
mod mlp;
mod rewrite;
mod stack;
mod survey;
mod unknown;

pub use blueprint::{blueprint, initialize};
pub use describe::{FAMILIES, FamilyInfo, described};

pub(crate) use describe::setting_names;
pub(crate) use rewrite::settle;

use crate::config::{Config, Spec};
use crate::error::Result;
use crate::network::Network;
use crate::outline::Outline;
use crate::sites::Site;
use crate::tap::WeightSource;
use crate::units::UnitGroup;
use survey::{Known, Survey};

/// Every linear and convolution of the model, in forward order; every matrix, by name, when its family is unknown.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn sites(outline: &Outline) -> Result<Vec<Site>> {
    Ok(walk(outline)?.map_or_else(|| unknown::sites(outline), |survey| survey.sites))
}

/// Every structure that can be removed whole, in forward order; none when the family is unknown.
///
/// # Errors
/// When the tensors do not fit the configuration.
pub fn units(outline: &Outline) -> Result<Vec<UnitGroup>> {
    Ok(walk(outline)?.map(|survey| survey.groups).unwrap_or_default())
}

/// Multiply-accumulate operations for one input row, over all linear and convolution layers.
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
    let (Some(config), Some(survey)) = (&outline.config, walk(outline)?) else { return Ok(None) };
    let parts = stack::Parts::new(&survey.sites, source);
    let blocks = match &config.spec {
        Spec::Mlp(spec) => mlp::build(spec, &parts)?,
        Spec::Convnet(spec) => convnet::build(spec, &parts)?,
    };
    Ok(Some(Box::new(stack::Stack::new(config.input.clone(), blocks))))
}

/// The walk over the tensors there are; over what the settings and both ends promise while there are none.
fn walk(outline: &Outline) -> Result<Option<Survey<'_>>> {
    let Some(config) = &outline.config else { return Ok(None) };
    let survey = match (&outline.inputs, &outline.outputs) {
        _ if outline.built => Survey::of(config, Some(&outline.weights)),
        (Some(inputs), Some(outputs)) => Survey::of(&blueprint::configure(&config.spec, inputs, outputs)?, None),
        _ => Survey::of(config, None),
    };
    survey.map(Some)
}

fn site_macs(site: &Site) -> u64 {
    let kernel = match site.kind {
        crate::sites::SiteKind::Linear => 1,
        crate::sites::SiteKind::Conv { kernel, .. } => kernel,
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
        }
        layers::dense::survey_head(config.output, &mut survey)?;
        Ok(survey)
    }
}
