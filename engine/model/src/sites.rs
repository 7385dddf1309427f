//! Sites: the linear and convolution layers and the lookup tables of a model, as data. Selectors in a recipe match their names.

use serde::Serialize;

/// What a site does in its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A hidden layer of a network.
    Hidden,
    /// The shortcut of a residual block.
    Shortcut,
    /// The output layer.
    Head,
    /// A table of vectors: of tokens, positions, segments or relative positions.
    Embedding,
    /// What attention asks with.
    Query,
    /// What attention compares queries with.
    Key,
    /// What attention mixes.
    Value,
    /// Mixes the heads of an attention.
    AttentionOutput,
    /// Widens the stream in a feed-forward part.
    FfnUp,
    /// Decides how much of each widened number passes.
    FfnGate,
    /// Narrows the widened numbers to the stream.
    FfnDown,
    /// Between the last layer and the output layer.
    Pooler,
    /// A matrix of a model whose family is unknown.
    Unknown,
}

/// The operation at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// y = x W^T + b, weight [out, in].
    Linear,
    /// A lookup: number i becomes row i of the weight [in, out].
    Embedding {
        /// Its rows are the output layer's weights too.
        tied: bool,
    },
    /// A 2-d convolution, weight [out, in, kernel, kernel].
    Conv {
        /// Width and height of the kernel.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Zeros on each side.
        padding: usize,
    },
}

/// What writes a site's input, and nothing but sites that share it reads: dividing what it writes by some numbers and
/// multiplying the sites' columns by them leaves the model's answers as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// A normalization: its weight, and its bias where it has one.
    Norm(String),
    /// A site whose outputs reach the input unmixed, number by number, times others at most: the rows of its weight, and
    /// its bias where it has one.
    Rows(String),
}

/// One linear or convolution layer, or one lookup table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Site {
    /// Stable dotted name: `layers.0`, `head`. The weight is `{name}.weight`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The operation.
    pub kind: SiteKind,
    /// Index of the layer it belongs to; `None` for the head and for what comes before the first layer.
    pub layer: Option<usize>,
    /// Input features or channels; rows of a lookup table.
    pub in_features: usize,
    /// Output features or channels.
    pub out_features: usize,
    /// Has a bias, `{name}.bias`.
    pub bias: bool,
    /// How many positions of one input row it is applied to (output height x width for a convolution; 1 for a linear,
    /// which a model that reads tokens applies to each token).
    pub positions: usize,
    /// The normalization that directly precedes it, by name.
    pub norm_before: Option<String>,
    /// What writes its input, where scales can be folded into that.
    pub fold: Option<Fold>,
    /// Other sites that see the very same input.
    pub shares_input_with: Vec<String>,
}

impl Site {
    /// Name of the weight tensor.
    pub fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    /// Name of the bias tensor.
    pub fn bias_name(&self) -> String {
        format!("{}.bias", self.name)
    }
}
