//! `config.json`: the family's own settings, typed, and everything else carried through.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nonlinearity between layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    #[default]
    Relu,
    /// Gaussian error linear unit, exact (erf).
    Gelu,
    /// x * sigmoid(x).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

/// A fully connected network, as written in a recipe: `model: { mlp: { hidden: [256, 128] } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlpSpec {
    /// Widths of the hidden layers, first to last.
    #[schemars(length(max = 64), inner(range(min = 1, max = 65536)), example = widths_example())]
    pub hidden: Vec<usize>,
    /// The nonlinearity after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
    /// Probability of dropping a hidden activation during training.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.95))]
    pub dropout: f64,
}

/// A convolutional network, as written in a recipe: a list of layers; the output layer (`head`) is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvnetSpec {
    /// Shape of one image: channels, height, width. Taken from the data where it says so (IDX files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = image_example())]
    pub input: Option<[usize; 3]>,
    /// The layers, first to last.
    #[schemars(length(min = 1, max = 512))]
    pub layers: Vec<ConvnetLayer>,
}

/// One layer of a convolutional network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConvnetLayer {
    /// Convolution, optional batch norm, activation.
    Conv(ConvSpec),
    /// A basic residual block: two 3x3 convolutions with batch norm and a shortcut (1x1 convolution with batch norm
    /// where the shape changes).
    Residual(ResidualSpec),
    /// Maximum over windows.
    MaxPool(PoolSpec),
    /// Mean over windows.
    AveragePool(PoolSpec),
    /// Mean over each whole channel.
    GlobalAveragePool(NoSettings),
    /// A fully connected layer with activation; the image is flattened (channel-major) before the first one.
    Dense(DenseSpec),
}

/// No settings: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// A convolution layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvSpec {
    /// Output channels.
    #[schemars(range(min = 1, max = 65536))]
    pub channels: usize,
    /// Width and height of the kernel.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 31))]
    pub kernel: usize,
    /// Step between windows.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub stride: usize,
    /// Zeros added on each side; half the kernel where not given ("same" at stride 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 31))]
    pub padding: Option<usize>,
    /// Batch normalization after the convolution (which then has no bias).
    #[serde(default)]
    pub batch_norm: bool,
    /// The nonlinearity after it.
    #[serde(default)]
    pub activation: Activation,
}

/// A residual block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidualSpec {
    /// Output channels.
    #[schemars(range(min = 1, max = 65536))]
    pub channels: usize,
    /// Step of the first convolution and of the shortcut.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub stride: usize,
}

/// A pooling layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Width and height of the window.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 64))]
    pub size: usize,
    /// Step between windows; the window's size where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub stride: Option<usize>,
    /// Border added on each side (never chosen by the maximum).
    #[serde(default)]
    #[schemars(range(max = 31))]
    pub padding: usize,
}

/// A fully connected layer of a convolutional network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenseSpec {
    /// Output features.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// The nonlinearity after it.
    #[serde(default)]
    pub activation: Activation,
    /// Probability of dropping an output during training.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.95))]
    pub dropout: f64,
}

fn widths_example() -> [usize; 2] {
    [256, 128]
}

fn image_example() -> [usize; 3] {
    [1, 28, 28]
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

/// A model from nothing: a family and its settings. The input and output widths come from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// A fully connected network.
    Mlp(MlpSpec),
    /// A convolutional network.
    Convnet(ConvnetSpec),
}

/// The typed part of `config.json` for the families that Paring builds itself: the settings and the two ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Family and settings. Widths in it are those of the weights: structured pruning rewrites them.
    #[serde(flatten)]
    pub spec: Spec,
    /// Shape of one input row as the network sees it.
    pub input: Vec<usize>,
    /// Numbers the head gives.
    pub output: usize,
}

impl Spec {
    /// The family's name.
    pub fn family(&self) -> &'static str {
        match self {
            Spec::Mlp(_) => "mlp",
            Spec::Convnet(_) => "convnet",
        }
    }
}
