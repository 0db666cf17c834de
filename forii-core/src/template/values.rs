//! Turns messages, tools and plain JSON into the values that a template sees, marking what looks like a
//! special token on the way.

use minijinja::Value;
use serde_json::Value as Json;

use super::literal::{Marks, SpecialTokens, non_characters};
use super::python::text::MAX_DEPTH;
use crate::chat::{Message, Tool, ToolCall};

/// The names under which a message's reasoning is known; the first is the one that templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Converts the input of one render.
#[derive(Debug)]
pub(super) struct Converter<'a> {
    tokens: &'a SpecialTokens,
    marks: Marks,
    /// A string was marked.
    pub(super) marked: bool,
    /// Non-characters in the input, which cannot be marks.
    pub(super) used: u32,
    /// Bytes and values of the input, by which the limits grow.
    pub(super) size: usize,
}

impl<'a> Converter<'a> {
    pub(super) fn new(tokens: &'a SpecialTokens, marks: Marks) -> Self {
        Self {
            tokens,
            marks,
            marked: false,
            used: 0,
            size: 0,
        }
    }

    /// A string of the caller.
    pub(super) fn string(&mut self, text: &str) -> Value {
        self.size += text.len() + 16;
        self.used |= non_characters(text);
        match self.tokens.mark(text, self.marks) {
            Some(marked) => {
                self.marked = true;
                Value::from(marked)
            }
            None => Value::from(text),
        }
    }

    /// Any JSON; an error where it nests too deeply.
    pub(super) fn json(&mut self, json: &Json) -> Result<Value, String> {
        self.nested(json, 0)
    }

    fn nested(&mut self, json: &Json, depth: usize) -> Result<Value, String> {
        // Templates add levels of their own.
        if depth > MAX_DEPTH / 2 {
            return Err(format!("the input nests more than {} levels deep", MAX_DEPTH / 2));
        }
        self.size += 16;
        Ok(match json {
            Json::Null => Value::from(()),
            Json::Bool(value) => Value::from(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => Value::from(number),
                (None, Some(number), _) => Value::from(number),
                (None, None, number) => Value::from(number.unwrap_or(f64::NAN)),
            },
            Json::String(text) => self.string(text),
            Json::Array(items) => {
                let items = items.iter().map(|item| self.nested(item, depth + 1));
                Value::from(items.collect::<Result<Vec<Value>, String>>()?)
            }
            Json::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| self.field(name, value, depth));
                Value::from_pairs(fields.collect::<Result<Vec<_>, String>>()?)
            }
        })
    }

    fn field(&mut self, name: &str, value: &Json, depth: usize) -> Result<(Value, Value), String> {
        let key = self.string(name);
        let value = match value {
            // What templates compare: a plain word stays one even where it is a special token as well.
            Json::String(word) if matches!(name, "role" | "type") && is_word(word) => {
                Value::from(word.as_str())
            }
            _ => self.nested(value, depth + 1)?,
        };
        Ok((key, value))
    }

    /// Messages as JSON. As transformers does, reasoning is made known under the names that templates
    /// read.
    pub(super) fn messages(&mut self, messages: &Json) -> Result<Value, String> {
        let Json::Array(messages) = messages else {
            return Err("the messages are no list".to_owned());
        };
        let messages = messages.iter().map(|message| {
            let Json::Object(fields) = message else {
                return Err("a message is no object".to_owned());
            };
            let given = |name: &&str| fields.get(*name).filter(|value| !value.is_null());
            let Some(reasoning) = REASONING.iter().find_map(given) else {
                return self.json(message);
            };
            let mut pairs = Vec::with_capacity(fields.len() + 2);
            if !fields.contains_key("thinking") {
                pairs.push(self.field("thinking", reasoning, 0)?);
            }
            for (name, value) in fields {
                let value = if name == REASONING[0] { reasoning } else { value };
                pairs.push(self.field(name, value, 0)?);
            }
            if !fields.contains_key(REASONING[0]) {
                pairs.push(self.field(REASONING[0], reasoning, 0)?);
            }
            Ok(Value::from_pairs(pairs))
        });
        Ok(Value::from(messages.collect::<Result<Vec<Value>, String>>()?))
    }

    /// A message as Hugging Face's templates know it; what is absent is left out.
    pub(super) fn message(&mut self, message: &Message) -> Result<Value, String> {
        let mut fields = Fields(Vec::with_capacity(6));
        fields.add("role", Value::from(message.role.as_str()));
        if let Some(name) = &message.name {
            fields.add("name", self.string(name));
        }
        if let Some(reasoning) = &message.reasoning {
            let reasoning = self.string(reasoning);
            fields.add("thinking", reasoning.clone());
            fields.add(REASONING[0], reasoning);
        }
        if let Some(content) = &message.content {
            fields.add("content", self.string(content));
        }
        if !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| self.call(call));
            fields.add(
                "tool_calls",
                Value::from(calls.collect::<Result<Vec<Value>, String>>()?),
            );
        }
        if let Some(id) = &message.tool_call_id {
            fields.add("tool_call_id", self.string(id));
        }
        Ok(fields.into_value())
    }

    fn call(&mut self, call: &ToolCall) -> Result<Value, String> {
        let mut function = Fields(Vec::with_capacity(2));
        function.add("name", self.string(&call.name));
        // Templates write arguments with tojson or walk them; text that is no JSON stays text.
        function.add(
            "arguments",
            match serde_json::from_str(&call.arguments) {
                Ok(arguments) => self.json(&arguments)?,
                Err(_) => self.string(&call.arguments),
            },
        );
        let mut fields = Fields(Vec::with_capacity(3));
        fields.add("id", self.string(&call.id));
        fields.add("type", Value::from("function"));
        fields.add("function", function.into_value());
        Ok(fields.into_value())
    }

    /// A tool as the JSON that OpenAI and Hugging Face agree on.
    pub(super) fn tool(&mut self, tool: &Tool) -> Result<Value, String> {
        let mut function = Fields(Vec::with_capacity(3));
        function.add("name", self.string(&tool.name));
        if let Some(description) = &tool.description {
            function.add("description", self.string(description));
        }
        function.add("parameters", self.json(&tool.parameters)?);
        let mut fields = Fields(Vec::with_capacity(2));
        fields.add("type", Value::from("function"));
        fields.add("function", function.into_value());
        Ok(fields.into_value())
    }
}

struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn add(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    fn into_value(self) -> Value {
        Value::from_pairs(self.0)
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|char| char.is_alphanumeric() || char == '_')
}
