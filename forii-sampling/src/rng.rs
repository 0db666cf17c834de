//! Draws that depend on nothing but (seed, choice, position): no state, so the batch, the other requests
//! and what was skipped or forced before cannot change them.
//!
//! **To reproduce a draw elsewhere**: run Philox4x32-10 (Salmon et al., 2011; multipliers `D2511F53` and
//! `CD9E8D57`, key increments `9E3779B9` and `BB67AE85`) with the key (seed's low word, seed's high word)
//! and the counter (position's low word, position's high word, choice, 0). Of its four words `w`, the draw
//! is `u = ((w[1] << 32 | w[0]) >> 11) / 2^53`, in [0, 1). The token is the first in order of id whose
//! running sum of weights exceeds `u · (sum of all weights)`, where a weight is `exp(score − highest score)`
//! after the whole chain, and 0 for a token that the chain removed.

/// The stream of draws of one choice of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
    choice: u32,
}

impl Draws {
    /// The draws for the choice of index `choice` under this seed.
    pub fn new(seed: u64, choice: u32) -> Self {
        Self { seed, choice }
    }

    /// The draws of another choice under the same seed.
    pub(crate) fn with_choice(self, choice: u32) -> Self {
        Self { choice, ..self }
    }

    /// The number in [0, 1) that picks the output token at `position`, with 53 random bits.
    pub fn uniform(&self, position: u64) -> f64 {
        let [p0, p1] = words(position);
        let [w0, w1, ..] = philox([p0, p1, self.choice, 0], words(self.seed));
        let bits = (u64::from(w1) << 32 | u64::from(w0)) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

fn words(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// Philox4x32-10.
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [lo0, hi0] = words(u64::from(c[0]) * 0xD251_1F53);
        let [lo1, hi1] = words(u64::from(c[2]) * 0xCD9E_8D57);
        c = [hi1 ^ c[1] ^ key[0], lo1, hi0 ^ c[3] ^ key[1], lo0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([!0; 4], [!0; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = Draws::new(7, 0);
        assert_eq!(base.uniform(3), Draws::new(7, 0).uniform(3));
        for other in [Draws::new(8, 0), Draws::new(7 | 1 << 40, 0), Draws::new(7, 1)] {
            assert_ne!(base.uniform(3), other.uniform(3));
        }
        assert_ne!(base.uniform(3), base.uniform(4));
        assert_ne!(base.uniform(3), base.uniform(3 | 1 << 40));
        assert_eq!(base.with_choice(1), Draws::new(7, 1));
    }

    #[test]
    fn draws_fill_the_unit_interval() {
        let draws = Draws::new(1, 0);
        let mut counts = [0u32; 16];
        for position in 0..16_000 {
            let u = draws.uniform(position);
            assert!((0.0..1.0).contains(&u));
            counts[(u * 16.0) as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (850..1150).contains(&n)), "{counts:?}");
    }
}
