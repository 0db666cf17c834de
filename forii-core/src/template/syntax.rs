//! Rewrites a chat template's source where jinja2 and minijinja differ and minijinja offers no hook:
//! `{% generation %}` blocks become plain scopes; the operators `+`, `*` and `%`, the iterable of a `for`,
//! the value of a `set` and lists that are built of variables become calls of what [`super::python`]
//! defines. Lines keep their numbers. Nothing here evaluates anything.

use std::ops::Range;

use self::lexer::{Kind, Token, end_of_raw, tokens};

mod expression;
mod lexer;

/// Names that rewritten templates call. In Python, templates cannot use names with two underscores.
pub(super) const ITERATE: &str = "__iterate";
pub(super) const STORE: &str = "__store";
pub(super) const STORE_ATTRIBUTE: &str = "__store_attribute";
pub(super) const MODULO: &str = "__mod__";
pub(super) const ADD: &str = "__add__";
pub(super) const MULTIPLY: &str = "__mul__";

/// The longest template source. Those of published models stay below 100 kB.
const MAX_SOURCE_LEN: usize = 1 << 20;
/// The most tokens of an expression that may nest in one another. A chain of operators becomes a tree
/// as deep as it is long, and the compiler walks it recursively; commas begin a new chain.
const MAX_CHAIN: usize = 2048;
/// The most brackets that may be open at a time.
const MAX_BRACKETS: usize = 100;
/// The most alternatives of all open `if`s together; each nests in the one before.
const MAX_ALTERNATIVES: usize = 512;

/// Rewrites `source`, or says why it goes past a limit and on which line.
pub(super) fn rewrite(source: &str) -> Result<String, String> {
    if source.len() > MAX_SOURCE_LEN {
        return Err(format!(
            "it is {} bytes long, the limit is {MAX_SOURCE_LEN}",
            source.len()
        ));
    }
    let mut rewriter = Rewriter {
        source,
        edits: Vec::new(),
        alternatives: Vec::new(),
    };
    rewriter.template()?;
    Ok(rewriter.apply())
}

struct Edit {
    at: usize,
    /// Bytes of the source that the text replaces.
    len: usize,
    text: String,
}

struct Rewriter<'a> {
    source: &'a str,
    edits: Vec<Edit>,
    /// The alternatives so far of each open `if`.
    alternatives: Vec<usize>,
}

impl Rewriter<'_> {
    fn template(&mut self) -> Result<(), String> {
        let bytes = self.source.as_bytes();
        let mut at = 0;
        while let Some(found) = self.source.get(at..).and_then(|rest| rest.find('{')) {
            let open = at + found;
            match bytes.get(open + 1) {
                Some(b'#') => match self.source[open + 2..].find("#}") {
                    Some(end) => at = open + 2 + end + 2,
                    None => break,
                },
                Some(b'{' | b'%') => {
                    let block = bytes[open + 1] == b'%';
                    // What cannot be read is left to the compiler, which says what is wrong and where.
                    let Some((tokens, end)) = tokens(self.source, open + 2, block) else {
                        break;
                    };
                    at = end;
                    if block && self.is_name(tokens.first(), "raw") {
                        match end_of_raw(self.source, end) {
                            Some(end) => at = end,
                            None => break,
                        }
                        continue;
                    }
                    self.tag(&tokens, block)?;
                }
                _ => at = open + 1,
            }
        }
        Ok(())
    }

    fn tag(&mut self, tokens: &[Token], block: bool) -> Result<(), String> {
        if !block {
            return self.expression(tokens);
        }
        let Some(first) = tokens.first() else {
            return Ok(());
        };
        let inner = &tokens[1..];
        // What is no expression: the names that a tag binds.
        let mut bound = 0;
        match &self.source[first.span.clone()] {
            "generation" => self.replace(first.span.clone(), "with"),
            "endgeneration" => self.replace(first.span.clone(), "endwith"),
            "if" => self.alternatives.push(0),
            "endif" => {
                self.alternatives.pop();
            }
            "elif" => {
                if let Some(last) = self.alternatives.last_mut() {
                    *last += 1;
                }
                if self.alternatives.iter().sum::<usize>() > MAX_ALTERNATIVES {
                    return Err(self.beyond(first, "an if has too many alternatives"));
                }
            }
            "for" => {
                bound = self
                    .position(inner, &["in"])
                    .map_or(inner.len(), |index| index + 1);
                let until = self.position(&inner[bound..], &["if", "recursive"]);
                let until = until.map_or(inner.len(), |index| bound + index);
                self.wrap(&inner[bound..until], ITERATE);
            }
            "set" => {
                if let Some(equals) = self.position(inner, &["="]) {
                    bound = equals + 1;
                    let dotted = inner[..equals].iter().any(|token| self.text(token) == ".");
                    self.wrap(&inner[bound..], if dotted { STORE_ATTRIBUTE } else { STORE });
                }
            }
            "call" if inner.first().is_some_and(|token| self.text(token) == "(") => {
                bound = self
                    .position(inner, &[")"])
                    .map_or(inner.len(), |index| index + 1);
            }
            _ => {}
        }
        let (names, expression) = inner.split_at(bound);
        if let Some(token) = names
            .iter()
            .filter(|token| self.text(token) == "(")
            .nth(MAX_BRACKETS)
        {
            return Err(self.beyond(token, "an assignment nests too deeply"));
        }
        self.expression(expression)
    }

    /// Makes `tokens` the argument of a call.
    fn wrap(&mut self, tokens: &[Token], function: &str) {
        if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
            // The inner brackets keep a tuple without brackets of its own together.
            self.insert(first.span.start, format!("{function}(("));
            self.insert(last.span.end, "))".to_owned());
        }
    }

    /// The first of `words` outside of brackets; a closing bracket counts as outside.
    fn position(&self, tokens: &[Token], words: &[&str]) -> Option<usize> {
        let mut depth = 0_usize;
        tokens.iter().position(|token| {
            let text = self.text(token);
            match text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.kind != Kind::Literal && words.contains(&text)
        })
    }

    fn text(&self, token: &Token) -> &str {
        &self.source[token.span.clone()]
    }

    fn is_name(&self, token: Option<&Token>, name: &str) -> bool {
        token.is_some_and(|token| token.kind == Kind::Name && self.text(token) == name)
    }

    fn beyond(&self, token: &Token, problem: &str) -> String {
        let line = self.source[..token.span.start].matches('\n').count() + 1;
        format!("{problem} (line {line})")
    }

    fn insert(&mut self, at: usize, text: String) {
        self.edits.push(Edit { at, len: 0, text });
    }

    fn replace(&mut self, span: Range<usize>, text: &str) {
        self.edits.push(Edit {
            at: span.start,
            len: span.len(),
            text: text.to_owned(),
        });
    }

    fn apply(mut self) -> String {
        // Stable, with insertions before replacements: of several insertions at one place, the first pushed
        // stands first. The wrappers of a whole tag are pushed before those inside it; brackets alone
        // need no order.
        self.edits.sort_by_key(|edit| (edit.at, edit.len));
        let mut text = String::with_capacity(self.source.len() + 64);
        let mut at = 0;
        for edit in &self.edits {
            text.push_str(&self.source[at..edit.at]);
            text.push_str(&edit.text);
            at = edit.at + edit.len;
        }
        text.push_str(&self.source[at..]);
        text
    }
}
