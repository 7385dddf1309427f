//! Which weights a run trains, and at which learning rate.

use globset::{Glob, GlobMatcher};

use super::FitSettings;
use crate::error::{Result, TrainError};

/// The peak learning rate of every weight, by its name.
pub struct Rates {
    frozen: Vec<GlobMatcher>,
    own: Vec<(GlobMatcher, f64)>,
    rate: f64,
}

impl Rates {
    /// As the settings say.
    ///
    /// # Errors
    /// When a glob is malformed.
    pub fn new(settings: &FitSettings) -> Result<Self> {
        let frozen = settings.freeze.iter().map(|glob| matcher(glob)).collect::<Result<_>>()?;
        let own = settings.learning_rates.iter().map(|(glob, rate)| Ok((matcher(glob)?, *rate)));
        Ok(Self { frozen, own: own.collect::<Result<_>>()?, rate: settings.learning_rate })
    }

    /// Whether the weight stays as it is.
    pub fn is_frozen(&self, weight: &str) -> bool {
        self.frozen.iter().any(|glob| glob.is_match(weight))
    }

    /// The weight's peak learning rate over that of the run: the first glob that matches decides.
    pub fn factor(&self, weight: &str) -> f64 {
        let own = self.own.iter().find(|(glob, _)| glob.is_match(weight));
        own.map_or(1.0, |(_, rate)| rate / self.rate)
    }
}

/// Globs of `freeze` and `learning_rates` that match none of the weights, or are malformed: where each stands (a JSON
/// pointer into the settings), and what is wrong with it.
pub fn problems(settings: &FitSettings, weights: &[&str]) -> Vec<(String, String)> {
    let frozen = settings.freeze.iter().enumerate().map(|(index, glob)| (format!("/freeze/{index}"), glob));
    let key = |glob: &str| glob.replace('~', "~0").replace('/', "~1");
    let rates = settings.learning_rates.keys().map(|glob| (format!("/learning_rates/{}", key(glob)), glob));
    let mut problems: Vec<_> =
        frozen.chain(rates).filter_map(|(place, glob)| Some((place, problem(glob, weights)?))).collect();
    let all_frozen = Rates::new(settings).is_ok_and(|rates| weights.iter().all(|weight| rates.is_frozen(weight)));
    if problems.is_empty() && all_frozen && !weights.is_empty() {
        problems.push(("/freeze".to_owned(), "leaves no weight to train".to_owned()));
    }
    problems
}

fn problem(glob: &str, weights: &[&str]) -> Option<String> {
    glob_problem(glob, weights, "weight of the model")
}

/// Why a glob matches none of the names, which are those of `what`.
pub fn glob_problem(glob: &str, names: &[&str], what: &str) -> Option<String> {
    match matcher(glob) {
        Err(error) => Some(error.to_string()),
        Ok(matcher) if names.iter().any(|name| matcher.is_match(name)) => None,
        Ok(_) => Some(format!("names `{glob}`, which matches no {what}")),
    }
}

/// Whether one of the globs matches; one that is malformed matches nothing.
pub(crate) fn matches_one(globs: &[String], name: &str) -> bool {
    globs.iter().filter_map(|glob| matcher(glob).ok()).any(|glob| glob.is_match(name))
}

fn matcher(glob: &str) -> Result<GlobMatcher> {
    let wrong = |error: globset::Error| TrainError::Mismatch(format!("`{glob}` is not a valid glob: {}", error.kind()));
    Ok(Glob::new(glob).map_err(wrong)?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::{Rates, problems};
    use crate::fit::FitSettings;

    fn settings(freeze: &[&str], rates: &[(&str, f64)]) -> FitSettings {
        FitSettings {
            learning_rate: 0.01,
            freeze: freeze.iter().map(|&glob| glob.to_owned()).collect(),
            learning_rates: rates.iter().map(|&(glob, rate)| (glob.to_owned(), rate)).collect::<IndexMap<_, _>>(),
            ..FitSettings::default()
        }
    }

    #[test]
    fn the_first_glob_that_matches_decides() {
        let rates = Rates::new(&settings(&["layers.0.*"], &[("head.*", 0.1), ("*.bias", 0.02)])).unwrap();
        assert!(rates.is_frozen("layers.0.bias") && !rates.is_frozen("layers.1.bias"));
        let factors = ["head.bias", "layers.1.bias", "layers.1.weight"].map(|weight| rates.factor(weight));
        assert_eq!(factors, [10.0, 2.0, 1.0]);
    }

    #[test]
    fn globs_that_do_nothing_are_problems() {
        let weights = ["layers.0.weight", "head.weight"];
        let found = problems(&settings(&["layer.*", "[a"], &[("a/b", 0.1)]), &weights);
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/freeze/0", "/freeze/1", "/learning_rates/a~1b"]);
        assert_eq!(found[0].1, "names `layer.*`, which matches no weight of the model");
        let everything = problems(&settings(&["*"], &[]), &weights);
        assert_eq!(everything, [("/freeze".to_owned(), "leaves no weight to train".to_owned())]);
        assert!(problems(&settings(&["head.*"], &[]), &weights).is_empty());
    }
}
