//! Bounds on what a template can cost. A template comes with a model file and is no more to be trusted
//! than the rest of it: steps and memory are paid for in fuel that grows with the input, recursion has
//! a limit, and compiling happens on a stack of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::{Environment, Error, ErrorKind, Value};

use super::python::Raised;
use crate::error::TemplateError;

/// Fuel of a render with an empty input. One unit pays for a step or for 64 bytes.
const FUEL: u64 = 2 << 20;
/// Fuel for each byte of input.
const FUEL_PER_BYTE: u64 = 16;
/// Output of a render with an empty input, in bytes.
const OUTPUT: usize = 1 << 20;
/// Output for each byte of input.
const OUTPUT_PER_BYTE: usize = 16;
/// Open scopes; a call of a macro counts for four.
const RECURSION: usize = 200;
/// The stack on which templates are compiled: the compiler recurses as deep as expressions nest.
const COMPILER_STACK: usize = 64 << 20;

/// Sets the limits that hold for every render.
pub(super) fn install(env: &mut Environment<'_>) {
    env.set_recursion_limit(RECURSION);
}

/// Runs `compile` with room for deeply nested templates, whatever the caller's stack is.
pub(super) fn with_deep_stack<T: Send>(compile: impl FnOnce() -> T + Send) -> Result<T, TemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("template".to_owned())
            .stack_size(COMPILER_STACK);
        let thread = thread
            .spawn_scoped(scope, compile)
            .map_err(|error| TemplateError::Compile(error.to_string()))?;
        thread
            .join()
            .map_err(|_| TemplateError::Compile("the compiler gave up".to_owned()))
    })
}

/// Renders the template `name` for an input of `size` bytes.
pub(super) fn render(
    env: &Environment<'static>,
    name: &str,
    context: Value,
    size: usize,
) -> Result<String, TemplateError> {
    // Cheap: everything in an environment is shared.
    let mut env = env.clone();
    env.set_fuel(Some(FUEL + FUEL_PER_BYTE * size as u64));
    let mut output = Output {
        text: Vec::with_capacity(size),
        limit: OUTPUT + OUTPUT_PER_BYTE * size,
    };
    // minijinja is written not to panic; where it fails at that, one request is to feel it and not the program.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        env.get_template(name)?
            .render_captured_to(context, &mut output)
            .map(drop)
    }));
    rendered
        .map_err(|_| TemplateError::Render("the interpreter gave up".to_owned()))?
        .map_err(|error| describe(&error))?;
    String::from_utf8(output.text).map_err(|error| TemplateError::Render(error.to_string()))
}

struct Output {
    text: Vec<u8>,
    limit: usize,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.limit {
            return Err(io::Error::other(
                "the prompt is longer than the template's input justifies",
            ));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn describe(error: &Error) -> TemplateError {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    if let Some(raised) = causes.find_map(|error| error.downcast_ref::<Raised>()) {
        return TemplateError::Raised(raised.0.clone());
    }
    let mut problem = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes more steps or memory than its input justifies".to_owned(),
        (kind, None) => kind.to_string(),
        (_, Some(detail)) => detail.to_owned(),
    };
    if let Some(line) = error.line() {
        problem.push_str(&format!(" (line {line})"));
    }
    TemplateError::Render(problem)
}
