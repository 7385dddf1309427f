//! What a model's raw outputs mean: class names or a number's unit.

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// What the model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Predict one of several classes.
    Classify,
    /// Predict a number.
    Regress,
    /// Turn an input into a vector.
    Embed,
    /// Continue a text.
    Generate,
}

/// How raw outputs become answers. Saved with the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Outputs {
    /// One logit a class, in the order of `labels`.
    Classify {
        /// The column that the labels came from.
        column: String,
        /// Class names; the index is the class number.
        labels: Vec<String>,
    },
    /// One number, standardized: answer = output * scale + mean.
    Regress {
        /// The column that the target came from.
        column: String,
        /// Mean of the training targets.
        mean: f64,
        /// Standard deviation of the training targets.
        scale: f64,
    },
    /// A vector a text.
    Embed {
        /// Numbers in it.
        width: usize,
        /// The column of texts that those of the inputs are compared with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<String>,
        /// The column that says how alike the two are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        score: Option<String>,
    },
    /// For each token of a text, one logit for each token that may follow it.
    Generate {
        /// Tokens there are.
        vocabulary: usize,
    },
}

/// What the model says about one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The likeliest class; of several, the first.
    Class {
        /// Its name.
        label: String,
        /// Its probability by softmax.
        probability: f64,
    },
    /// A number in the unit of the training targets.
    Number {
        /// The number.
        value: f64,
    },
    /// A vector.
    Vector {
        /// Its numbers.
        vector: Vec<f64>,
    },
}

impl Outputs {
    /// How many numbers the head gives for a row.
    pub fn width(&self) -> usize {
        match self {
            Outputs::Classify { labels, .. } => labels.len(),
            Outputs::Regress { .. } => 1,
            Outputs::Embed { width, .. } => *width,
            Outputs::Generate { vocabulary } => *vocabulary,
        }
    }

    /// The task.
    pub fn task(&self) -> Task {
        match self {
            Outputs::Classify { .. } => Task::Classify,
            Outputs::Regress { .. } => Task::Regress,
            Outputs::Embed { .. } => Task::Embed,
            Outputs::Generate { .. } => Task::Generate,
        }
    }

    /// The column that holds the answers in raw rows, for a task that has answers.
    pub fn column(&self) -> Option<&str> {
        match self {
            Outputs::Classify { column, .. } | Outputs::Regress { column, .. } => Some(column),
            Outputs::Embed { pair, .. } => pair.as_deref(),
            Outputs::Generate { .. } => None,
        }
    }

    /// Raw outputs of a model that means them so, as one gives them that means them as `wanted` does: numbers on
    /// another scale are brought to that; other answers have none.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn rescaled(&self, outputs: &Tensor, wanted: &Self) -> Result<Tensor> {
        match (self, wanted) {
            (Outputs::Regress { mean, scale, .. }, Outputs::Regress { mean: to, scale: unit, .. })
                if (mean, scale) != (to, unit) =>
            {
                Ok(outputs.affine(scale / unit, (mean - to) / unit)?)
            }
            _ => Ok(outputs.clone()),
        }
    }

    /// The answers for raw outputs, [rows, width].
    ///
    /// # Errors
    /// When the outputs have another width.
    pub fn answers(&self, outputs: &Tensor) -> Result<Vec<Answer>> {
        let width = self.width();
        if outputs.rank() != 2 || outputs.dim(1)? != width {
            let found = outputs.dims();
            return Err(ModelError::Input(format!(
                "the outputs have shape {found:?}, expected rows of {width} numbers"
            )));
        }
        let rows: Vec<Vec<f64>> = outputs.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2()?;
        Ok(rows.iter().map(|row| self.answer(row)).collect())
    }

    fn answer(&self, row: &[f64]) -> Answer {
        match self {
            Outputs::Classify { labels, .. } => {
                let (best, label) = likeliest(row, labels);
                let sum: f64 = row.iter().map(|logit| (logit - best).exp()).sum();
                Answer::Class { label, probability: 1.0 / sum }
            }
            Outputs::Regress { mean, scale, .. } => {
                Answer::Number { value: row.first().copied().unwrap_or_default() * scale + mean }
            }
            Outputs::Embed { .. } | Outputs::Generate { .. } => Answer::Vector { vector: row.to_vec() },
        }
    }

    /// Checks that no number is unusable and that classes have distinct names.
    ///
    /// # Errors
    /// Naming what is wrong.
    pub fn check(&self) -> Result<()> {
        let reason = match self {
            Outputs::Classify { labels, .. } if labels.is_empty() => "the outputs name no class".to_owned(),
            Outputs::Classify { labels, .. } => match duplicate(labels) {
                Some(label) => format!("the outputs name class `{label}` twice"),
                None => return Ok(()),
            },
            Outputs::Regress { mean, scale, .. } if mean.is_finite() && scale.is_finite() => return Ok(()),
            Outputs::Embed { width: 0, .. } | Outputs::Generate { vocabulary: 0 } => {
                "the outputs have no number".to_owned()
            }
            Outputs::Embed { .. } | Outputs::Generate { .. } => return Ok(()),
            Outputs::Regress { .. } => "the outputs have a mean or scale that is not finite".to_owned(),
        };
        Err(ModelError::Input(reason))
    }
}

/// The highest logit and its label.
fn likeliest(row: &[f64], labels: &[String]) -> (f64, String) {
    let mut best = (f64::NEG_INFINITY, "");
    for (&logit, label) in row.iter().zip(labels) {
        if logit > best.0 {
            best = (logit, label);
        }
    }
    (best.0, best.1.to_owned())
}

fn duplicate(labels: &[String]) -> Option<&str> {
    let mut sorted: Vec<&str> = labels.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first().copied())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{Answer, Outputs};

    fn classes(labels: &[&str]) -> Outputs {
        Outputs::Classify { column: "kind".to_owned(), labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }

    #[test]
    fn a_class_comes_with_its_softmax() {
        let logits = Tensor::new(&[[0.0_f32, 3.0_f32.ln()], [2.0, 2.0]], &Device::Cpu).unwrap();
        let answers = classes(&["cat", "dog"]).answers(&logits).unwrap();
        let [Answer::Class { label, probability }, second] = answers.as_slice() else { panic!("two classes") };
        assert_eq!(label, "dog");
        assert!((probability - 0.75).abs() < 1e-7);
        assert_eq!(*second, Answer::Class { label: "cat".to_owned(), probability: 0.5 });
    }

    #[test]
    fn a_number_comes_in_its_own_unit() {
        let outputs = Outputs::Regress { column: "price".to_owned(), mean: 100.0, scale: 20.0 };
        let answers = outputs.answers(&Tensor::new(&[[0.5_f32], [-1.0]], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(answers, [Answer::Number { value: 110.0 }, Answer::Number { value: 80.0 }]);
    }

    /// 1.5 stands for 13, which is half of 4 above 11.
    #[test]
    fn a_number_goes_from_one_scale_to_another() {
        let on = |mean: f64, scale: f64| Outputs::Regress { column: "price".to_owned(), mean, scale };
        let output = Tensor::new(&[[1.5_f32]], &Device::Cpu).unwrap();
        let number = |output: &Tensor| output.to_vec2::<f32>().unwrap()[0][0];
        assert_eq!(number(&on(10.0, 2.0).rescaled(&output, &on(11.0, 4.0)).unwrap()), 0.5);
        assert_eq!(number(&classes(&["cat"]).rescaled(&output, &on(11.0, 4.0)).unwrap()), 1.5);
    }

    #[test]
    fn outputs_of_another_width_are_refused() {
        let logits = Tensor::new(&[[0.0_f32; 3]], &Device::Cpu).unwrap();
        let error = classes(&["cat", "dog"]).answers(&logits).unwrap_err();
        assert_eq!(error.to_string(), "the outputs have shape [1, 3], expected rows of 2 numbers");
    }

    #[test]
    fn class_names_are_distinct() {
        assert!(classes(&["cat", "dog"]).check().is_ok());
        assert_eq!(classes(&["a", "b", "a"]).check().unwrap_err().to_string(), "the outputs name class `a` twice");
    }
}
