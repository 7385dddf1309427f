//! Which layout of blocks each layer gets: llama.cpp's mixes, where layers whose errors show most get more bits, and its
//! stand-ins for rows that are no whole blocks.

use std::collections::BTreeMap;

use paring_model::sites::SiteKind;
use paring_model::{GgmlType, Role, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A layout for all layers, or a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// 4.5 bits a weight.
    Q4_0,
    /// 5 bits a weight.
    Q4_1,
    /// 5.5 bits a weight.
    Q5_0,
    /// 6 bits a weight.
    Q5_1,
    /// 8.5 bits a weight, the output layer too.
    Q8_0,
    /// 2.6 to 4.5 bits a weight.
    #[serde(rename = "q2_k")]
    Q2K,
    /// 3.4 bits a weight.
    #[serde(rename = "q3_k_s")]
    Q3KS,
    /// 3.4 to 5.5 bits a weight.
    #[serde(rename = "q3_k_m")]
    Q3KM,
    /// 3.4 to 5.5 bits a weight, more of them 5.5.
    #[serde(rename = "q3_k_l")]
    Q3KL,
    /// 4.5 bits a weight.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 4.5 or 5.5 bits a weight.
    #[serde(rename = "q4_k_s")]
    Q4KS,
    /// 4.5 or 6.6 bits a weight.
    #[serde(rename = "q4_k_m")]
    Q4KM,
    /// 5.5 bits a weight.
    #[serde(rename = "q5_k")]
    Q5K,
    /// 5.5 bits a weight.
    #[serde(rename = "q5_k_s")]
    Q5KS,
    /// 5.5 or 6.6 bits a weight.
    #[serde(rename = "q5_k_m")]
    Q5KM,
    /// 6.6 bits a weight.
    #[serde(rename = "q6_k")]
    Q6K,
}

/// Where a layer stands in a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Its layer, from 0.
    layer: usize,
    /// How many layers there are.
    layers: usize,
    /// How many queries share a value.
    sharing: usize,
}

impl Mix {
    /// The layout that most layers get.
    pub(crate) fn base(self) -> GgmlType {
        match self {
            Mix::Q4_0 => GgmlType::Q4_0,
            Mix::Q4_1 => GgmlType::Q4_1,
            Mix::Q5_0 => GgmlType::Q5_0,
            Mix::Q5_1 => GgmlType::Q5_1,
            Mix::Q8_0 => GgmlType::Q8_0,
            Mix::Q2K => GgmlType::Q2K,
            Mix::Q3KS | Mix::Q3KM | Mix::Q3KL => GgmlType::Q3K,
            Mix::Q4K | Mix::Q4KS | Mix::Q4KM => GgmlType::Q4K,
            Mix::Q5K | Mix::Q5KS | Mix::Q5KM => GgmlType::Q5K,
            Mix::Q6K => GgmlType::Q6K,
        }
    }

    /// The layout of a site. `inputs`: numbers in a row of its weight.
    pub(crate) fn of(self, site: &Site, inputs: usize, standing: Standing) -> GgmlType {
        match (site.role, site.kind) {
            (Role::Head, _) | (_, SiteKind::Embedding { tied: true }) => self.output(inputs),
            (Role::Value, _) => self.value(standing),
            (Role::FfnDown, _) => self.down(standing),
            (Role::AttentionOutput, _) => match self {
                Mix::Q2K => GgmlType::Q3K,
                Mix::Q3KM => GgmlType::Q4K,
                Mix::Q3KL => GgmlType::Q5K,
                _ => self.base(),
            },
            _ => self.base(),
        }
    }

    fn output(self, inputs: usize) -> GgmlType {
        let fits = inputs.is_multiple_of(GgmlType::Q6K.block());
        if self == Mix::Q8_0 || !fits { GgmlType::Q8_0 } else { GgmlType::Q6K }
    }

    fn value(self, standing: Standing) -> GgmlType {
        match self {
            Mix::Q2K if standing.sharing >= 4 => GgmlType::Q4K,
            Mix::Q2K => GgmlType::Q3K,
            Mix::Q3KM if standing.layer < 2 => GgmlType::Q5K,
            Mix::Q3KM => GgmlType::Q4K,
            Mix::Q3KL => GgmlType::Q5K,
            Mix::Q4KM | Mix::Q5KM if standing.gets_more() => GgmlType::Q6K,
            Mix::Q4KS if standing.layer < 4 => GgmlType::Q5K,
            _ => self.base(),
        }
    }

    fn down(self, standing: Standing) -> GgmlType {
        let Standing { layer, layers, .. } = standing;
        match self {
            Mix::Q2K => GgmlType::Q3K,
            Mix::Q3KM if layer < layers / 16 => GgmlType::Q5K,
            Mix::Q3KM => GgmlType::Q4K,
            Mix::Q3KL => GgmlType::Q5K,
            Mix::Q4KM | Mix::Q5KM if standing.gets_more() => GgmlType::Q6K,
            Mix::Q4KS if layer < layers / 8 => GgmlType::Q5K,
            _ => self.base(),
        }
    }
}

impl Standing {
    /// The first and the last eighth of the layers, and every third between them.
    fn gets_more(self) -> bool {
        let Self { layer, layers, .. } = self;
        let eighth = layers / 8;
        layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
    }

    /// Where each of a model's sites stands, by name.
    pub(crate) fn of_all(sites: &[Site]) -> BTreeMap<&str, Self> {
        let layers = sites.iter().filter_map(|site| site.layer).max().map_or(1, |last| last + 1);
        let rows = |role: Role, layer| {
            sites.iter().find(|site| site.role == role && site.layer == layer).map(|site| site.out_features)
        };
        let standing = |site: &Site| {
            let shared = rows(Role::Query, site.layer).zip(rows(Role::Value, site.layer));
            let sharing = shared.map_or(1, |(queries, values)| queries / values.max(1));
            Self { layer: site.layer.unwrap_or(0), layers, sharing }
        };
        sites.iter().map(|site| (site.name.as_str(), standing(site))).collect()
    }
}

/// What stands in where rows are no whole blocks of 256; none where they are no whole blocks of 32 either.
pub(crate) fn fallback(kind: GgmlType, inputs: usize) -> Option<GgmlType> {
    let smaller = match kind {
        GgmlType::Q2K | GgmlType::Q3K => GgmlType::Q4_0,
        GgmlType::Q4K => GgmlType::Q5_0,
        GgmlType::Q5K => GgmlType::Q5_1,
        GgmlType::Q6K => GgmlType::Q8_0,
        GgmlType::Q4_0 | GgmlType::Q4_1 | GgmlType::Q5_0 | GgmlType::Q5_1 | GgmlType::Q8_0 => return None,
    };
    inputs.is_multiple_of(smaller.block()).then_some(smaller)
}

#[cfg(test)]
mod tests {
    use super::{Mix, Standing, fallback};
    use paring_model::GgmlType;

    /// llama.cpp gives these layers of 30 (SmolLM2) six bits: see its `use_more_bits`.
    #[test]
    fn some_layers_get_more_bits() {
        let standing = |layer| Standing { layer, layers: 30, sharing: 3 };
        let more: Vec<usize> = (0..30).filter(|&layer| standing(layer).gets_more()).collect();
        assert_eq!(more, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29]);
        assert_eq!(Mix::Q4KM.down(standing(5)), GgmlType::Q6K);
        assert_eq!(Mix::Q4KM.down(standing(6)), GgmlType::Q4K);
        assert_eq!(Mix::Q4KS.value(standing(3)), GgmlType::Q5K);
        assert_eq!(Mix::Q3KM.value(standing(1)), GgmlType::Q5K);
        assert_eq!(Mix::Q3KM.down(standing(0)), GgmlType::Q5K);
        assert_eq!(Mix::Q2K.value(standing(0)), GgmlType::Q3K);
    }

    #[test]
    fn the_output_layer_keeps_more_bits() {
        assert_eq!(Mix::Q4_0.output(512), GgmlType::Q6K);
        assert_eq!(Mix::Q4_0.output(576), GgmlType::Q8_0);
        assert_eq!(Mix::Q8_0.output(512), GgmlType::Q8_0);
    }

    #[test]
    fn what_stands_in_has_blocks_of_32() {
        assert_eq!(fallback(GgmlType::Q4K, 576), Some(GgmlType::Q5_0));
        assert_eq!(fallback(GgmlType::Q6K, 576), Some(GgmlType::Q8_0));
        assert_eq!(fallback(GgmlType::Q4K, 48), None);
        assert_eq!(fallback(GgmlType::Q4_0, 48), None);
    }
}
