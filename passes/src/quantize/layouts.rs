//! The layout of blocks for every targeted site: the mix, what the recipe says of single sites, and stand-ins.

use globset::{Glob, GlobMatcher};
use indexmap::IndexMap;
use paring_model::{GgmlType, Site};

use super::mixes::{Mix, Standing, fallback};
use crate::error::Problem;

/// Sites that a message names before it counts the rest.
const NAMED: usize = 3;

/// What becomes of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Layout {
    /// Blocks of that type.
    Blocks(GgmlType),
    /// Blocks of the second type, since its rows are no whole blocks of the first.
    StandIn(GgmlType, GgmlType),
    /// It stays as it is, since its rows are no whole blocks of any type.
    Stays,
}

impl Layout {
    /// The type of its blocks.
    pub(crate) fn kind(self) -> Option<GgmlType> {
        match self {
            Layout::Blocks(kind) | Layout::StandIn(_, kind) => Some(kind),
            Layout::Stays => None,
        }
    }
}

/// What decides.
pub(crate) struct Rules<'a> {
    pub(crate) mix: Mix,
    pub(crate) overrides: &'a IndexMap<String, GgmlType>,
    pub(crate) fallback: bool,
}

impl Rules<'_> {
    /// The layout of each target, in order. `all`: every site of the model; `inputs`: numbers in a row of a site's
    /// weight.
    ///
    /// # Errors
    /// Globs that match no target, and rows that are no whole blocks where no other type may stand in.
    pub(crate) fn layouts(
        &self,
        targets: &[Site],
        all: &[Site],
        inputs: &dyn Fn(&Site) -> usize,
    ) -> Result<Vec<Layout>, Vec<Problem>> {
        let own = self.matchers(targets)?;
        let standings = Standing::of_all(all);
        let wanted = |site: &Site| {
            let own = own.iter().find(|(glob, _)| glob.is_match(&site.name)).map(|(_, kind)| *kind);
            let standing = standings.get(site.name.as_str()).copied();
            own.or_else(|| Some(self.mix.of(site, inputs(site), standing?))).unwrap_or(self.mix.base())
        };
        let layout = |site: &Site| {
            let (kind, inputs) = (wanted(site), inputs(site));
            match (inputs.is_multiple_of(kind.block()), fallback(kind, inputs)) {
                (true, _) => Layout::Blocks(kind),
                (false, Some(other)) => Layout::StandIn(kind, other),
                (false, None) => Layout::Stays,
            }
        };
        let layouts: Vec<Layout> = targets.iter().map(layout).collect();
        if !self.fallback
            && let Some(problem) = not_whole(targets, &layouts, &wanted, inputs)
        {
            return Err(vec![problem]);
        }
        if layouts.iter().all(|layout| *layout == Layout::Stays) {
            let message = "no targeted weight has rows of a multiple of 32 numbers, the smallest block";
            return Err(vec![Problem::new("/types", message).help("quantize with `quantize/rtn` instead")]);
        }
        Ok(layouts)
    }

    fn matchers(&self, targets: &[Site]) -> Result<Vec<(GlobMatcher, GgmlType)>, Vec<Problem>> {
        let mut matchers = Vec::new();
        let mut problems = Vec::new();
        for (glob, kind) in self.overrides {
            match self.matcher(glob, targets) {
                Ok(matcher) => matchers.push((matcher, *kind)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(matchers) } else { Err(problems) }
    }

    fn matcher(&self, glob: &str, targets: &[Site]) -> Result<GlobMatcher, Problem> {
        let wrong = |message: String| Problem::new("/overrides", message);
        let matcher = Glob::new(glob).map_err(|error| wrong(format!("has the glob `{glob}`: {}", error.kind())))?;
        let matcher = matcher.compile_matcher();
        if targets.iter().any(|site| matcher.is_match(&site.name)) {
            return Ok(matcher);
        }
        let names: Vec<String> = targets.iter().map(|site| format!("`{}`", site.name)).collect();
        let help = format!("the targets are {}", some_of(&names));
        Err(wrong(format!("has the glob `{glob}`, which matches no target")).help(help))
    }
}

/// What is refused where no other type may stand in.
fn not_whole(
    targets: &[Site],
    layouts: &[Layout],
    wanted: &dyn Fn(&Site) -> GgmlType,
    inputs: &dyn Fn(&Site) -> usize,
) -> Option<Problem> {
    let wrong = targets.iter().zip(layouts).filter(|(_, layout)| !matches!(layout, Layout::Blocks(_)));
    let wrong: Vec<String> = wrong
        .map(|(site, _)| {
            let kind = wanted(site);
            format!(
                "`{}` has {} inputs, expected a multiple of {} for {kind}",
                site.weight(),
                inputs(site),
                kind.block()
            )
        })
        .collect();
    let help = "`fallback: true` lets other types stand in; or choose a type with blocks of 32, such as `q4_0`";
    (!wrong.is_empty()).then(|| Problem::new("/types", format!("does not fit: {}", some_of(&wrong))).help(help))
}

/// The first few, and how many more there are.
fn some_of(names: &[String]) -> String {
    let (named, rest) = names.split_at(names.len().min(NAMED));
    let shown = named.join("; ");
    if rest.is_empty() { shown } else { format!("{shown}; and {} more", rest.len()) }
}
