//! What an encoder's tensors are: sites, removable units, and whether every shape fits.

use super::NAME;
use super::names::LayerNames;
use super::spec::{BertSpec, Head, Scheme};
use crate::error::Result;
use crate::families::survey::Known;
use crate::families::transformer::walk::{Linear, Walk};
use crate::sites::{Fold, Role};

/// Walks the encoder.
pub(crate) fn survey<'a>(spec: &BertSpec, known: Known<'a>) -> Result<Walk<'a>> {
    let mut walk = Walk::new(NAME, known);
    let names = spec.names();
    let hidden = walk.table(&names.words(), None, false)?;
    walk.carry(&format!("{}.weight", names.words()), 1);
    for name in [Some(names.positions()), names.types()].into_iter().flatten() {
        walk.table(&name, Some(hidden), false)?;
        walk.carry(&format!("{name}.weight"), 1);
    }
    norm(&mut walk, &names.norm(), hidden)?;
    let heads = names.relative().map(|relative| walk.table(&relative, None, false)).transpose()?;
    let mut before = names.norm();
    for layer in 0..spec.layers {
        let names = names.layer(layer);
        attention(spec, &names, (layer, hidden, heads), &before, &mut walk)?;
        feed_forward(&names, layer, hidden, &mut walk)?;
        before = names.norm;
    }
    head(spec, hidden, &before, &mut walk)?;
    Ok(walk)
}

/// The name of a norm's tensors, `weight` and `bias` or, in old files, `gamma` and `beta`.
pub(super) fn norm_parts(has: &dyn Fn(&str) -> bool, name: &str) -> [String; 2] {
    let part = |new: &str, old: &str| {
        let old = format!("{name}.{old}");
        if has(&old) { old } else { format!("{name}.{new}") }
    };
    [part("weight", "gamma"), part("bias", "beta")]
}

/// A norm of the stream.
fn norm(walk: &mut Walk<'_>, name: &str, width: usize) -> Result<()> {
    let parts = norm_parts(&|name| walk.has(name), name);
    parts.iter().for_each(|part| walk.carry(part, 0));
    parts.iter().try_for_each(|part| walk.expect(part, &[width]))
}

fn attention(
    spec: &BertSpec,
    names: &LayerNames,
    (layer, hidden, heads): (usize, usize, Option<usize>),
    before: &str,
    walk: &mut Walk<'_>,
) -> Result<()> {
    let LayerNames { query, key, value, output, .. } = names;
    let mut inner = heads.map(|heads| heads.saturating_mul(spec.head_width));
    for (name, role) in [(query, Role::Query), (key, Role::Key), (value, Role::Value)] {
        let norm_before = Some(before);
        let draft = Linear {
            name: name.clone(),
            role,
            layer: Some(layer),
            input: hidden,
            output: inner,
            bias: true,
            norm_before,
        };
        inner = Some(walk.linear(draft)?);
    }
    walk.share_input(&[query, key, value]);
    let inner = inner.unwrap_or(hidden);
    let count = walk.pieces(query, inner, spec.head_width)?;
    walk.linear(Linear {
        name: output.clone(),
        role: Role::AttentionOutput,
        layer: Some(layer),
        input: inner,
        output: Some(hidden),
        bias: true,
        norm_before: None,
    })?;
    // All layers of MPNet share one bias a head, so that no head can go from one layer alone.
    if spec.scheme != Scheme::Mpnet {
        let writers = [(query.as_str(), spec.head_width), (key, spec.head_width), (value, spec.head_width)];
        walk.group("heads", count, &writers, (output, spec.head_width));
    }
    norm(walk, &names.attention_norm, hidden)
}

fn feed_forward(names: &LayerNames, layer: usize, hidden: usize, walk: &mut Walk<'_>) -> Result<()> {
    let width = walk.linear(Linear {
        name: names.up.clone(),
        role: Role::FfnUp,
        layer: Some(layer),
        input: hidden,
        output: None,
        bias: true,
        norm_before: Some(&names.attention_norm),
    })?;
    walk.linear(Linear {
        name: names.down.clone(),
        role: Role::FfnDown,
        layer: Some(layer),
        input: width,
        output: Some(hidden),
        bias: true,
        norm_before: None,
    })?;
    walk.group("neurons", width, &[(&names.up, 1)], (&names.down, 1));
    norm(walk, &names.norm, hidden)
}

/// The sites after the last layer.
fn head(spec: &BertSpec, hidden: usize, before: &str, walk: &mut Walk<'_>) -> Result<()> {
    let names = spec.names();
    let draft = |name: String, role, input, norm_before| Linear {
        name,
        role,
        layer: None,
        input,
        output: None,
        bias: true,
        norm_before,
    };
    match &spec.head {
        Head::Text => {
            let pooled = walk.linear(draft(names.pooler(), Role::Pooler, hidden, Some(before)))?;
            walk.fold(&[&names.pooler()], &Fold::Norm(before.to_owned()));
            let classifier = names.classifier(walk.known());
            walk.linear(draft(classifier.clone(), Role::Head, pooled, None))?;
            pooler(&names.pooler(), [pooled, hidden], walk);
            if pooled == hidden {
                walk.carry(&format!("{classifier}.weight"), 1);
            }
        }
        Head::Token => {
            let classifier = names.classifier(walk.known());
            walk.linear(draft(classifier.clone(), Role::Head, hidden, Some(before)))?;
            walk.carry(&format!("{classifier}.weight"), 1);
            walk.fold(&[&classifier], &Fold::Norm(before.to_owned()));
        }
        Head::Embedding { projections, .. } => {
            projections.first().into_iter().for_each(|first| walk.carry(&first.weight(), 1));
            let mut width = hidden;
            for projection in projections {
                width = walk.linear(Linear { bias: false, ..draft(projection.site(), Role::Head, width, None) })?;
            }
        }
    }
    // One that is there but unused is as wide as the stream, as in the stock models.
    let spare = names.spare_pooler();
    let fits = |shape: &[usize]| shape == [hidden, hidden];
    if walk.known().get(&format!("{spare}.weight")).is_some_and(|weight| fits(weight.shape())) {
        pooler(&spare, [hidden, hidden], walk);
    }
    Ok(())
}

/// Notes a matrix after the last layer: in the stock models what it writes is as wide as the stream that it reads.
fn pooler(name: &str, [output, hidden]: [usize; 2], walk: &mut Walk<'_>) {
    let weight = format!("{name}.weight");
    if walk.carries(&weight) {
        return;
    }
    walk.carry(&weight, 1);
    if output == hidden {
        walk.carry(&weight, 0);
        walk.carry(&format!("{name}.bias"), 0);
    }
}
