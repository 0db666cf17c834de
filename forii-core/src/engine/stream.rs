//! What comes back: token events from the engine thread, turned into chat events on the caller's
//! side. Both streams are `'static` and work with and without an async runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_channel::Receiver;
use futures_core::Stream;

use super::worker::Stopped;
use crate::chat::{ChatEvent, ChatResponse, Choice, Delta, FinishReason, Message, Role, Usage};
use crate::error::EngineError;
use crate::output::OutputProcessor;
use crate::tokenizer::Tokenizer;

/// One event of a token stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenEvent {
    /// The prompt is being read.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Of these, found in the cache.
        cached_tokens: usize,
    },
    /// A generated token. A token that ends the answer is not among them.
    Token {
        /// Its id.
        token: u32,
    },
    /// The sequence has ended. The last event.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost; the token that ended it is counted.
        usage: Usage,
    },
}

pub(super) type EngineEvent = Result<TokenEvent, EngineError>;

/// Generated tokens as they come. A [`Stream`] for async code; [`TokenStream::blocking`] for the rest.
/// Dropping it cancels the request.
#[derive(Debug)]
pub struct TokenStream {
    receiver: Pin<Box<Receiver<EngineEvent>>>,
    stopped: Stopped,
    done: bool,
}

impl TokenStream {
    pub(super) fn new(receiver: Receiver<EngineEvent>, stopped: Stopped) -> Self {
        Self {
            receiver: Box::pin(receiver),
            stopped,
            done: false,
        }
    }

    /// The same events through an iterator that blocks the calling thread.
    pub fn blocking(self) -> BlockingTokenStream {
        BlockingTokenStream { stream: self }
    }

    fn next_blocking(&mut self) -> Option<EngineEvent> {
        if self.done {
            return None;
        }
        let event = self.receiver.recv_blocking().ok();
        self.check(event)
    }

    /// Passes an event on, and puts the engine's own error in the place of a silent end.
    fn check(&mut self, event: Option<EngineEvent>) -> Option<EngineEvent> {
        if self.done {
            return None;
        }
        let event = event.unwrap_or_else(|| Err(self.stopped.error()));
        self.done = matches!(event, Err(_) | Ok(TokenEvent::Finished { .. }));
        Some(event)
    }

    fn cancel(&mut self) {
        self.done = true;
        self.receiver.close();
    }
}

impl Stream for TokenStream {
    type Item = EngineEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let event = ready!(self.receiver.as_mut().poll_next(cx));
        Poll::Ready(self.check(event))
    }
}

/// Generated tokens through an iterator that blocks. Dropping it cancels the request.
#[derive(Debug)]
pub struct BlockingTokenStream {
    stream: TokenStream,
}

impl Iterator for BlockingTokenStream {
    type Item = EngineEvent;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_blocking()
    }
}

/// The text side of one answer.
#[derive(Debug)]
pub(super) struct OutputState {
    processor: OutputProcessor,
    usage: Usage,
    deltas: Vec<Delta>,
    ready: VecDeque<ChatEvent>,
}

impl OutputState {
    pub(super) fn new(tokenizer: &Tokenizer, stop: Vec<String>) -> Self {
        Self {
            processor: OutputProcessor::new(tokenizer, stop),
            usage: Usage::default(),
            deltas: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes one token event. Returns whether a stop string ended the answer before the engine did.
    fn take(&mut self, event: TokenEvent) -> bool {
        match event {
            TokenEvent::Started {
                prompt_tokens,
                cached_tokens,
            } => {
                self.usage.prompt_tokens = prompt_tokens;
                self.usage.cached_tokens = cached_tokens;
                self.ready.push_back(ChatEvent::Started {
                    prompt_tokens,
                    cached_tokens,
                });
                false
            }
            TokenEvent::Token { token } => {
                self.usage.completion_tokens += 1;
                let stopped = self.processor.push(token, &mut self.deltas);
                self.flush();
                if stopped {
                    self.ready.push_back(ChatEvent::Finished {
                        reason: FinishReason::Stop,
                        usage: self.usage,
                    });
                }
                stopped
            }
            TokenEvent::Finished { mut reason, usage } => {
                if self.processor.finish(&mut self.deltas) {
                    reason = FinishReason::Stop;
                }
                self.flush();
                self.ready.push_back(ChatEvent::Finished { reason, usage });
                false
            }
        }
    }

    fn flush(&mut self) {
        self.ready
            .extend(self.deltas.drain(..).map(|delta| ChatEvent::Delta { delta }));
    }
}

/// A chat answer as it comes. A [`Stream`] for async code; [`ChatStream::blocking`] for the rest.
/// Dropping it cancels the request.
#[derive(Debug)]
pub struct ChatStream {
    tokens: TokenStream,
    output: OutputState,
}

impl ChatStream {
    pub(super) fn new(tokens: TokenStream, output: OutputState) -> Self {
        Self { tokens, output }
    }

    /// The same events through an iterator that blocks the calling thread.
    pub fn blocking(self) -> BlockingChatStream {
        BlockingChatStream { stream: self }
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// [`EngineError`] where the engine failed under way.
    pub async fn collect(mut self) -> Result<ChatResponse, EngineError> {
        let mut answer = Answer::default();
        while let Some(event) = poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
            answer.take(event?);
        }
        Ok(answer.into_response())
    }

    fn take(&mut self, event: EngineEvent) -> Result<(), EngineError> {
        if self.output.take(event?) {
            self.tokens.cancel();
        }
        Ok(())
    }
}

impl Stream for ChatStream {
    type Item = Result<ChatEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.output.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(event) = ready!(Pin::new(&mut self.tokens).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if let Err(error) = self.take(event) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

/// A chat answer through an iterator that blocks. Dropping it cancels the request.
#[derive(Debug)]
pub struct BlockingChatStream {
    stream: ChatStream,
}

impl BlockingChatStream {
    /// Blocks until the answer is whole.
    ///
    /// # Errors
    /// [`EngineError`] where the engine failed under way.
    pub fn collect_response(self) -> Result<ChatResponse, EngineError> {
        let mut answer = Answer::default();
        for event in self {
            answer.take(event?);
        }
        Ok(answer.into_response())
    }
}

impl Iterator for BlockingChatStream {
    type Item = Result<ChatEvent, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.stream.output.ready.pop_front() {
                return Some(Ok(event));
            }
            let event = self.stream.tokens.next_blocking()?;
            if let Err(error) = self.stream.take(event) {
                return Some(Err(error));
            }
        }
    }
}

/// An answer put together from its events.
#[derive(Debug, Default)]
struct Answer {
    text: String,
    end: Option<(FinishReason, Usage)>,
}

impl Answer {
    fn take(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Started { .. } => {}
            ChatEvent::Delta {
                delta: Delta::Text(text),
            } => self.text.push_str(&text),
            ChatEvent::Finished { reason, usage } => self.end = Some((reason, usage)),
        }
    }

    fn into_response(self) -> ChatResponse {
        // Every stream that yields no error ends with `Finished`.
        let (finish_reason, usage) = self.end.unwrap_or((FinishReason::Stop, Usage::default()));
        let message = Message::new(Role::Assistant, self.text);
        ChatResponse {
            choices: vec![Choice {
                message,
                finish_reason,
            }],
            usage,
        }
    }
}
