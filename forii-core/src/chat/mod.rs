//! Plain data of a conversation: what a caller says and what comes back. No behaviour, no tensors.

mod event;
mod message;
mod request;
mod response;
mod tool;
mod usage;

pub use event::{ChatEvent, Delta, FinishReason};
pub use message::{Message, Role, ToolCall};
pub use request::ChatRequest;
pub use response::{ChatResponse, Choice};
pub use tool::Tool;
pub use usage::Usage;
