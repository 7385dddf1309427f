//! Which attention of a student is compared with which of its teacher, and in how many heads.

use paring_model::config::Spec;
use paring_model::{Outline, Role, Site};
use paring_train::fit::{Attention, AttentionLayer};

use crate::error::Problem;

/// What is compared, by weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Relations of queries, of keys and of values.
    pub(super) relations: [f64; 3],
    /// Heads in which relations are computed; the teacher's heads of keys where not given.
    pub(super) relation_heads: Option<usize>,
    /// Attention scores.
    pub(super) scores: f64,
}

/// Names of the terms' parameters.
const WEIGHTS: [&str; 3] = ["query_weight", "key_weight", "value_weight"];

/// A layer's attention: sites of queries, keys and values, and the numbers in a head.
struct Layer {
    sites: [Site; 3],
    head_width: usize,
}

impl Layer {
    fn heads(&self, role: usize) -> usize {
        self.sites.get(role).map_or(0, |site| site.out_features / self.head_width.max(1))
    }

    fn names(&self) -> AttentionLayer {
        let [query, key, value] = &self.sites;
        let sites = [query, key, value].map(|site| site.name.clone());
        AttentionLayer { sites, head_width: self.head_width }
    }
}

/// What is compared in these pairs of layers, or why it cannot be.
pub(super) fn attention(
    (student, teacher): (&Outline, &Outline),
    pairs: &[(usize, usize)],
    terms: Terms,
) -> Result<Attention, Problem> {
    let unknown = || Problem::new("/student", "compares attention, but the model has no layers that are alike");
    let layers = |&(own, wanted): &(usize, usize)| Some([layer(student, own)?, layer(teacher, wanted)?]);
    let found: Vec<[Layer; 2]> = pairs.iter().map(layers).collect::<Option<_>>().ok_or_else(unknown)?;
    let causal = is_causal(student);
    if terms.scores > 0.0 {
        comparable(&found, pairs, causal)?;
    }
    let compared = |layer: &Layer| {
        let sites = layer.sites.iter().zip(terms.relations).filter(|(_, weight)| *weight > 0.0);
        sites.map(|(site, _)| (site.name.clone(), site.out_features)).collect::<Vec<_>>()
    };
    let widths: Vec<(String, usize)> = found.iter().flatten().flat_map(compared).collect();
    let own_heads = found.first().map_or(1, |[_, teacher]| teacher.heads(1));
    let relation_heads = terms.relation_heads.unwrap_or(own_heads).max(1);
    divides(relation_heads, terms.relation_heads.is_some(), &widths)?;
    let pairs = found.iter().map(|[own, wanted]| [own.names(), wanted.names()]).collect();
    Ok(Attention { pairs, relations: terms.relations, relation_heads, scores: terms.scores, causal })
}

fn layer(outline: &Outline, layer: usize) -> Option<Layer> {
    let head_width = match &outline.config.as_ref()?.spec {
        Spec::Bert(spec) => spec.head_width,
        Spec::Llama(spec) => spec.head_width,
        Spec::Mlp(_) | Spec::Convnet(_) => return None,
    };
    let sites = outline.sites().ok()?;
    let site = |role: Role| sites.iter().find(|site| site.layer == Some(layer) && site.role == role).cloned();
    Some(Layer { sites: [site(Role::Query)?, site(Role::Key)?, site(Role::Value)?], head_width })
}

fn is_causal(outline: &Outline) -> bool {
    matches!(outline.config.as_ref().map(|config| &config.spec), Some(Spec::Llama(_)))
}

/// Scores are those of pairs of heads, and of queries and keys as their layers give them.
fn comparable(found: &[[Layer; 2]], pairs: &[(usize, usize)], causal: bool) -> Result<(), Problem> {
    let help = format!("set it to 0: the relations (`{}`) need neither", WEIGHTS.join("`, `"));
    if causal {
        let message = "compares attention scores, but this model turns queries and keys by their positions first";
        return Err(Problem::new("/score_weight", message).help(help));
    }
    let differs = |[own, wanted]: &[Layer; 2]| own.heads(0) != wanted.heads(0);
    let Some(([own, wanted], (layer, teachers))) = found.iter().zip(pairs).find(|(pair, _)| differs(pair)) else {
        return Ok(());
    };
    let message = format!(
        "compares attention scores head by head, but layer {layer} of the student has {} heads, and layer {teachers} of \
         its teacher {}",
        own.heads(0),
        wanted.heads(0)
    );
    Err(Problem::new("/score_weight", message).help(help))
}

/// Heads of relations are equal parts of every width.
fn divides(heads: usize, given: bool, widths: &[(String, usize)]) -> Result<(), Problem> {
    let Some((site, width)) = widths.iter().find(|(_, width)| !width.is_multiple_of(heads)) else { return Ok(()) };
    let message = match given {
        true => format!("is {heads}, expected a divisor of the {width} numbers that `{site}` gives"),
        false => {
            format!("is needed: the teacher's {heads} heads of keys do not divide the {width} numbers of `{site}`")
        }
    };
    let common = |heads: &usize| widths.iter().all(|(_, width)| width.is_multiple_of(*heads));
    let most = widths.iter().map(|(_, width)| *width).min().unwrap_or(1);
    let all = (1..=most).filter(common).map(|heads| heads.to_string()).collect::<Vec<_>>().join(", ");
    Err(Problem::new("/relation_heads", message).help(format!("all widths have the divisors {all}")))
}

#[cfg(test)]
mod tests {
    use super::{Terms, attention};
    use crate::testing::transformers::{decoder, encoder};

    fn terms(relation_heads: Option<usize>, scores: f64) -> Terms {
        Terms { relations: [1.0; 3], relation_heads, scores }
    }

    /// The decoder has two heads of keys for its four of queries.
    #[test]
    fn relations_have_the_heads_of_the_teachers_keys() {
        let outline = decoder().outline();
        let found = attention((&outline, &outline), &[(1, 0)], terms(None, 0.0)).unwrap();
        assert_eq!((found.relation_heads, found.causal), (2, true));
        let at = |layer: usize, part: &str| format!("model.layers.{layer}.self_attn.{part}_proj");
        let [[own, wanted]] = found.pairs.as_slice() else { panic!("{found:?}") };
        assert_eq!((own.sites.clone(), own.head_width), ([at(1, "q"), at(1, "k"), at(1, "v")], 2));
        assert_eq!(wanted.sites, [at(0, "q"), at(0, "k"), at(0, "v")]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let refused = |outline: paring_model::Outline, terms| {
            let problem = attention((&outline, &outline), &[(0, 0)], terms).unwrap_err();
            (problem.pointer, problem.message, problem.help.unwrap_or_default())
        };
        let (pointer, message, help) = refused(decoder().outline(), terms(Some(8), 0.0));
        assert_eq!(pointer, "/relation_heads");
        let site = "model.layers.0.self_attn.k_proj";
        assert_eq!(message, format!("is 8, expected a divisor of the 4 numbers that `{site}` gives"));
        assert_eq!(help, "all widths have the divisors 1, 2, 4");
        let (pointer, message, _) = refused(decoder().outline(), terms(None, 1.0));
        assert_eq!(pointer, "/score_weight");
        let turned = "compares attention scores, but this model turns queries and keys by their positions first";
        assert_eq!(message, turned);
        assert!(attention((&encoder().outline(), &encoder().outline()), &[(0, 0)], terms(None, 1.0)).is_ok());
    }
}
