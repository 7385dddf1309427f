//! The keys of config.json that the encoders of this family read.

use serde_json::{Map, Value};

use super::pooling::Pooling;
use super::spec::{BertSpec, Head, Scheme};
use crate::error::Result;
use crate::families::transformer::keys::Keys;
use crate::families::transformer::nonlinearity::Nonlinearity;

/// What config.json says.
pub(super) struct Settings {
    scheme: Scheme,
    layers: usize,
    head_width: usize,
    activation: Nonlinearity,
    epsilon: f64,
    padding: Option<u32>,
    dropout: [f64; 3],
}

impl Settings {
    pub(super) fn read(keys: &mut Keys<'_>, scheme: Scheme) -> Result<Self> {
        keys.value("model_type");
        keys.only("position_embedding_type", &Value::from("absolute"))?;
        keys.only("is_decoder", &Value::from(false))?;
        keys.only("add_cross_attention", &Value::from(false))?;
        match scheme {
            Scheme::DistilBert => Self::of_distilbert(keys),
            Scheme::Bert | Scheme::Roberta | Scheme::Mpnet => Self::of_bert(keys, scheme),
        }
    }

    /// With a head that is to be replaced.
    pub(super) fn spec(self) -> BertSpec {
        BertSpec {
            scheme: self.scheme,
            prefix: String::new(),
            layers: self.layers,
            head_width: self.head_width,
            activation: self.activation,
            epsilon: self.epsilon,
            padding: self.padding,
            dropout: self.dropout,
            head: Head::Embedding { pooling: Pooling::Mean, projections: Vec::new(), normalize: false },
            keys: Map::new(),
            files: Map::new(),
        }
    }

    fn of_bert(keys: &mut Keys<'_>, scheme: Scheme) -> Result<Self> {
        keys.count("intermediate_size")?;
        let stream = keys.rate("hidden_dropout_prob", 0.1)?;
        Ok(Self {
            scheme,
            layers: keys.required("num_hidden_layers")?,
            head_width: head_width(keys, "hidden_size", "num_attention_heads")?,
            activation: Nonlinearity::read(keys, "hidden_act", Nonlinearity::Gelu)?,
            epsilon: keys.positive("layer_norm_eps", 1e-12)?,
            padding: padding(keys, scheme)?,
            dropout: [
                stream,
                keys.rate("attention_probs_dropout_prob", 0.1)?,
                keys.rate("classifier_dropout", stream)?,
            ],
        })
    }

    fn of_distilbert(keys: &mut Keys<'_>) -> Result<Self> {
        keys.count("hidden_dim")?;
        Ok(Self {
            scheme: Scheme::DistilBert,
            layers: keys.required("n_layers")?,
            head_width: head_width(keys, "dim", "n_heads")?,
            activation: Nonlinearity::read(keys, "activation", Nonlinearity::Gelu)?,
            // The architecture fixes it.
            epsilon: 1e-12,
            padding: None,
            dropout: [
                keys.rate("dropout", 0.1)?,
                keys.rate("attention_dropout", 0.1)?,
                keys.rate("seq_classif_dropout", 0.2)?,
            ],
        })
    }
}

/// Numbers in one head: as said, or the stream's width over the number of heads. It stays when heads are removed.
fn head_width(keys: &mut Keys<'_>, width: &str, heads: &str) -> Result<usize> {
    let (hidden, count) = (keys.required(width)?, keys.required(heads)?);
    if let Some(head_width) = keys.count("head_dim")? {
        return Ok(head_width);
    }
    if hidden.is_multiple_of(count) {
        return Ok(hidden / count);
    }
    Err(keys.wrong(format!("`{width}` is `{hidden}`, expected a multiple of `{heads}`, {count}")))
}

/// The token number that positions count from.
fn padding(keys: &mut Keys<'_>, scheme: Scheme) -> Result<Option<u32>> {
    let number = match scheme {
        Scheme::Roberta => keys.index("pad_token_id")?.unwrap_or(1),
        // The architecture fixes it.
        Scheme::Mpnet => 1,
        Scheme::Bert | Scheme::DistilBert => return Ok(None),
    };
    Ok(Some(number as u32))
}
