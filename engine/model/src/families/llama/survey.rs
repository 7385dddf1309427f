//! What a decoder's tensors are: sites, removable units, and whether every shape fits.

use super::NAME;
use super::spec::{LayerNames, LlamaSpec};
use crate::error::Result;
use crate::families::survey::Known;
use crate::families::transformer::walk::{Linear, Walk};
use crate::sites::{Fold, Role};

/// Walks the decoder.
pub(crate) fn survey<'a>(spec: &LlamaSpec, known: Known<'a>) -> Result<Walk<'a>> {
    let mut walk = Walk::new(NAME, known);
    let hidden = walk.table(&spec.words(), None, spec.tied)?;
    walk.carry(&format!("{}.weight", spec.words()), 1);
    for layer in 0..spec.layers {
        let names = spec.layer(layer);
        norm(&mut walk, &names.attention_norm, hidden)?;
        attention(spec, &names, layer, hidden, &mut walk)?;
        norm(&mut walk, &names.ffn_norm, hidden)?;
        feed_forward(&names, layer, hidden, &mut walk)?;
    }
    norm(&mut walk, &spec.norm(), hidden)?;
    if !spec.tied {
        walk.linear(Linear {
            name: spec.head(),
            role: Role::Head,
            layer: None,
            input: hidden,
            output: None,
            bias: false,
            norm_before: Some(&spec.norm()),
        })?;
        walk.carry(&format!("{}.weight", spec.head()), 1);
        walk.fold(&[&spec.head()], &Fold::Norm(spec.norm()));
    }
    Ok(walk)
}

/// A norm of the stream.
fn norm(walk: &mut Walk<'_>, name: &str, width: usize) -> Result<()> {
    let weight = format!("{name}.weight");
    walk.carry(&weight, 0);
    walk.expect(&weight, &[width])
}

fn attention(spec: &LlamaSpec, names: &LayerNames, layer: usize, hidden: usize, walk: &mut Walk<'_>) -> Result<()> {
    let LayerNames { query, key, value, output, .. } = names;
    let width = spec.head_width;
    let reads = |name: &String, role, output| Linear {
        name: name.clone(),
        role,
        layer: Some(layer),
        input: hidden,
        output,
        bias: spec.biased,
        norm_before: Some(&names.attention_norm),
    };
    let inner = walk.linear(reads(query, Role::Query, None))?;
    let shared = walk.linear(reads(key, Role::Key, None))?;
    walk.linear(reads(value, Role::Value, Some(shared)))?;
    walk.share_input(&[query, key, value]);
    walk.fold(&[query, key, value], &Fold::Norm(names.attention_norm.clone()));
    let (heads, groups) = (walk.pieces(query, inner, width)?, walk.pieces(key, shared, width)?);
    if !heads.is_multiple_of(groups) {
        let reason = format!("`{query}` has {heads} heads, expected a multiple of the {groups} of `{key}`");
        return Err(walk.wrong(reason));
    }
    for name in [&names.query_norm, &names.key_norm] {
        let weight = format!("{name}.weight");
        if spec.normed || walk.has(&weight) {
            walk.expect(&weight, &[width])?;
        }
    }
    walk.linear(Linear {
        name: output.clone(),
        role: Role::AttentionOutput,
        layer: Some(layer),
        input: inner,
        output: Some(hidden),
        bias: false,
        norm_before: None,
    })?;
    // Where several heads of queries share a head of values, one row of values is read in several places.
    if heads == groups {
        walk.fold(&[output], &Fold::Rows(value.clone()));
    }
    let queries = heads / groups * width;
    walk.group("kv_groups", groups, &[(query, queries), (key, width), (value, width)], (output, queries));
    Ok(())
}

fn feed_forward(names: &LayerNames, layer: usize, hidden: usize, walk: &mut Walk<'_>) -> Result<()> {
    let reads = |name: &String, role, output| Linear {
        name: name.clone(),
        role,
        layer: Some(layer),
        input: hidden,
        output,
        bias: false,
        norm_before: Some(&names.ffn_norm),
    };
    let width = walk.linear(reads(&names.gate, Role::FfnGate, None))?;
    walk.linear(reads(&names.up, Role::FfnUp, Some(width)))?;
    walk.share_input(&[&names.gate, &names.up]);
    walk.linear(Linear {
        name: names.down.clone(),
        role: Role::FfnDown,
        layer: Some(layer),
        input: width,
        output: Some(hidden),
        bias: false,
        norm_before: None,
    })?;
    walk.fold(&[&names.gate, &names.up], &Fold::Norm(names.ffn_norm.clone()));
    walk.fold(&[&names.down], &Fold::Rows(names.up.clone()));
    walk.group("neurons", width, &[(&names.gate, 1), (&names.up, 1)], (&names.down, 1));
    Ok(())
}
