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

fn in_layer(part: &str) -> Option<&'static str> {
    Some(match part {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    })
}
