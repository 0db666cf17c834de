//! Rewrites the expressions of a tag: operators become calls, lists of variables are checked.

use super::lexer::{Kind, Token};
use super::{ADD, MAX_BRACKETS, MAX_CHAIN, MODULO, MULTIPLY, Rewriter, STORE};

impl Rewriter<'_> {
    /// Rewrites `left + right` to `(left).__add__(right)` and so on at every depth of brackets, and
    /// `[variable]` to `__store([variable])`.
    pub(super) fn expression(&mut self, tokens: &[Token]) -> Result<(), String> {
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
