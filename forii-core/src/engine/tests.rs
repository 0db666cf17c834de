//! The whole path on a tiny random model: requests in, text out, and what happens in between.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use forii_sampling::SamplingParams;
use futures_util::StreamExt;

use super::*;
use crate::chat::{ChatEvent, FinishReason, Message, Usage};
use crate::error::LoadError;

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

fn checkpoint() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/checkpoints/llama")
}

fn builder() -> EngineBuilder {
    ChatEngine::builder(checkpoint())
        .threads(1)
        .chat_template(TEMPLATE)
}

fn engine() -> ChatEngine {
    builder().build().expect("the tiny checkpoint loads")
}

/// A prompt, and 0.8 of temperature under a fixed seed.
fn request(seed: i64, len: usize, max_tokens: usize) -> TokenRequest {
    let prompt = (0..len)
        .map(|i| ((seed as usize * 31 + i * 7) % 90 + 5) as u32)
        .collect();
    let params = SamplingParams::default()
        .temperature(0.8)
        .seed(seed)
        .ignore_eos(true);
    TokenRequest {
        prompt,
        params,
        max_tokens: Some(max_tokens),
    }
}

fn run(stream: TokenStream) -> (Vec<u32>, FinishReason, Usage) {
    let mut tokens = Vec::new();
    for event in stream.blocking() {
        match event.expect("the engine works") {
            TokenEvent::Started { .. } => {}
            TokenEvent::Token { token } => tokens.push(token),
            TokenEvent::Finished { reason, usage } => return (tokens, reason, usage),
        }
    }
    panic!("the stream ended without its last event");
}

/// Steps come at their own time: waits until the engine has let everything go.
fn wait_until_idle(engine: &ChatEngine) -> EngineStats {
    let start = Instant::now();
    loop {
        let stats = engine.stats();
        if stats.running + stats.waiting == 0 || start.elapsed() > Duration::from_secs(20) {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_stream_starts_runs_and_finishes() {
    let (tokens, reason, usage) = run(engine().stream_tokens(request(1, 9, 12)).expect("it fits"));
    assert_eq!((tokens.len(), reason), (12, FinishReason::Length));
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens),
        (9, 12, 0)
    );
}

#[test]
fn a_seed_gives_the_same_alone_and_in_a_crowd() {
    let alone: Vec<_> = (0..12)
        .map(|seed| run(engine().stream_tokens(request(seed, 20, 24)).expect("it fits")).0)
        .collect();
    assert!(
        alone.iter().any(|tokens| *tokens != alone[0]),
        "different seeds say different things"
    );
    // Chunked prefill, few places, and a cache that forces preemption.
    let bytes_per_block = {
        let checkpoint = crate::checkpoint::open(&checkpoint()).expect("opens");
        let compute = crate::kernels::Compute::new(crate::kernels::DeviceKind::Cpu, 1).expect("a processor");
        crate::models::load(&*checkpoint, &compute)
            .expect("loads")
            .kv_shape()
            .bytes_per_block()
    };
    for (batch, sequences, blocks) in [(8, 8, 100), (64, 12, 100), (16, 12, 8)] {
        let crowd = builder()
            .max_batch_tokens(batch)
            .max_sequences(sequences)
            .cache_bytes(blocks * bytes_per_block)
            .build()
            .expect("loads");
        let streams: Vec<_> = (0..12)
            .map(|seed| crowd.stream_tokens(request(seed, 20, 24)).expect("it fits"))
            .collect();
        for (seed, stream) in streams.into_iter().enumerate() {
            assert_eq!(
                run(stream).0,
                alone[seed],
                "seed {seed} in a crowd of {sequences} over {blocks} blocks"
            );
        }
        let stats = wait_until_idle(&crowd);
        assert_eq!(
            stats.free_blocks + stats.cached_blocks,
            stats.total_blocks,
            "blocks leak"
        );
        assert_eq!(stats.preemptions > 0, blocks == 8, "{stats:?}");
    }
}

#[test]
fn a_second_turn_finds_its_prefix_and_says_the_same() {
    let engine = engine();
    let cold = run(engine.stream_tokens(request(3, 70, 10)).expect("it fits"));
    let warm = run(engine.stream_tokens(request(3, 70, 10)).expect("it fits"));
    assert_eq!((cold.2.cached_tokens, warm.2.cached_tokens), (0, 64));
    assert_eq!(cold.0, warm.0);
}

#[test]
fn dropping_a_stream_frees_its_blocks() {
    let engine = builder().max_sequences(2).build().expect("loads");
    let streams: Vec<_> = (0..6)
        .map(|seed| engine.stream_tokens(request(seed, 30, 220)).expect("it fits"))
        .collect();
    drop(streams);
    let stats = wait_until_idle(&engine);
    assert_eq!((stats.running, stats.waiting), (0, 0));
    assert_eq!(stats.free_blocks + stats.cached_blocks, stats.total_blocks);
    assert!(
        stats.generated_tokens < 6 * 220,
        "cancelled requests ran to their end"
    );
}

#[test]
fn streams_outlive_the_engine() {
    let stream = engine().stream_tokens(request(1, 9, 30)).expect("it fits");
    assert_eq!(run(stream).0.len(), 30);
}

#[test]
fn chat_is_the_same_blocking_async_and_streamed() {
    let engine = engine();
    let ask = || {
        ChatRequest::user("hello there")
            .sampling(SamplingParams::default().seed(5).ignore_eos(true))
            .max_tokens(40)
    };
    let blocking = engine.chat_blocking(ask()).expect("an answer");
    let awaited = pollster::block_on(engine.chat(ask())).expect("an answer");
    assert_eq!(awaited.choices, blocking.choices);
    let events = pollster::block_on(engine.stream(ask()).expect("it fits").collect_events());
    let text: String = events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Delta {
                delta: crate::chat::Delta::Text(text),
            } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, blocking.text());
    assert!(matches!(events.first(), Some(ChatEvent::Started { .. })));
    assert!(matches!(events.last(), Some(ChatEvent::Finished { .. })));
    assert!(!text.is_empty());
}

impl ChatStream {
    async fn collect_events(self) -> Vec<ChatEvent> {
        StreamExt::map(self, |event| event.expect("the engine works"))
            .collect()
            .await
    }
}

#[test]
fn a_stop_string_ends_the_answer_before_itself() {
    let engine = engine();
    let ask = |stop: Vec<String>| {
        ChatRequest::user("hello there")
            .sampling(SamplingParams::default().seed(5).ignore_eos(true))
            .max_tokens(60)
            .stop(stop)
    };
    let whole = engine.chat_blocking(ask(vec![])).expect("an answer");
    let text = whole.text().to_owned();
    let middle: String = text.chars().skip(10).take(3).collect();
    let cut = engine
        .chat_blocking(ask(vec![middle.clone()]))
        .expect("an answer");
    assert_eq!(cut.text(), &text[..text.find(&middle).expect("it is in there")]);
    assert_eq!(cut.choices[0].finish_reason, FinishReason::Stop);
    assert!(cut.usage.completion_tokens < whole.usage.completion_tokens);
    assert!(cut.usage.completion_tokens > 0 && cut.usage.prompt_tokens > 0);
    wait_until_idle(&engine);
    assert_eq!(engine.stats().running, 0, "the stopped sequence goes on");
}

#[test]
fn bad_requests_are_refused_by_name() {
    let engine = engine();
    let field = |error: RequestError| match error {
        RequestError::Invalid { field, .. } => field,
        other => other.to_string(),
    };
    let tokens = |prompt: Vec<u32>, max_tokens| {
        let params = SamplingParams::default();
        engine
            .stream_tokens(TokenRequest {
                prompt,
                params,
                max_tokens,
            })
            .map(drop)
            .map_err(field)
    };
    assert_eq!(tokens(vec![], None), Err("prompt".to_owned()));
    assert_eq!(tokens(vec![1_000_000], None), Err("prompt".to_owned()));
    assert_eq!(tokens(vec![1], Some(0)), Err("max_tokens".to_owned()));
    let long = vec![1; engine.context_len()];
    let refused = tokens(long, None).expect_err("too long");
    assert!(refused.contains(&engine.context_len().to_string()), "{refused}");
    let stop = |stop: &[&str]| {
        engine
            .stream(ChatRequest::user("x").stop(stop.iter().copied()))
            .map(drop)
            .map_err(field)
    };
    assert_eq!(stop(&["a", "b", "c", "d", "e"]), Err("stop".to_owned()));
    assert_eq!(stop(&["a", ""]), Err("stop[1]".to_owned()));
    let hot = ChatRequest::user("x").sampling(SamplingParams::default().temperature(3.0));
    assert!(matches!(engine.stream(hot), Err(RequestError::Sampling(_))));
}

#[test]
fn special_tokens_in_a_users_text_stay_text() {
    let engine = engine();
    let special = engine
        .tokenizer()
        .special_tokens()
        .next()
        .expect("the tiny tokenizer has one");
    let count = |text: &str| {
        let id = engine.tokenizer().token_id(&special).expect("it is a token");
        let prompt = ChatTemplate::compile(
            TEMPLATE,
            crate::template::TemplateTokens {
                special_tokens: vec![special.clone()],
                ..Default::default()
            },
        )
        .and_then(|template| {
            template.render(&TemplateInput {
                messages: &[Message::user(text)],
                tools: &[],
                documents: &[],
                add_generation_prompt: true,
                variables: &serde_json::Map::new(),
            })
        })
        .expect("renders");
        engine
            .tokenizer()
            .encode_prompt(&prompt)
            .iter()
            .filter(|&&token| token == id)
            .count()
    };
    assert_eq!(count(&format!("say {special} now")), 0);
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let setting = |builder: EngineBuilder| match builder.build() {
        Err(LoadError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting(builder().threads(0)), "threads");
    assert_eq!(setting(builder().max_sequences(0)), "max_sequences");
    assert_eq!(
        setting(builder().max_sequences(20).max_batch_tokens(10)),
        "max_batch_tokens"
    );
    assert_eq!(setting(builder().cache_bytes(10)), "cache_bytes");
    assert_eq!(
        setting(
            builder()
                .context_len(64)
                .cache_bytes(40_000_000)
                .context_len(100_000_000)
        ),
        "context_len"
    );
}

#[test]
fn a_panic_in_a_step_ends_streams_with_an_error_and_the_engine_says_so_ever_after() {
    #[derive(Debug)]
    struct Broken(Box<dyn crate::models::Model>);
    impl crate::models::Model for Broken {
        fn kv_shape(&self) -> crate::kernels::KvShape {
            self.0.kv_shape()
        }
        fn hidden(
            &self,
            _: &crate::kernels::Batch,
            _: &mut crate::kernels::KvCache,
        ) -> crate::kernels::Tensor<2> {
            panic!("the model is broken")
        }
        fn scores(&self, hidden: crate::kernels::Tensor<2>) -> crate::kernels::Tensor<2> {
            self.0.scores(hidden)
        }
    }
    let compute = crate::kernels::Compute::new(crate::kernels::DeviceKind::Cpu, 1).expect("a processor");
    let opened = crate::checkpoint::open(&checkpoint()).expect("opens");
    let model = crate::models::load(&*opened, &compute).expect("loads");
    let cache = crate::kernels::KvCache::new(&compute, &model.kv_shape(), 8).expect("room");
    let limits = crate::scheduler::Limits {
        max_batch_tokens: 64,
        max_sequences: 4,
    };
    let scheduler = crate::scheduler::Scheduler::new(limits, 8);
    let runner = runner::Runner::new(Box::new(Broken(model)), cache, opened.config().vocab_size);
    let handle = Handle::spawn(scheduler, runner, Arc::default()).expect("a thread");
    let submit = || {
        let (submission, stream) = Submission::new(
            request(1, 5, 5),
            5,
            opened.config().vocab_size,
            &[],
            handle.stopped(),
        )
        .expect("valid");
        handle.submit(submission).map(|()| stream)
    };
    let broken = "the engine's worker has stopped: the model is broken";
    let events: Vec<_> = submit().expect("taken").blocking().collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].as_ref().expect_err("broken").to_string(), broken);
    let start = Instant::now();
    let refused = loop {
        // The thread may still be unwinding: then the submission is taken, but its stream ends at once.
        match submit() {
            Err(error) => break error.to_string(),
            Ok(stream) => assert!(stream.blocking().last().expect("an event").is_err()),
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the engine takes requests for ever"
        );
    };
    assert_eq!(refused, broken);
}
