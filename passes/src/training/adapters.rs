//! Adapters as files in the layout of peft.

use std::collections::BTreeMap;

use paring_train::lora::{Lora, LowRank};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::error::PassError;

/// They lie in a directory of their own, as peft opens it.
const CONFIG: &str = "adapter/adapter_config.json";
const TENSORS: &str = "adapter/adapter_model.safetensors";

/// Both files, by name.
///
/// # Errors
/// When a matrix has not the shape that it says.
pub(super) fn files(lora: &Lora, adapters: &[LowRank]) -> Result<BTreeMap<String, Vec<u8>>, PassError> {
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let mut matrices = Vec::new();
    for LowRank { site, sides: [inputs, outputs], down, up } in adapters {
        matrices.push((format!("base_model.model.{site}.lora_A.weight"), [lora.rank, *inputs], bytes(down)));
        matrices.push((format!("base_model.model.{site}.lora_B.weight"), [*outputs, lora.rank], bytes(up)));
    }
    let wrong = |error: safetensors::SafeTensorError| PassError::Failed(format!("adapters cannot be written: {error}"));
    let mut views = Vec::new();
    for (name, shape, bytes) in &matrices {
        views.push((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(wrong)?));
    }
    let tensors = safetensors::serialize(views, None).map_err(wrong)?;
    let config = json!({
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "base_model_name_or_path": null,
        "target_modules": adapters.iter().map(|adapter| &adapter.site).collect::<Vec<_>>(),
    });
    let config = serde_json::to_vec_pretty(&config).map_err(|error| PassError::Failed(error.to_string()))?;
    Ok([(CONFIG.to_owned(), config), (TENSORS.to_owned(), tensors)].into())
}

#[cfg(test)]
mod tests {
    use paring_train::lora::{Lora, LowRank};
    use safetensors::SafeTensors;
    use serde_json::{Value, json};

    use super::{CONFIG, TENSORS, files};

    /// Names and shapes as peft 0.21.2 writes them for a layer of 3 inputs and 2 outputs at rank 1.
    #[test]
    fn adapters_are_files_of_peft() {
        let lora = Lora { rank: 1, ..Lora::default() };
        let site = "model.layers.0.self_attn.q_proj".to_owned();
        let adapter = LowRank { site, sides: [3, 2], down: vec![1.0, 2.0, 3.0], up: vec![4.0, 5.0] };
        let files = files(&lora, &[adapter]).unwrap();
        let config: Value = serde_json::from_slice(&files[CONFIG]).unwrap();
        assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(1), &json!(16.0)));
        assert_eq!(config["target_modules"], json!(["model.layers.0.self_attn.q_proj"]));
        let tensors = SafeTensors::deserialize(&files[TENSORS]).unwrap();
        let named = |part: &str| {
            let name = format!("base_model.model.model.layers.0.self_attn.q_proj.{part}.weight");
            let tensor = tensors.tensor(&name).unwrap();
            let numbers: Vec<f32> =
                tensor.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            (tensor.shape().to_vec(), numbers)
        };
        assert_eq!(named("lora_A"), (vec![1, 3], vec![1.0, 2.0, 3.0]));
        assert_eq!(named("lora_B"), (vec![2, 1], vec![4.0, 5.0]));
    }
}
