//! Sites that share an input, and what makes it.

use paring_model::{Outline, Site, Source, WeightOutline};

/// Sites that share an input which factors can be folded into.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// What makes the input.
    pub(super) source: Source,
    /// The sites, in forward order.
    pub(super) sites: Vec<Site>,
}

impl Group {
    /// The first site's name: the input is watched there.
    pub(super) fn name(&self) -> &str {
        self.sites.first().map(|site| site.name.as_str()).unwrap_or_default()
    }
}

/// The groups among the targets, and the targets that are in none with the reason.
pub(super) fn find(outline: &Outline, targets: &[Site]) -> (Vec<Group>, Vec<(String, String)>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut left = Vec::new();
    for site in targets {
        match source(outline, targets, site) {
            Err(reason) => left.push((site.name.clone(), reason)),
            Ok(source) => match groups.iter_mut().find(|group| group.source == source) {
                Some(group) => group.sites.push(site.clone()),
                None => groups.push(Group { source, sites: vec![site.clone()] }),
            },
        }
    }
    (groups, left)
}

fn source(outline: &Outline, targets: &[Site], site: &Site) -> Result<Source, String> {
    let source = outline.source(site)?;
    let is_target = |name: &&String| targets.iter().any(|target| target.name == **name);
    if let Some(other) = site.shares_input_with.iter().find(|name| !is_target(name)) {
        return Err(format!("it shares its input with `{other}`, which is not among the targets of the stage"));
    }
    if let Some(before) = source.site.as_ref().filter(|name| !is_target(name)) {
        return Err(format!("`{before}` before it is not among the targets of the stage"));
    }
    let is_float = |name: &String| matches!(outline.weights.get(name), Some(WeightOutline::Dense { .. }));
    match source.tensors.iter().find(|name| !is_float(name)) {
        Some(name) => Err(format!("`{name}` before it is quantized")),
        None => Ok(source),
    }
}
