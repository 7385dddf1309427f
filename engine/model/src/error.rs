//! Everything that can be wrong with a model file, a configuration or a forward pass.

use std::path::PathBuf;

/// The result of an operation on a model.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// What is wrong with a model. Messages are lower case, name the tensor, and have no full stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read", "write", "open", ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("`{}` is not a valid {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// "safetensors", "config.json", ...
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A configuration does not describe a model of its family.
    #[error("the `{family}` configuration is wrong: {reason}")]
    Config {
        /// The family's name.
        family: String,
        /// What is wrong.
        reason: String,
    },
    /// No family of that name.
    #[error("no model family is called `{found}`; known families: {}", known.join(", "))]
    UnknownFamily {
        /// The name found.
        found: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A tensor is missing.
    #[error("tensor `{name}` is missing")]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the model needs.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// An operation needs float weights.
    #[error("tensor `{name}` is quantized; this needs a float tensor")]
    Quantized {
        /// The tensor's name.
        name: String,
    },
    /// Raw rows do not fit the model's inputs.
    #[error("{0}")]
    Input(String),
    /// Not something that this model can do.
    #[error("{0}")]
    Unsupported(String),
    /// candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
