//! The names of an encoder's tensors in each scheme.

use super::spec::Scheme;
use crate::families::survey::Known;

/// Names under a prefix.
pub(crate) struct Names {
    pub(crate) scheme: Scheme,
    pub(crate) prefix: String,
}

/// The names in one layer.
pub(crate) struct LayerNames {
    pub(crate) query: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) output: String,
    pub(crate) attention_norm: String,
    pub(crate) up: String,
    pub(crate) down: String,
    pub(crate) norm: String,
}

impl Names {
    pub(crate) fn words(&self) -> String {
        self.at("embeddings.word_embeddings")
    }

    pub(crate) fn positions(&self) -> String {
        self.at("embeddings.position_embeddings")
    }

    /// Only where the scheme has segments.
    pub(crate) fn types(&self) -> Option<String> {
        match self.scheme {
            Scheme::Bert | Scheme::Roberta => Some(self.at("embeddings.token_type_embeddings")),
            Scheme::DistilBert | Scheme::Mpnet => None,
        }
    }

    pub(crate) fn norm(&self) -> String {
        self.at("embeddings.LayerNorm")
    }

    /// Only where the scheme has it.
    pub(crate) fn relative(&self) -> Option<String> {
        (self.scheme == Scheme::Mpnet).then(|| self.at("encoder.relative_attention_bias"))
    }

    /// What a text's first vector passes before the classifier.
    pub(crate) fn pooler(&self) -> String {
        match self.scheme {
            Scheme::Bert => self.at("pooler.dense"),
            Scheme::DistilBert => "pre_classifier".to_owned(),
            Scheme::Roberta | Scheme::Mpnet => "classifier.dense".to_owned(),
        }
    }

    /// The same where the stock models have one that nothing reads.
    pub(crate) fn spare_pooler(&self) -> String {
        self.at("pooler.dense")
    }

    pub(crate) fn classifier(&self, known: Known<'_>) -> String {
        let two = known.contains_key("classifier.out_proj.weight");
        if two { "classifier.out_proj".to_owned() } else { "classifier".to_owned() }
    }

    /// What the names of a layer's tensors start with.
    pub(crate) fn root(&self, layer: usize) -> String {
        match self.scheme {
            Scheme::DistilBert => self.at(&format!("transformer.layer.{layer}")),
            Scheme::Bert | Scheme::Roberta | Scheme::Mpnet => self.at(&format!("encoder.layer.{layer}")),
        }
    }

    pub(crate) fn layer(&self, layer: usize) -> LayerNames {
        let root = self.root(layer);
        let [query, key, value, output, attention_norm, up, down, norm] = self.parts();
        let at = |part: &str| format!("{root}.{part}");
        LayerNames {
            query: at(query),
            key: at(key),
            value: at(value),
            output: at(output),
            attention_norm: at(attention_norm),
            up: at(up),
            down: at(down),
            norm: at(norm),
        }
    }

    fn parts(&self) -> [&'static str; 8] {
        match self.scheme {
            Scheme::Bert | Scheme::Roberta => [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ],
            Scheme::DistilBert => [
                "attention.q_lin",
                "attention.k_lin",
                "attention.v_lin",
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            ],
            Scheme::Mpnet => [
                "attention.attn.q",
                "attention.attn.k",
                "attention.attn.v",
                "attention.attn.o",
                "attention.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ],
        }
    }

    fn at(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
