//! Names of tensors: those of llama.cpp become those of Hugging Face.

use super::header::Header;
use super::settings::{ROPE_FACTORS, model_type};

/// The name of a tensor in a Hugging Face directory; its own where that is not known; `None` for one that is a setting
/// there.
pub(super) fn name(header: &Header<'_>, own: &str) -> Option<String> {
    if model_type(header).is_none() {
        return Some(own.to_owned());
    }
    if own == ROPE_FACTORS {
        return None;
    }
    Some(known(own).unwrap_or_else(|| own.to_owned()))
}

fn known(own: &str) -> Option<String> {
    let (part, kind) = own.rsplit_once('.')?;
    if let Some(rest) = part.strip_prefix("blk.") {
        let (layer, part) = rest.split_once('.')?;
        layer.parse::<u32>().ok()?;
        return Some(format!("model.layers.{layer}.{}.{kind}", in_layer(part)?));
    }
    let outside = match part {
        "token_embd" => "model.embed_tokens",
        "output_norm" => "model.norm",
        "output" => "lm_head",
        _ => return None,
    };
    Some(format!("{outside}.{kind}"))
}

/// Parts of a layer: llama.cpp's names and those of Hugging Face, in the order of files.
const IN_LAYER: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

fn in_layer(part: &str) -> Option<&'static str> {
    IN_LAYER.iter().find(|(own, _)| *own == part).map(|(_, known)| *known)
}

/// llama.cpp's name of a tensor of a decoder whose names begin with `prefix`; none where it has no such tensor.
pub(super) fn own(prefix: &str, name: &str) -> Option<String> {
    let (part, kind) = name.rsplit_once('.')?;
    if part == "lm_head" {
        return Some(format!("output.{kind}"));
    }
    let part = part.strip_prefix(prefix)?;
    if let Some((layer, part)) = part.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        layer.parse::<u32>().ok()?;
        let (own, _) = IN_LAYER.iter().find(|(_, known)| *known == part)?;
        return Some(format!("blk.{layer}.{own}.{kind}"));
    }
    match part {
        "embed_tokens" => Some(format!("token_embd.{kind}")),
        "norm" => Some(format!("output_norm.{kind}")),
        _ => None,
    }
}

/// Where a tensor stands in files: the table of tokens, the layers, and what follows them.
pub(super) fn place(own: &str) -> (usize, u32, usize, String) {
    let layer = own.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let group = if layer.is_some() { 1 } else { usize::from(!own.starts_with("token_embd")) * 2 };
    let number = layer.and_then(|(layer, _)| layer.parse().ok()).unwrap_or(0);
    let part = layer.and_then(|(_, rest)| rest.split_once('.')).map_or("", |(part, _)| part);
    let rank = IN_LAYER.iter().position(|(own, _)| *own == part).unwrap_or(0);
    // The norm comes before the output layer.
    (group, number, rank, if own.starts_with("output.") { format!("~{own}") } else { own.to_owned() })
}
