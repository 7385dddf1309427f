//! What attention reads in a student that learns to read as its teacher does.

use candle_core::Tensor;

use crate::error::Result;
use crate::loss::attention::{Seen, relation_divergence, score_difference};

/// What attention reads in layers of a student and of its teacher, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Layers of the student and of the teacher that are compared.
    pub pairs: Vec<[AttentionLayer; 2]>,
    /// Weights of the relations of queries, of keys and of values, beside the loss of the answers.
    pub relations: [f64; 3],
    /// Heads in which relations are computed.
    pub relation_heads: usize,
    /// Weight of the attention scores.
    pub scores: f64,
    /// Whether a token sees itself and those before it, and no others.
    pub causal: bool,
}

/// The attention of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionLayer {
    /// Sites of its queries, keys and values.
    pub sites: [String; 3],
    /// Numbers in one of its heads.
    pub head_width: usize,
}

impl Attention {
    /// The sites whose outputs are compared, pair by pair: the student's.
    pub(super) fn own_sites(&self) -> Vec<String> {
        self.pairs.iter().flat_map(|[own, _]| own.sites.clone()).collect()
    }

    /// The same of the teacher.
    pub(super) fn teachers_sites(&self) -> Vec<String> {
        self.pairs.iter().flat_map(|[_, teachers]| teachers.sites.clone()).collect()
    }

    /// The mean over pairs, from the outputs of their sites; `mask` is that of the tokens.
    pub(super) fn loss(&self, own: &[Tensor], wanted: &[Tensor], mask: Option<&Tensor>) -> Result<Option<Tensor>> {
        let Some(first) = own.first() else { return Ok(None) };
        let seen = Seen::new(first.dim(1)?, mask, self.causal, first)?;
        let mut sum: Option<Tensor> = None;
        let mut add = |loss: Tensor, weight: f64| -> Result<()> {
            let term = (loss * (weight / self.pairs.len() as f64))?;
            sum = Some(match sum.take() {
                Some(sum) => (sum + term)?,
                None => term,
            });
            Ok(())
        };
        for ((pair, own), wanted) in self.pairs.iter().zip(own.chunks_exact(3)).zip(wanted.chunks_exact(3)) {
            for ((own, wanted), weight) in own.iter().zip(wanted).zip(self.relations) {
                if weight > 0.0 {
                    add(relation_divergence(own, wanted, self.relation_heads, &seen)?, weight)?;
                }
            }
            if let ([query, key, _], [wanted_query, wanted_key, _]) = (own, wanted)
                && self.scores > 0.0
            {
                let widths = [&pair[0], &pair[1]].map(|layer| layer.head_width);
                add(score_difference([query, key], [wanted_query, wanted_key], widths, &seen)?, self.scores)?;
            }
        }
        Ok(sum)
    }
}
