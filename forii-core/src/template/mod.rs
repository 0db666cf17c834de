//! Chat templates: compile a model's Jinja source once, render conversations to prompts.
//!
//! Templates are written for Python's jinja2 as transformers sets it up; `python` makes minijinja behave
//! like it, `syntax` rewrites what minijinja does not parse, `values` turns messages into what templates
//! see, and `literal` keeps special tokens in the caller's text from being taken for the template's.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Value};
use serde_json::{Map, Value as Json};

use self::literal::{Marks, SpecialTokens};
use self::values::Converter;
use crate::chat::{Message, Tool};
use crate::error::TemplateError;

mod limits;
mod literal;
mod python;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

/// A rendered prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Byte ranges of `text`, ascending and disjoint, that look like special tokens but came from a
    /// user's text: the tokenizer must not parse them as special.
    pub literal: Vec<Range<usize>>,
}

/// What a template needs to know of its model's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateTokens {
    /// The variable `bos_token`; undefined where `None`.
    pub bos_token: Option<String>,
    /// The variable `eos_token`; undefined where `None`.
    pub eos_token: Option<String>,
    /// The texts of all tokens that only the template may write.
    pub special_tokens: Vec<String>,
}

/// What a template renders.
#[derive(Debug, Clone, Copy)]
pub struct TemplateInput<'a> {
    /// The conversation, oldest first.
    pub messages: &'a [Message],
    /// Tools that the model may call.
    pub tools: &'a [Tool],
    /// Documents to answer from, as objects with `title` and `text`.
    pub documents: &'a [Json],
    /// Whether to end with the beginning of an assistant's turn.
    pub add_generation_prompt: bool,
    /// Further variables.
    pub variables: &'a Map<String, Json>,
}

/// A compiled chat template. Cheap to clone and to share between threads.
#[derive(Clone)]
pub struct ChatTemplate(Arc<Compiled>);

struct Compiled {
    env: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
    tokens: SpecialTokens,
}

/// The name of the one template in its environment.
const NAME: &str = "chat_template";
/// Variables that the input itself gives.
const RESERVED: [&str; 5] = [
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    literal::VARIABLE,
];

impl ChatTemplate {
    /// Compiles a template's source.
    ///
    /// # Errors
    /// [`TemplateError::Compile`], with the line where there is one.
    pub fn compile(source: &str, tokens: TemplateTokens) -> Result<Self, TemplateError> {
        Self::compile_at(source, tokens, || jiff::Zoned::now().datetime())
    }

    fn compile_at(source: &str, tokens: TemplateTokens, clock: python::Clock) -> Result<Self, TemplateError> {
        let special = SpecialTokens::new(&tokens.special_tokens).map_err(TemplateError::Compile)?;
        let source = syntax::rewrite(source).map_err(TemplateError::Compile)?;
        let env = limits::with_deep_stack(move || environment(source, clock))??;
        let TemplateTokens {
            bos_token, eos_token, ..
        } = tokens;
        Ok(Self(Arc::new(Compiled {
            env,
            bos_token,
            eos_token,
            tokens: special,
        })))
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// [`TemplateError::Raised`] where the template refuses the input, [`TemplateError::Render`] where it
    /// fails on it or goes past its limits.
    pub fn render(&self, input: &TemplateInput<'_>) -> Result<Prompt, TemplateError> {
        self.render_with(input.add_generation_prompt, input.variables, |converter| {
            let messages = input.messages.iter().map(|message| converter.message(message));
            let messages = Value::from(messages.collect::<Result<Vec<Value>, String>>()?);
            let tools = input.tools.iter().map(|tool| converter.tool(tool));
            let tools = tools.collect::<Result<Vec<Value>, String>>()?;
            let documents = input.documents.iter().map(|document| converter.json(document));
            let documents = documents.collect::<Result<Vec<Value>, String>>()?;
            Ok([messages, none_if_empty(tools), none_if_empty(documents)])
        })
    }

    /// Renders a conversation given as the JSON that Hugging Face's `apply_chat_template` takes.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_json(
        &self,
        messages: &Json,
        tools: Option<&Json>,
        documents: Option<&Json>,
        add_generation_prompt: bool,
        variables: &Map<String, Json>,
    ) -> Result<Prompt, TemplateError> {
        self.render_with(add_generation_prompt, variables, |converter| {
            let messages = converter.messages(messages)?;
            let tools = converter.json(tools.unwrap_or(&Json::Null))?;
            Ok([messages, tools, converter.json(documents.unwrap_or(&Json::Null))?])
        })
    }

    /// Renders the messages, tools and documents that `convert` gives.
    fn render_with(
        &self,
        add_generation_prompt: bool,
        variables: &Map<String, Json>,
        convert: impl Fn(&mut Converter<'_>) -> Result<[Value; 3], String>,
    ) -> Result<Prompt, TemplateError> {
        let this = &*self.0;
        let input = |marks: Marks| {
            let mut converter = Converter::new(&this.tokens, marks);
            let [messages, tools, documents] = convert(&mut converter)?;
            let mut pairs = Vec::with_capacity(variables.len() + 7);
            pairs.extend(
                this.bos_token
                    .as_deref()
                    .map(|token| ("bos_token", Value::from(token))),
            );
            pairs.extend(
                this.eos_token
                    .as_deref()
                    .map(|token| ("eos_token", Value::from(token))),
            );
            for (name, value) in variables {
                if RESERVED.contains(&name.as_str()) {
                    return Err(format!("the variable '{name}' cannot be set"));
                }
                pairs.push((name, converter.json(value)?));
            }
            pairs.push(("messages", messages));
            pairs.push(("tools", tools));
            pairs.push(("documents", documents));
            pairs.push(("add_generation_prompt", Value::from(add_generation_prompt)));
            if converter.marked {
                pairs.push((literal::VARIABLE, Value::from(marks.to_text())));
            }
            Ok((Value::from_pairs(pairs), converter))
        };
        let mut marks = Marks::unlike(0).ok_or_else(no_marks)?;
        let (mut context, mut converter) = input(marks).map_err(TemplateError::Render)?;
        if converter.marked && Marks::unlike(converter.used) != Some(marks) {
            marks = Marks::unlike(converter.used).ok_or_else(no_marks)?;
            (context, converter) = input(marks).map_err(TemplateError::Render)?;
        }
        let text = limits::render(&this.env, NAME, context, converter.size)?;
        Ok(match converter.marked {
            true => this.tokens.unmark(&text, marks),
            false => Prompt {
                text,
                literal: Vec::new(),
            },
        })
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("bos_token", &self.0.bos_token)
            .field("eos_token", &self.0.eos_token)
            .finish_non_exhaustive()
    }
}

fn environment(source: String, clock: python::Clock) -> Result<Environment<'static>, TemplateError> {
    let mut env = Environment::new();
    env.set_debug(false);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    env.set_syntax(syntax.map_err(|error| TemplateError::Compile(error.to_string()))?);
    python::install(&mut env, clock);
    limits::install(&mut env);
    env.add_template_owned(NAME, source).map_err(|error| {
        let problem = error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned);
        TemplateError::Compile(match error.line() {
            Some(line) => format!("{problem} (line {line})"),
            None => problem,
        })
    })?;
    Ok(env)
}

fn none_if_empty(items: Vec<Value>) -> Value {
    if items.is_empty() {
        Value::from(())
    } else {
        Value::from(items)
    }
}

fn no_marks() -> TemplateError {
    TemplateError::Render("the input uses up Unicode's non-characters".to_owned())
}
