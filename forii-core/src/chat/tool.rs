//! A tool that the model may call.

/// A function that the model may call, described by a JSON schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, in words for the model.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: serde_json::Value,
}
