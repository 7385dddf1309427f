//! A model of no known family: it cannot run, but its matrices can be worked on one by one.

use crate::outline::{Outline, WeightOutline};
use crate::sites::{Role, Site, SiteKind};

/// A site for every float or quantized matrix `NAME.weight`, sorted by name. Embeddings are among them: nothing in a
/// file of tensors tells them from linear layers.
pub(super) fn sites(outline: &Outline) -> Vec<Site> {
    outline.weights.iter().filter_map(|(name, weight)| site(outline, name, weight)).collect()
}

fn site(outline: &Outline, name: &str, weight: &WeightOutline) -> Option<Site> {
    let name = name.strip_suffix(".weight")?;
    let &[out_features, in_features] = weight.shape() else { return None };
    let is_number = match weight {
        WeightOutline::Dense { dtype, .. } => matches!(dtype.as_str(), "F16" | "BF16" | "F32" | "F64"),
        WeightOutline::Quantized { .. } | WeightOutline::Blocks { .. } => true,
    };
    (is_number && !name.is_empty() && out_features * in_features > 0).then(|| Site {
        name: name.to_owned(),
        role: Role::Unknown,
        kind: SiteKind::Linear,
        layer: None,
        in_features,
        out_features,
        bias: outline.weights.contains_key(&format!("{name}.bias")),
        positions: 1,
        norm_before: None,
        fold: None,
        shares_input_with: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::families;
    use crate::outline::{Outline, WeightOutline};
    use crate::sites::Role;

    fn dense(dtype: &str, shape: &[usize]) -> WeightOutline {
        WeightOutline::Dense { dtype: dtype.to_owned(), shape: shape.to_vec(), masked: false }
    }

    #[test]
    fn float_matrices_are_sites_and_nothing_else_is() {
        let weights = BTreeMap::from([
            ("b.weight".to_owned(), dense("BF16", &[4, 8])),
            ("b.bias".to_owned(), dense("BF16", &[4])),
            ("a.weight".to_owned(), dense("F32", &[2, 3])),
            ("norm.weight".to_owned(), dense("F32", &[3])),
            ("conv.weight".to_owned(), dense("F32", &[2, 3, 3, 3])),
            ("table.weight".to_owned(), dense("I64", &[2, 3])),
            ("none.weight".to_owned(), dense("F32", &[0, 3])),
            ("matrix".to_owned(), dense("F32", &[2, 3])),
        ]);
        let outline = Outline { config: None, weights, inputs: None, outputs: None, built: true };
        let sites = families::sites(&outline).unwrap();
        let shown: Vec<_> =
            sites.iter().map(|site| (site.name.as_str(), site.out_features, site.in_features, site.bias)).collect();
        assert_eq!(shown, [("a", 2, 3, false), ("b", 4, 8, true)]);
        assert!(sites.iter().all(|site| site.role == Role::Unknown));
        assert!(families::units(&outline).unwrap().is_empty());
    }
}
