//! A table of vectors that numbers are looked up in.

use candle_core::{DType, Device, Tensor};

use super::TapWeight;
use crate::error::{ModelError, Result};

/// A lookup table.
#[derive(Debug, Clone)]
pub struct TapEmbedding {
    /// The site's name.
    pub name: String,
    /// Its weight, [entries, width].
    pub weight: TapWeight,
    /// How many entries there are.
    pub entries: usize,
}

impl TapEmbedding {
    /// numbers [...] (u32) -> [..., width]: for each number that row of the table. An observer sees nothing here, since
    /// nothing is multiplied.
    ///
    /// # Errors
    /// When a number has no row.
    pub fn lookup(&self, numbers: &Tensor) -> Result<Tensor> {
        let flat = numbers.flatten_all()?;
        self.check(&flat)?;
        let rows = match &self.weight.now()? {
            TapWeight::Dense(tensor) => tensor.index_select(&flat, 0)?,
            TapWeight::Masked { tensor, mask } => tensor.index_select(&flat, 0)?.mul(&mask.index_select(&flat, 0)?)?,
            TapWeight::Provided(provider) => provider.weight()?.index_select(&flat, 0)?,
            TapWeight::Quantized(weight) => {
                let wanted = flat.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
                let numbers: Vec<f32> =
                    wanted.iter().flat_map(|&row| weight.dequantize_rows(row as usize..row as usize + 1)).collect();
                Tensor::from_vec(numbers, (wanted.len(), weight.inputs()), &Device::Cpu)?.to_device(flat.device())?
            }
            TapWeight::Late(_) => return Err(super::late::nested(&self.name)),
            TapWeight::Blocks(weight) => weight.rows(&flat)?,
            TapWeight::Integers(_) => {
                let name = &self.name;
                return Err(ModelError::Unsupported(format!(
                    "`{name}` is looked up in, so it has no input to quantize"
                )));
            }
        };
        let mut shape = numbers.dims().to_vec();
        shape.push(rows.dim(1)?);
        Ok(rows.reshape(shape)?)
    }

    /// The number type of its rows.
    pub(crate) fn dtype(&self) -> DType {
        match &self.weight {
            TapWeight::Dense(tensor) | TapWeight::Masked { tensor, .. } => tensor.dtype(),
            TapWeight::Provided(_)
            | TapWeight::Quantized(_)
            | TapWeight::Integers(_)
            | TapWeight::Blocks(_)
            | TapWeight::Late(_) => DType::F32,
        }
    }

    fn check(&self, numbers: &Tensor) -> Result<()> {
        if numbers.elem_count() == 0 {
            return Ok(());
        }
        let largest = numbers.max(0)?.to_scalar::<u32>()?;
        if (largest as usize) < self.entries {
            return Ok(());
        }
        Err(ModelError::Input(format!("number {largest} is not in `{}`, which has {} rows", self.name, self.entries)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{Device, Tensor};

    use super::TapEmbedding;
    use crate::quantized::{Granularity, QuantizedWeight, WeightScheme};
    use crate::tap::TapWeight;

    fn table(weight: TapWeight) -> TapEmbedding {
        TapEmbedding { name: "words".to_owned(), weight, entries: 3 }
    }

    fn numbers() -> Tensor {
        Tensor::new(&[[2_u32, 0], [2, 1]], &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_are_looked_up_however_they_are_stored() {
        let tensor = Tensor::new(&[[1.0_f32, 2.0], [3.0, 4.0], [-5.0, 6.0]], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1.0_f32, 0.0], [1.0, 1.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Channel };
        let quantized = QuantizedWeight::round(&tensor, scheme, &[1.0, 1.0, 2.0], &[]).unwrap();
        let read = |weight| table(weight).lookup(&numbers()).unwrap().to_vec3::<f32>().unwrap();
        let rows = [[[-5.0, 6.0], [1.0, 2.0]], [[-5.0, 6.0], [3.0, 4.0]]];
        assert_eq!(read(TapWeight::Dense(tensor.clone())), rows);
        let masked = [[[0.0, 6.0], [1.0, 0.0]], [[0.0, 6.0], [3.0, 4.0]]];
        assert_eq!(read(TapWeight::Masked { tensor, mask }), masked);
        let rounded = [[[-4.0, 6.0], [1.0, 2.0]], [[-4.0, 6.0], [3.0, 4.0]]];
        assert_eq!(read(TapWeight::Quantized(Arc::new(quantized))), rounded);
    }

    #[test]
    fn a_number_without_a_row_is_refused() {
        let table = table(TapWeight::Dense(Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).unwrap()));
        let error = table.lookup(&Tensor::new(&[3_u32], &Device::Cpu).unwrap()).unwrap_err().to_string();
        assert_eq!(error, "number 3 is not in `words`, which has 3 rows");
    }
}
