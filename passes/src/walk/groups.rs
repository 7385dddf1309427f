//! Which sites of a model see the same input on the walk, and what they see of it.

use candle_core::Tensor;
use paring_model::quantized::patches;
use paring_model::{Site, SiteKind};

use crate::effect::PlanCx;
use crate::error::PassError;
use crate::weights;

/// Sites that see the very same input.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The sites, in forward order.
    pub(crate) sites: Vec<Site>,
}

impl Group {
    /// The name of its first site.
    pub(super) fn name(&self) -> String {
        self.sites.first().map(|site| site.name.clone()).unwrap_or_default()
    }
}

/// The targets that multiply, by the input they share, in forward order. Convolutions of different kernels see different
/// patches of one image.
pub(crate) fn groups(sites: &[Site]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for site in sites.iter().filter(|site| !is_table(site)) {
        let is_same = |other: &Site| other.kind == site.kind && site.shares_input_with.contains(&other.name);
        let shares = |group: &&mut Group| group.sites.iter().any(is_same);
        match groups.iter_mut().find(shares) {
            Some(group) => group.sites.push(site.clone()),
            None => groups.push(Group { sites: vec![site.clone()] }),
        }
    }
    groups
}

/// The sites that multiply: all but lookup tables.
pub(crate) fn multiplying(sites: &[Site]) -> Vec<Site> {
    sites.iter().filter(|site| !is_table(site)).cloned().collect()
}

fn is_table(site: &Site) -> bool {
    matches!(site.kind, SiteKind::Embedding { .. })
}

/// Sites that a pass on the walk leaves as they are, with the reason. `instead` says what works on lookup tables.
pub(crate) fn untouched(cx: &PlanCx<'_>, instead: &str) -> Vec<(String, String)> {
    let reason = |site: &Site| match site.kind {
        SiteKind::Embedding { tied: true } => {
            format!("a lookup table, whose rows are the output layer's weights too: {instead}")
        }
        _ => format!("a lookup table, which multiplies nothing: {instead}"),
    };
    let tables = cx.sites.iter().filter(|site| is_table(site)).map(|site| (site.name.clone(), reason(site)));
    weights::untargeted(cx).into_iter().chain(tables).collect()
}

/// A group's input as rows of what its weights multiply: a convolution's kernel sees patches.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn columns(group: &Group, input: &Tensor) -> Result<Tensor, PassError> {
    match group.sites.first() {
        Some(Site { name, kind: SiteKind::Conv { kernel, stride, padding }, in_features, out_features, .. }) => {
            let weight = [*out_features, *in_features, *kernel, *kernel];
            Ok(patches(name, input, &weight, *stride, *padding)?)
        }
        _ => Ok(input.clone()),
    }
}

#[cfg(test)]
mod tests {
    use paring_model::config::Spec;
    use paring_model::{Checkpoint, families};
    use serde_json::json;

    use super::groups;
    use crate::testing::transformers::decoder;
    use crate::testing::{inputs, labels};

    fn names(model: &Checkpoint) -> Vec<Vec<String>> {
        let groups = groups(&model.outline().sites().unwrap());
        groups.iter().map(|group| group.sites.iter().map(|site| site.name.clone()).collect()).collect()
    }

    #[test]
    fn query_key_and_value_see_the_same() {
        let found = names(&decoder());
        let expected = ["q_proj", "k_proj", "v_proj"].map(|part| format!("model.layers.0.self_attn.{part}"));
        assert_eq!(found[0], expected);
        assert_eq!(found[1], ["model.layers.0.self_attn.o_proj"]);
    }

    #[test]
    fn kernels_of_other_sizes_see_other_patches_of_one_image() {
        let layers = json!({"input": [1, 4, 4], "layers": [{"residual": {"channels": 6}}]});
        let spec = Spec::from_parts("convnet", &layers).unwrap();
        let fill = &mut |_: &str, buffer: &mut [f32]| buffer.fill(0.5);
        let model = families::initialize(&spec, &inputs(16), &labels(&["a", "b"]), fill).unwrap();
        let alone = |name: &str| names(&model).contains(&vec![name.to_owned()]);
        assert!(alone("layers.0.conv1") && alone("layers.0.shortcut"), "{:?}", names(&model));
    }
}
