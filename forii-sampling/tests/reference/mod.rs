//! The chain once more, as plainly as its definition reads: sorts the whole row, in f64.

use forii_sampling::SamplingParams;

/// The probability of each token after the chain; 0 for one that it removed. `prompt` and `answer` are what
/// was there before.
pub(crate) fn distribution(
    scores: &[f32],
    params: &SamplingParams,
    prompt: &[u32],
    answer: &[u32],
) -> Vec<f64> {
    let mut x: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
    for (token, score) in (0u32..).zip(x.iter_mut()) {
        if let Some(&bias) = params.logit_bias.get(&token) {
            *score = if bias == -100.0 {
                f64::NEG_INFINITY
            } else {
                *score + f64::from(bias)
            };
        }
        let count = answer.iter().filter(|&&t| t == token).count();
        if count > 0 || prompt.contains(&token) {
            let r = f64::from(params.repetition_penalty);
            *score = if *score > 0.0 { *score / r } else { *score * r };
        }
        *score -= f64::from(params.frequency_penalty) * count as f64;
        *score -= if count > 0 {
            f64::from(params.presence_penalty)
        } else {
            0.0
        };
        *score /= f64::from(params.temperature);
    }
    let mut order: Vec<usize> = (0..x.len()).filter(|&t| x[t] > f64::NEG_INFINITY).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]).then(a.cmp(&b)));
    if params.top_k > 0 {
        order.truncate(params.top_k as usize);
    }
    let max = order.first().map_or(0.0, |&t| x[t]);
    let weight = |t: usize| (x[t] - max).exp();
    let total: f64 = order.iter().map(|&t| weight(t)).sum();
    let mut before = 0.0;
    let mut kept = 0;
    for &t in &order {
        if kept > 0 && before >= f64::from(params.top_p) * total {
            break;
        }
        before += weight(t);
        kept += 1;
    }
    order.truncate(kept);
    order.retain(|&t| weight(t) >= f64::from(params.min_p));
    let total: f64 = order.iter().map(|&t| weight(t)).sum();
    let mut p = vec![0.0; x.len()];
    order.iter().for_each(|&t| p[t] = weight(t) / total);
    p
}
