//! What the sampler promises, on small rows.

use super::*;

fn sampler(params: &SamplingParams, vocab_size: usize) -> Sampler {
    Sampler::new(params, vocab_size, &[], 1, 0).unwrap()
}

fn p() -> SamplingParams {
    SamplingParams::default()
}

#[test]
fn greedy_takes_the_lowest_id_of_equal_scores() {
    let mut row = vec![0.0; 1000];
    for id in [999, 130, 129, 500] {
        row[id] = 2.5;
    }
    let got = sampler(&SamplingParams::greedy(), 1000).sample(&mut row).unwrap();
    assert_eq!((got.token, got.logprob), (129, None));
    let mut zeros = [-0.0, 0.0, -0.0];
    assert_eq!(
        sampler(&SamplingParams::greedy(), 3)
            .sample(&mut zeros)
            .unwrap()
            .token,
        0
    );
}

#[test]
fn a_broken_row_is_an_error_and_leaves_the_sampler_as_it_was() {
    for params in [
        p(),
        SamplingParams::greedy(),
        p().top_k(3),
        p().top_p(0.5).logprobs(3),
    ] {
        let mut s = sampler(&params, 100);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut row = vec![1.0; 100];
            row[71] = bad;
            assert_eq!(s.sample(&mut row), Err(SampleError::NotFinite { token: 71 }));
        }
        assert_eq!(
            s.sample(&mut [f32::NEG_INFINITY; 100]),
            Err(SampleError::NothingAllowed)
        );
        let wrong = SampleError::RowLength {
            expected: 100,
            found: 99,
        };
        assert_eq!(s.sample(&mut [0.0; 99]), Err(wrong));
        assert_eq!(s.position(), 0);
    }
    let banned = p().logit_bias((0..4).map(|id| (id, -100.0)));
    assert_eq!(
        sampler(&banned, 4).sample(&mut [1.0; 4]),
        Err(SampleError::NothingAllowed)
    );
}

#[test]
fn a_ban_does_not_hide_a_broken_score() {
    let params = SamplingParams::greedy().logit_bias([(1, -100.0)]);
    let got = sampler(&params, 2).sample(&mut [0.0, f32::NAN]);
    assert_eq!(got, Err(SampleError::NotFinite { token: 1 }));
}

#[test]
fn penalties_follow_their_formulas() {
    let params = SamplingParams::greedy()
        .frequency_penalty(0.5)
        .presence_penalty(0.25)
        .logprobs(0);
    let mut s = sampler(&params.logprobs_mode(LogprobsMode::Processed), 3);
    // Token 0 leads until its penalties (0.75, then 0.5 for each further time) cross the gap of 1.
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(s.sample(&mut [1.0, 0.0, -5.0]).unwrap().token);
    }
    // After 0, 0: 1 − 1.25 < 0, so 1; then −0.25 against −0.75: 0; then −0.75 = −0.75: 0 by its id.
    assert_eq!(tokens, [0, 0, 1, 0, 0]);

    let mut s = Sampler::new(&SamplingParams::greedy().repetition_penalty(2.0), 3, &[0], 1, 0).unwrap();
    assert_eq!(s.sample(&mut [3.0, 2.0, -1.0]).unwrap().token, 1); // 1.5 and 2
    assert_eq!(s.sample(&mut [-1.0, -1.5, -2.5]).unwrap().token, 0); // −2, −3, −2.5
}

#[test]
fn forced_tokens_move_the_position_but_not_the_penalties() {
    let params = SamplingParams::greedy()
        .presence_penalty(2.0)
        .min_tokens(2)
        .stop_token_ids([2]);
    let mut s = sampler(&params, 3);
    s.accept(0).unwrap();
    assert_eq!(s.sample(&mut [1.0, 0.0, 9.0]).unwrap().token, 0);
    assert_eq!(s.position(), 2);
    assert_eq!(s.sample(&mut [1.0, 0.0, 9.0]).unwrap().token, 2);
    assert_eq!(
        s.accept(3),
        Err(SampleError::UnknownToken {
            token: 3,
            vocab_size: 3
        })
    );
}

#[test]
fn an_answer_does_not_end_before_it_may() {
    let mut s = sampler(&SamplingParams::greedy().min_tokens(2), 3).with_eos(&[1]);
    let tokens: Vec<_> = (0..3)
        .map(|_| s.sample(&mut [0.0, 5.0, 1.0]).unwrap().token)
        .collect();
    assert_eq!(tokens, [2, 2, 1]);
    let mut s = sampler(&SamplingParams::greedy().ignore_eos(true), 3).with_eos(&[1]);
    assert!((0..5).all(|_| s.sample(&mut [0.0, 5.0, 1.0]).unwrap().token == 2));
}

#[test]
fn logprobs_describe_the_raw_scores_unless_asked_otherwise() {
    let row = [2.0f32, 1.0, 0.0, f32::NEG_INFINITY];
    let total: f32 = row.iter().map(|x| x.exp()).sum();
    let params = p().top_k(1).temperature(0.3).logprobs(4).logit_bias([(2, 100.0)]);
    let got = sampler(&params, 4).sample(&mut row.clone()).unwrap();
    let report = got.logprob.unwrap();
    assert_eq!((got.token, report.chosen.token), (2, 2));
    assert!((report.chosen.logprob - (0.0 - total.ln())).abs() < 1e-6);
    assert_eq!(
        report.top().iter().map(|t| t.token).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    for (entry, score) in report.top().iter().zip(row) {
        assert!((entry.logprob - (score - total.ln())).abs() < 1e-6, "{entry:?}");
    }
    let params = params.logprobs_mode(LogprobsMode::Processed);
    let report = sampler(&params, 4)
        .sample(&mut row.clone())
        .unwrap()
        .logprob
        .unwrap();
    assert_eq!(report.chosen.logprob, 0.0);
    assert_eq!(report.top().len(), 1);
}

#[test]
fn an_impossible_token_is_reported_as_very_unlikely() {
    let mut row = [1.0, f32::NEG_INFINITY];
    let mut work = Workspace::default();
    let report = TokenLogprobs::of(&mut Logits::new(&mut row, &mut work).unwrap(), 1, 20);
    assert_eq!(report.chosen.logprob, crate::VERY_UNLIKELY);
    assert_eq!(report.top().len(), 1);
}

#[test]
fn a_fork_keeps_the_history_and_changes_the_draws() {
    let row: Vec<f32> = (0..500).map(|i| (i as f32 * 0.7).sin()).collect();
    let mut first = sampler(&p().repetition_penalty(1.5).presence_penalty(1.0), 500);
    for _ in 0..10 {
        first.sample(&mut row.clone()).unwrap();
    }
    let run = |mut s: Sampler| -> Vec<_> {
        (0..20)
            .map(|_| s.sample(&mut row.clone()).unwrap().token)
            .collect()
    };
    assert_eq!(run(first.fork(0)), run(first.fork(0)));
    assert_ne!(run(first.fork(0)), run(first.fork(1)));
    assert_eq!(run(first.fork(0)), run(first));
}

#[test]
fn extreme_temperatures_stay_numbers() {
    for t in [1e-45, 1e-38, 1e-7, 2.0] {
        for params in [
            p().temperature(t),
            p().temperature(t).top_k(2).top_p(0.9).min_p(0.01),
        ] {
            let mut row = [3.0e38, -3.0e38, 1.0, f32::NEG_INFINITY];
            assert_eq!(sampler(&params, 4).sample(&mut row).unwrap().token, 0);
        }
    }
}
