//! One source of randomness: ChaCha streams split by name. Never candle's generator, which cannot be seeded on CPU.

use rand::SeedableRng as _;
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

    /// A generator at the start of this stream.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.key)
    }
}
