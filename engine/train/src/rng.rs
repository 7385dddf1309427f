//! One source of randomness: ChaCha streams split by name. Never candle's generator, which cannot be seeded on CPU.

use candle_core::{Device, Tensor};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A named random stream. The same seed and path of names give the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u8; 32],
}

impl Stream {
    /// The root stream of a recipe's seed.
    pub fn new(seed: u64) -> Self {
        Self { key: blake3::derive_key("paring rng v1 root", &seed.to_le_bytes()) }
    }

    /// The stream of that name below this one.
    #[must_use]
    pub fn split(&self, name: &str) -> Self {
        Self { key: *blake3::keyed_hash(&self.key, name.as_bytes()).as_bytes() }
    }

    /// Fills tensors with numbers in [0, 1), each from the stream of its name: what first weights are drawn from.
    pub fn fill(&self) -> impl FnMut(&str, &mut [f32]) + '_ {
        |name, buffer| {
            let mut rng = self.split(name).rng();
            buffer.iter_mut().for_each(|number| *number = rng.random());
        }
    }

    /// A matrix [outputs, inputs] of numbers uniform within 1 / sqrt(inputs) around zero.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn matrix(&self, outputs: usize, inputs: usize) -> candle_core::Result<Tensor> {
        let mut rng = self.rng();
        let bound = (inputs.max(1) as f32).sqrt().recip();
        let drawn: Vec<f32> = (0..outputs * inputs).map(|_| rng.random_range(-bound..bound)).collect();
        Tensor::from_vec(drawn, (outputs, inputs), &Device::Cpu)
    }

    /// A generator at the start of this stream.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.key)
    }
}
