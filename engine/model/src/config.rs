//! The settings of a model: what a recipe writes under `model:`, and what `config.json` keeps.

mod file;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use file::Config;

use crate::families::{BertSpec, LlamaSpec};

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
    /// Channels between the two convolutions; as many as `channels` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub inner: Option<usize>,
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
    /// Border added on each side, at most half the window: never chosen by the maximum, zeros to the mean.
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

/// A family and its settings. The input and output widths of a model from nothing come from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// A fully connected network.
    Mlp(MlpSpec),
    /// A convolutional network.
    Convnet(ConvnetSpec),
    /// An encoder of text that others trained. It is loaded, not built from nothing.
    #[serde(skip)]
    Bert(Box<BertSpec>),
    /// A decoder of text that others trained. It is loaded, not built from nothing.
    #[serde(skip)]
    Llama(Box<LlamaSpec>),
}

impl ConvSpec {
    /// Zeros on each side: as given, or half the kernel.
    pub fn padding(&self) -> usize {
        self.padding.unwrap_or(self.kernel / 2)
    }
}

impl ResidualSpec {
    /// Channels between the two convolutions.
    pub fn inner(&self) -> usize {
        self.inner.unwrap_or(self.channels)
    }
}

impl PoolSpec {
    /// Step between windows: as given, or the window's size.
    pub fn stride(&self) -> usize {
        self.stride.unwrap_or(self.size)
    }
}

impl ConvnetLayer {
    /// Its name in a recipe.
    pub fn kind(&self) -> &'static str {
        match self {
            ConvnetLayer::Conv(_) => "conv",
            ConvnetLayer::Residual(_) => "residual",
            ConvnetLayer::MaxPool(_) => "max_pool",
            ConvnetLayer::AveragePool(_) => "average_pool",
            ConvnetLayer::GlobalAveragePool(_) => "global_average_pool",
            ConvnetLayer::Dense(_) => "dense",
        }
    }
}

impl Spec {
    /// The family's name.
    pub fn family(&self) -> &'static str {
        match self {
            Spec::Mlp(_) => "mlp",
            Spec::Convnet(_) => "convnet",
            Spec::Bert(_) => "bert",
            Spec::Llama(_) => "llama",
        }
    }

    /// Whether its models read tokens rather than features.
    pub fn reads_tokens(&self) -> bool {
        matches!(self, Spec::Bert(_) | Spec::Llama(_))
    }
}
