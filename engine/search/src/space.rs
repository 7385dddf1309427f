//! The space of a search: parameters with their domains, some of them active only where a choice has certain values.

use thiserror::Error;

/// A value a parameter, in the order of the space: a number, a whole number, or the number of a choice. `None` where
/// the parameter is not active.
pub type Point = Vec<Option<f64>>;

/// What one parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// A number from `low` to `high`, both inclusive.
    Float {
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
        /// Spaced by factors instead of evenly.
        log: bool,
    },
    /// A whole number from `low` to `high`, both inclusive.
    Int {
        /// The smallest.
        low: i64,
        /// The largest.
        high: i64,
        /// Spaced by factors instead of evenly.
        log: bool,
    },
    /// One of so many choices without an order.
    Categorical {
        /// How many.
        choices: usize,
    },
}

/// When a parameter is active: an earlier, categorical one is, and has one of these choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Number of the earlier parameter.
    pub parent: usize,
    /// The choices of the parent with which this one is active.
    pub choices: Vec<usize>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What it may be.
    pub domain: Domain,
    /// When it is active; always without.
    pub condition: Option<Condition>,
}

/// Why there is no such space.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpaceError {
    /// The ends of a range.
    #[error("parameter {0} has no value between its ends, or too many")]
    Ends(usize),
    /// The parent of a condition.
    #[error("parameter {0} depends on a parameter that is not an earlier choice, or on a choice that it has not")]
    Condition(usize),
}

/// Whole numbers up to this are exact as floating-point numbers.
const MOST_WHOLE: i64 = 1 << 53;

/// The parameters of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    parameters: Vec<Parameter>,
}

impl Space {
    /// A space of these parameters.
    ///
    /// # Errors
    /// When a domain is empty, or a condition names something other than a choice of an earlier parameter.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, SpaceError> {
        for (index, Parameter { domain, condition }) in parameters.iter().enumerate() {
            if !domain.is_sound() {
                return Err(SpaceError::Ends(index));
            }
            let known = |condition: &Condition| match parameters[..index].get(condition.parent).map(|p| &p.domain) {
                Some(Domain::Categorical { choices }) => condition.choices.iter().all(|choice| choice < choices),
                _ => false,
            };
            if condition.as_ref().is_some_and(|condition| !known(condition)) {
                return Err(SpaceError::Condition(index));
            }
        }
        Ok(Self { parameters })
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Whether parameter `index` is active, given the values of those before it.
    pub fn is_active(&self, index: usize, before: &[Option<f64>]) -> bool {
        self.parameters[index].condition.as_ref().is_none_or(|condition| {
            let parent = before.get(condition.parent).copied().flatten();
            parent.is_some_and(|choice| condition.choices.contains(&(choice as usize)))
        })
    }

    /// The point whose parameter `index` is `value(index)`, as far as it is active.
    pub fn point(&self, mut value: impl FnMut(usize) -> f64) -> Point {
        let mut point = Point::with_capacity(self.parameters.len());
        for index in 0..self.parameters.len() {
            let active = self.is_active(index, &point);
            point.push(active.then(|| value(index)));
        }
        point
    }

    /// The point at these places of the unit cube, one coordinate a parameter.
    pub fn at(&self, mut unit: impl FnMut(usize) -> f64) -> Point {
        self.point(|index| self.parameters[index].domain.at(unit(index)))
    }
}

impl Domain {
    fn is_sound(&self) -> bool {
        match *self {
            Domain::Float { low, high, log } => {
                low.is_finite() && high.is_finite() && low < high && (!log || low > 0.0)
            }
            Domain::Int { low, high, log } => {
                low <= high && low > -MOST_WHOLE && high < MOST_WHOLE && (!log || low > 0)
            }
            Domain::Categorical { choices } => choices > 0,
        }
    }

    /// How many values there are; `None` for a continuous range.
    pub fn count(&self) -> Option<usize> {
        match *self {
            Domain::Float { .. } => None,
            Domain::Int { low, high, .. } => usize::try_from(high - low + 1).ok(),
            Domain::Categorical { choices } => Some(choices),
        }
    }

    /// The ends in which the domain is even: logarithms for a log scale, and half a step beyond whole numbers.
    fn ends(&self) -> (f64, f64) {
        let (low, high, log) = match *self {
            Domain::Float { low, high, log } => (low, high, log),
            Domain::Int { low, high, log } => (low as f64 - 0.5, high as f64 + 0.5, log),
            Domain::Categorical { choices } => (-0.5, choices as f64 - 0.5, false),
        };
        if log { (low.ln(), high.ln()) } else { (low, high) }
    }

    fn is_log(&self) -> bool {
        matches!(self, Domain::Float { log: true, .. } | Domain::Int { log: true, .. })
    }

    /// The value at a place from 0 to 1, over which the domain is even.
    pub fn at(&self, unit: f64) -> f64 {
        let (low, high) = self.ends();
        let even = low + unit.clamp(0.0, 1.0) * (high - low);
        let value = if self.is_log() { even.exp() } else { even };
        match *self {
            Domain::Float { low, high, .. } => value.clamp(low, high),
            Domain::Int { low, high, .. } => value.round().clamp(low as f64, high as f64),
            Domain::Categorical { choices } => value.round().clamp(0.0, choices as f64 - 1.0),
        }
    }

    /// The place of a value, from 0 to 1.
    pub fn unit(&self, value: f64) -> f64 {
        let (low, high) = self.ends();
        let even = if self.is_log() { value.ln() } else { value };
        ((even - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The places from which to which a whole number stands for itself.
    pub fn cell(&self, value: f64) -> (f64, f64) {
        (self.unit(value - 0.5), self.unit(value + 0.5))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{Condition, Domain, Parameter, Space, SpaceError};

    fn free(domain: Domain) -> Parameter {
        Parameter { domain, condition: None }
    }

    fn when(parent: usize, choices: &[usize]) -> Option<Condition> {
        Some(Condition { parent, choices: choices.to_vec() })
    }

    #[test]
    fn a_parameter_is_active_with_certain_choices_of_an_active_parent() {
        let choice = || Domain::Categorical { choices: 2 };
        let space = Space::new(vec![
            free(choice()),
            Parameter { domain: choice(), condition: when(0, &[1]) },
            Parameter { domain: Domain::Float { low: 0.0, high: 1.0, log: false }, condition: when(1, &[0]) },
        ])
        .unwrap();
        assert_eq!(space.at(|_| 0.2), [Some(0.0), None, None]);
        assert_eq!(space.at(|_| 0.8), [Some(1.0), Some(1.0), None]);
        assert_eq!(space.at(|index| [0.8, 0.2, 0.5][index]), [Some(1.0), Some(0.0), Some(0.5)]);
    }

    #[test]
    fn what_is_no_space_is_refused() {
        let float = |low, high, log| Space::new(vec![free(Domain::Float { low, high, log })]).err();
        assert_eq!(float(1.0, 1.0, false), Some(SpaceError::Ends(0)));
        assert_eq!(float(0.0, 1.0, true), Some(SpaceError::Ends(0)));
        let child = Parameter { domain: Domain::Categorical { choices: 2 }, condition: when(0, &[2]) };
        let two = Space::new(vec![free(Domain::Categorical { choices: 2 }), child.clone()]);
        assert_eq!(two.err(), Some(SpaceError::Condition(1)));
        assert_eq!(Space::new(vec![child]).err(), Some(SpaceError::Condition(0)));
    }

    #[test]
    fn whole_numbers_have_equal_shares_of_a_linear_range_and_even_factors_of_a_log_one() {
        let linear = Domain::Int { low: 1, high: 4, log: false };
        assert_eq!([0.0, 0.24, 0.26, 0.99, 1.0].map(|unit| linear.at(unit)), [1.0, 1.0, 2.0, 4.0, 4.0]);
        let log = Domain::Int { low: 1, high: 8, log: true };
        let (from, to) = log.cell(1.0);
        // (ln 1.5 - ln 0.5) / (ln 8.5 - ln 0.5)
        assert!(from == 0.0 && (to - 0.387_76).abs() < 1e-4, "{to}");
    }

    proptest! {
        #[test]
        fn a_value_stays_when_it_is_placed_and_read_back(unit in 0.0..=1.0_f64, low in 1_i64..50, more in 1_i64..500) {
            for log in [false, true] {
                let whole = Domain::Int { low, high: low + more, log };
                let value = whole.at(unit);
                prop_assert_eq!(whole.at(whole.unit(value)), value);
                let float = Domain::Float { low: low as f64, high: (low + more) as f64, log };
                prop_assert!((float.unit(float.at(unit)) - unit).abs() < 1e-9);
            }
        }
    }
}
