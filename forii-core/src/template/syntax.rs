//! Rewrites a chat template's source where jinja2 and minijinja differ and minijinja offers no hook:
//! `{% generation %}` blocks become plain scopes; the operators `+`, `*` and `%`, the iterable of a `for`,
//! the value of a `set` and lists that are built of variables become calls of what [`super::python`]
//! defines. Lines keep their numbers. Nothing here evaluates anything.

use std::ops::Range;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    /// A string or number.
    Literal,
    Operator,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    span: Range<usize>,
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

    /// Rewrites `left + right` to `(left).__add__(right)` and so on at every depth of brackets, and
    /// `[variable]` to `__store([variable])`.
    fn expression(&mut self, tokens: &[Token]) -> Result<(), String> {
        let mut levels = vec![Level::new(0, false)];
        // The lengths of all open levels together.
        let mut chain = 0;
        for (index, token) in tokens.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| &tokens[index]);
            let depth = levels.len();
            // More brackets closed than opened: the compiler will refuse it.
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            level.len += 1;
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.beyond(token, "an expression is too long"));
            }
            if depth > MAX_BRACKETS {
                return Err(self.beyond(token, "an expression nests too deeply"));
            }
            match self.binding(token, before) {
                Binding::None => level.variable |= token.kind == Kind::Name,
                Binding::Open => {
                    let is_value = !before.is_some_and(|before| self.ends_operand(before));
                    levels.push(Level::new(index + 1, is_value));
                }
                Binding::Close => {
                    level.product.close(self, tokens, index);
                    level.sum.close(self, tokens, index);
                    chain -= level.len;
                    let variable = level.variable;
                    if variable && level.is_value && (level.comma || self.text(token) != ")") {
                        let open = tokens[level.open_bracket()].span.start;
                        self.insert(open, format!("{STORE}("));
                        self.insert(token.span.end, ")".to_owned());
                    }
                    levels.pop();
                    if let Some(level) = levels.last_mut() {
                        level.variable |= variable;
                    }
                }
                Binding::Product(function) => {
                    level.product.close(self, tokens, index);
                    level.product.replace(self, tokens, index, function);
                }
                Binding::Concatenation => {
                    level.product.close(self, tokens, index);
                    level.product = Operands::new(index + 1);
                }
                Binding::Sum(function) => {
                    level.product.close(self, tokens, index);
                    level.sum.close(self, tokens, index);
                    level.sum.replace(self, tokens, index, function);
                    level.product = Operands::new(index + 1);
                }
                Binding::Weaker => {
                    level.product.close(self, tokens, index);
                    level.sum.close(self, tokens, index);
                    (level.product, level.sum) = (Operands::new(index + 1), Operands::new(index + 1));
                    if self.text(token) == "," {
                        level.comma = true;
                        chain -= level.len;
                        level.len = 0;
                    }
                }
            }
        }
        if let Some(level) = levels.last_mut() {
            level.product.close(self, tokens, tokens.len());
            level.sum.close(self, tokens, tokens.len());
        }
        Ok(())
    }

    /// How a token ties what stands on its two sides.
    fn binding(&self, token: &Token, before: Option<&Token>) -> Binding {
        match (token.kind, self.text(token)) {
            (Kind::Literal, _) => Binding::None,
            (Kind::Name, "if" | "else" | "and" | "or" | "in" | "recursive") => Binding::Weaker,
            (Kind::Name, "not") if !self.is_name(before, "is") => Binding::Weaker,
            (Kind::Name, _) => Binding::None,
            (Kind::Operator, "(" | "[" | "{") => Binding::Open,
            (Kind::Operator, ")" | "]" | "}") => Binding::Close,
            // Not the asterisk of `f(*arguments)`.
            (Kind::Operator, "*") if !before.is_some_and(|before| self.ends_operand(before)) => Binding::None,
            (Kind::Operator, "%") => Binding::Product(Some(MODULO)),
            (Kind::Operator, "*") => Binding::Product(Some(MULTIPLY)),
            (Kind::Operator, "/" | "//") => Binding::Product(None),
            (Kind::Operator, "~") => Binding::Concatenation,
            (Kind::Operator, "+" | "-") if !before.is_some_and(|before| self.ends_operand(before)) => {
                Binding::None
            }
            (Kind::Operator, "+") => Binding::Sum(Some(ADD)),
            (Kind::Operator, "-") => Binding::Sum(None),
            (Kind::Operator, "," | ":" | "=" | "==" | "!=" | "<" | "<=" | ">" | ">=") => Binding::Weaker,
            (Kind::Operator, _) => Binding::None,
        }
    }

    fn ends_operand(&self, token: &Token) -> bool {
        let text = self.text(token);
        match token.kind {
            Kind::Literal => true,
            Kind::Name => !matches!(text, "if" | "else" | "and" | "or" | "in" | "not" | "is"),
            Kind::Operator => matches!(text, ")" | "]" | "}"),
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

/// From weakest to strongest, see [`Rewriter::binding`]. Sums and products name the method that stands in
/// for the operator, if one does.
enum Binding {
    Weaker,
    Sum(Option<&'static str>),
    Concatenation,
    Product(Option<&'static str>),
    None,
    Open,
    Close,
}

/// What is known of an expression at one depth of brackets.
struct Level {
    sum: Operands,
    product: Operands,
    /// Index of the first token.
    start: usize,
    /// The bracket begins a value, and not a call's arguments or a subscript.
    is_value: bool,
    /// There was a variable, so the value is none that the compiler has made already.
    variable: bool,
    comma: bool,
    /// Tokens since the last comma.
    len: usize,
}

impl Level {
    fn new(start: usize, is_value: bool) -> Self {
        let (sum, product) = (Operands::new(start), Operands::new(start));
        Self {
            sum,
            product,
            start,
            is_value,
            variable: false,
            comma: false,
            len: 0,
        }
    }

    /// Index of the bracket that opens it.
    fn open_bracket(&self) -> usize {
        self.start.saturating_sub(1)
    }
}

/// A chain of operators that bind alike.
struct Operands {
    /// Index of the token that begins the first.
    start: usize,
    /// Index of the last operator, if it became a call whose bracket is still open.
    open: Option<usize>,
}

impl Operands {
    fn new(start: usize) -> Self {
        Self { start, open: None }
    }

    /// Ends the last operand before the token `index`.
    fn close(&mut self, rewriter: &mut Rewriter<'_>, tokens: &[Token], index: usize) {
        // Without an operand the bracket stays open, and the compiler says so.
        if let Some(operator) = self.open.take()
            && operator + 1 < index
        {
            rewriter.insert(tokens[index - 1].span.end, ")".to_owned());
        }
    }

    /// Makes the operator at `index` a call with all before it as the receiver.
    fn replace(
        &mut self,
        rewriter: &mut Rewriter<'_>,
        tokens: &[Token],
        index: usize,
        function: Option<&str>,
    ) {
        if let Some(function) = function {
            rewriter.insert(tokens[self.start].span.start, "(".to_owned());
            rewriter.replace(tokens[index].span.clone(), &format!(").{function}("));
            self.open = Some(index);
        }
    }
}

/// The tokens of a tag from `at` on, and where the tag ends.
fn tokens(source: &str, at: usize, block: bool) -> Option<(Vec<Token>, usize)> {
    let bytes = source.as_bytes();
    let end: &[u8] = if block { b"%}" } else { b"}}" };
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut at = at + usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    loop {
        let rest = &bytes[at..];
        let first = *rest.first()?;
        if depth == 0 {
            if rest.starts_with(end) {
                return Some((tokens, at + 2));
            }
            if matches!(first, b'-' | b'+') && rest[1..].starts_with(end) {
                return Some((tokens, at + 3));
            }
        }
        let (kind, len) = match first {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'\'' | b'"' => (Kind::Literal, string_len(rest)?),
            b'0'..=b'9' => (Kind::Literal, number_len(rest)),
            byte if is_name_byte(byte) => (
                Kind::Name,
                rest.iter().take_while(|&&byte| is_name_byte(byte)).count(),
            ),
            byte => {
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let pair = matches!(
                    rest,
                    [b'=' | b'!' | b'<' | b'>', b'=', ..] | [b'*', b'*', ..] | [b'/', b'/', ..]
                );
                (Kind::Operator, 1 + usize::from(pair))
            }
        };
        tokens.push(Token {
            kind,
            span: at..at + len,
        });
        at += len;
    }
}

/// Letters, digits, underscores and everything beyond ASCII, which the compiler judges.
fn is_name_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn string_len(bytes: &[u8]) -> Option<usize> {
    let quote = bytes[0];
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn number_len(bytes: &[u8]) -> usize {
    let mut len = bytes.iter().take_while(|&&byte| is_name_byte(byte)).count();
    if let [b'.', b'0'..=b'9', ..] = bytes[len..] {
        len += 1 + bytes[len + 1..]
            .iter()
            .take_while(|&&byte| is_name_byte(byte))
            .count();
    }
    if let ([.., b'e' | b'E'], [b'+' | b'-', b'0'..=b'9', ..]) = (&bytes[..len], &bytes[len..]) {
        len += 1 + bytes[len + 1..]
            .iter()
            .take_while(|&&byte| is_name_byte(byte))
            .count();
    }
    len
}

/// Where the tag that ends a raw block ends.
fn end_of_raw(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += source[at..].find("{%")? + 2;
        let inner = source[at..].trim_start_matches(['-', '+']).trim_start();
        if let Some(rest) = inner.strip_prefix("endraw") {
            let rest = rest.trim_start().trim_start_matches(['-', '+']);
            if rest.starts_with("%}") {
                return Some(source.len() - rest.len() + 2);
            }
        }
    }
}
