//! Rotary position embeddings (Su et al. 2021, section 3.2), first and second half of a head paired, with the scaling
//! of frequencies that Llama 3 and position interpolation (Chen et al. 2023) use.

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::keys::Keys;
use crate::error::Result;
use crate::network::Mode;

/// How far a head turns from token to token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How frequencies are stretched for texts longer than those of training.
    pub scaling: Scaling,
}

/// How frequencies are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All by the same factor.
    Linear {
        /// Divides every frequency.
        factor: f64,
    },
    /// Low frequencies by a factor, high ones not, and those between in part.
    Llama3 {
        /// Divides low frequencies.
        factor: f64,
        /// Waves longer than the original length over this are stretched in full.
        low: f64,
        /// Waves shorter than the original length over this are left alone.
        high: f64,
        /// The length of the texts of training.
        original: f64,
    },
}

impl Rope {
    /// From `rope_theta` and `rope_scaling`, or from `rope_parameters` as later files have it.
    pub(crate) fn read(keys: &mut Keys<'_>, family: &'static str) -> Result<Self> {
        let theta = keys.positive("rope_theta", 10_000.0)?;
        keys.only("partial_rotary_factor", &Value::from(1.0))?;
        if let Some(map) = keys.object("rope_parameters")? {
            let mut inner = Keys::of_file(family, "rope_parameters", map);
            inner.only("partial_rotary_factor", &Value::from(1.0))?;
            return Ok(Self { theta: inner.positive("rope_theta", theta)?, scaling: Scaling::read(&mut inner)? });
        }
        let scaling = match keys.object("rope_scaling")? {
            Some(map) => Scaling::read(&mut Keys::of_file(family, "rope_scaling", map))?,
            None => Scaling::None,
        };
        Ok(Self { theta, scaling })
    }

    /// Cosines and sines for `length` tokens from `start`, [length, width / 2] each.
    pub(crate) fn table(
        &self,
        width: usize,
        (start, length): (usize, usize),
        (dtype, device): (DType, &Device),
    ) -> Result<(Tensor, Tensor)> {
        let frequencies: Vec<f32> = (0..width / 2).map(|pair| self.frequency(pair, width)).collect();
        let angles = (start..start + length).flat_map(|place| frequencies.iter().map(move |it| place as f32 * it));
        let angles = Tensor::from_iter(angles, device)?.reshape((length, width / 2))?;
        Ok((angles.cos()?.to_dtype(dtype)?, angles.sin()?.to_dtype(dtype)?))
    }

    /// The angle between neighbours, in f32 as the models were trained.
    pub(crate) fn frequency(&self, pair: usize, width: usize) -> f32 {
        let frequency = (self.theta as f32).powf((2 * pair) as f32 / width as f32).recip();
        match self.scaling {
            Scaling::None => frequency,
            Scaling::Linear { factor } => frequency / factor as f32,
            Scaling::Llama3 { factor, low, high, original } => {
                let wave = std::f32::consts::TAU / frequency;
                let (low, high, original) = (low as f32, high as f32, original as f32);
                if wave < original / high {
                    frequency
                } else if wave > original / low {
                    frequency / factor as f32
                } else {
                    let kept = (original / wave - low) / (high - low);
                    (1.0 - kept) * frequency / factor as f32 + kept * frequency
                }
            }
        }
    }
}

impl Scaling {
    fn read(keys: &mut Keys<'_>) -> Result<Self> {
        let kind = match keys.text("rope_type")? {
            Some(kind) => Some(kind),
            None => keys.text("type")?,
        };
        match kind {
            None | Some("default") => Ok(Self::None),
            Some("linear") => Ok(Self::Linear { factor: keys.positive("factor", 1.0)? }),
            Some("llama3") => {
                let (low, high) = (keys.positive("low_freq_factor", 1.0)?, keys.positive("high_freq_factor", 4.0)?);
                if high <= low {
                    let reason =
                        format!("`high_freq_factor` is `{high}`, expected more than `low_freq_factor`, `{low}`");
                    return Err(keys.wrong(reason));
                }
                let original = keys.required("original_max_position_embeddings")? as f64;
                Ok(Self::Llama3 { factor: keys.positive("factor", 8.0)?, low, high, original })
            }
            Some(other) => Err(keys.unexpected("rope_type", &Value::from(other), "default, linear or llama3")),
        }
    }
}

/// Turns x [rows, heads, length, width] by the angles of a table.
pub(crate) fn turn(x: &Tensor, (cosines, sines): &(Tensor, Tensor), mode: Mode) -> Result<Tensor> {
    Ok(match mode {
        Mode::Inference => candle_nn::rotary_emb::rope(&x.contiguous()?, cosines, sines)?,
        Mode::Training | Mode::Differentiable => candle_nn::rotary_emb::rope_slow(x, cosines, sines)?,
    })
}
