//! The arithmetic over a row, in blocks that the compiler turns into vector code. No library functions and
//! no fused operations: the result is the same to the last bit on every machine and vector width.

/// Scores per block.
pub(crate) const BLOCK: usize = 64;
const LANES: usize = 16;

/// The highest of some scores, and whether something among them is not a number.
// PERF: 17 µs over 151,936 scores in blocks of 64 on SSE2; with words in place of the flags 26, with a pass of
// its own for them 33.
#[inline]
pub(crate) fn scan(block: &[f32]) -> (f32, bool) {
    let (groups, rest) = block.as_chunks::<LANES>();
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut nan = [false; LANES];
    for group in groups {
        for i in 0..LANES {
            max[i] = if group[i] > max[i] { group[i] } else { max[i] };
            nan[i] |= group[i].is_nan();
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        max[i] = if x > max[i] { x } else { max[i] };
        nan[i] |= x.is_nan();
    }
    let highest = max
        .iter()
        .fold(f32::NEG_INFINITY, |a, &x| if x > a { x } else { a });
    (highest, nan.iter().any(|&n| n))
}

/// The sum of `exp(score − max)` over at most [`BLOCK`] scores.
#[inline]
pub(crate) fn sum_exp(block: &[f32], max: f32) -> f64 {
    let (groups, rest) = block.as_chunks::<LANES>();
    let mut sum = [0.0f32; LANES];
    for group in groups {
        for i in 0..LANES {
            sum[i] += exp(group[i] - max);
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        sum[i] += exp(x - max);
    }
    f64::from(sum.iter().sum::<f32>())
}

/// `exp(x)` for `x` ≤ 0, within 2e-7 of the true value relatively; 0 below −87, where f32 ends.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts: the first has few bits, so its multiples are exact.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x > -87.0 { p * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_whole_range() {
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "exp({x}): relative error {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn a_scan_finds_the_maximum_and_what_is_no_number() {
        for len in [1, 15, 16, 17, 63, 64] {
            for at in 0..len {
                let mut row = vec![-1.0; len];
                row[at] = 2.0;
                assert_eq!(scan(&row), (2.0, false));
                row[at] = f32::NAN;
                assert!(scan(&row).1);
            }
        }
        assert_eq!(scan(&[f32::NEG_INFINITY; 3]), (f32::NEG_INFINITY, false));
    }
}
