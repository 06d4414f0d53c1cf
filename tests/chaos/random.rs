//! Random numbers that a seed repeats: xorshift64* (Marsaglia, Vigna), enough to choose victims.

/// A stream of numbers; the same seed gives the same stream on every machine.
#[derive(Debug)]
pub(crate) struct Random {
    word: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring streams, and the word may not be 0.
        let mut random = Self { word: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 };
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.word ^= self.word >> 12;
        self.word ^= self.word << 25;
        self.word ^= self.word >> 27;
        self.word.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }
}
