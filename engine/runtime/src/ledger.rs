//! The match ledger: which sites each selector of a stage hits. A selector that hits nothing, or nothing that an
//! earlier one has not hit already, is an error.

use globset::{Glob, GlobMatcher};
use paring_model::Site;
use paring_schema::suggest::nearest;
use paring_schema::{Diagnostic, Loaded, Stage};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One selector and what it hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerLine {
    /// `targets` or `ignore`.
    pub list: String,
    /// The selector as written.
    pub selector: String,
    /// Sites it hits, in forward order.
    pub sites: Vec<String>,
}

/// A stage's selectors, resolved.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// A line a selector.
    pub lines: Vec<LedgerLine>,
    /// Sites that are left, in forward order.
    pub sites: Vec<Site>,
}

enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
}

impl Matcher {
    fn new(selector: &str) -> Result<Self, String> {
        match selector.strip_prefix("re:") {
            // Anchored: a selector names whole site names, as a glob does.
            Some(pattern) => Regex::new(&format!("^(?:{pattern})$"))
                .map(Matcher::Regex)
                .map_err(|error| last_line(&error.to_string())),
            None => Glob::new(selector)
                .map(|glob| Matcher::Glob(glob.compile_matcher()))
                .map_err(|error| error.kind().to_string()),
        }
    }

    fn hits(&self, name: &str) -> bool {
        match self {
            Matcher::Glob(glob) => glob.is_match(name),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Resolves a stage's `targets` and `ignore` against the model's sites.
///
/// # Errors
/// Selectors that are malformed, hit nothing, or are shadowed; or nothing left to work on.
pub fn select(loaded: &Loaded, stage: &Stage, sites: &[Site]) -> Result<Selection, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let targets = resolve(loaded, stage, "targets", &stage.targets, sites, &mut problems);
    let ignored = resolve(loaded, stage, "ignore", &stage.ignore, sites, &mut problems);
    let hit = |lines: &[LedgerLine], name: &String| lines.iter().any(|line| line.sites.contains(name));
    let left: Vec<Site> = sites
        .iter()
        .filter(|site| stage.targets.is_empty() || hit(&targets, &site.name))
        .filter(|site| !hit(&ignored, &site.name))
        .cloned()
        .collect();
    if problems.is_empty() && left.is_empty() && !sites.is_empty() {
        problems.push(nothing_left(loaded, stage));
    }
    if problems.is_empty() {
        Ok(Selection { lines: targets.into_iter().chain(ignored).collect(), sites: left })
    } else {
        Err(problems)
    }
}

fn resolve(
    loaded: &Loaded,
    stage: &Stage,
    list: &str,
    selectors: &[String],
    sites: &[Site],
    problems: &mut Vec<Diagnostic>,
) -> Vec<LedgerLine> {
    let mut lines: Vec<LedgerLine> = Vec::new();
    for (index, selector) in selectors.iter().enumerate() {
        let place = format!("{}/{list}/{index}", stage.pointer);
        let matcher = match Matcher::new(selector) {
            Ok(matcher) => matcher,
            Err(reason) => {
                let message = format!("stage `{}`: `{selector}` is not a valid pattern: {reason}", stage.id);
                problems.push(Diagnostic::new("P003", message).label(loaded.span(&place), ""));
                continue;
            }
        };
        let hits: Vec<String> =
            sites.iter().filter(|site| matcher.hits(&site.name)).map(|site| site.name.clone()).collect();
        if hits.is_empty() {
            problems.push(hits_nothing(loaded, stage, list, selector, &place, sites));
        } else if let Some(earlier) = lines.iter().position(|line| hits.iter().all(|hit| line.sites.contains(hit))) {
            problems.push(shadowed(loaded, stage, list, selector, &place, earlier));
        }
        lines.push(LedgerLine { list: list.to_owned(), selector: selector.clone(), sites: hits });
    }
    lines
}

fn hits_nothing(loaded: &Loaded, stage: &Stage, list: &str, selector: &str, place: &str, sites: &[Site]) -> Diagnostic {
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let shown = names.iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 6 { format!(" and {} more", names.len() - 6) } else { String::new() };
    let help = match nearest(selector, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? the model's sites are {shown}{more}"),
        None => format!("the model's sites are {shown}{more}"),
    };
    let message = format!("stage `{}`: `{selector}` in `{list}` matches no site of the model", stage.id);
    Diagnostic::new("P001", message).label(loaded.span(place), "matches nothing").help(help)
}

fn shadowed(loaded: &Loaded, stage: &Stage, list: &str, selector: &str, place: &str, earlier: usize) -> Diagnostic {
    let message = format!("stage `{}`: `{selector}` in `{list}` matches only what an earlier selector has", stage.id);
    let first = format!("{}/{list}/{earlier}", stage.pointer);
    Diagnostic::new("P002", message)
        .label(loaded.span(place), "adds nothing")
        .label(loaded.span(&first), "matches all of it already")
        .help("remove one of the two")
}

fn nothing_left(loaded: &Loaded, stage: &Stage) -> Diagnostic {
    let message = format!("stage `{}`: `ignore` leaves no site for pass `{}` to work on", stage.id, stage.pass);
    let place = format!("{}/ignore", stage.pointer);
    Diagnostic::new("P004", message).label(loaded.key_span(&place), "").help("ignore less, or remove the stage")
}
