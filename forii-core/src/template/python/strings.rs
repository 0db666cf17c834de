//! The methods of Python's `str`. Positions count characters, as Python does.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, ErrorKind, State};

use super::invalid;
use super::methods::Args;
use super::split::{partition, split, split_lines, strip};
use super::text::{fuel, type_name};
use crate::template::literal::{Marks, unmarked};

/// The method `name` of `text`; `None` where this module does not have it.
pub(super) fn call(
    state: &State<'_, '_>,
    text: &str,
    name: &str,
    args: &Args<'_>,
) -> Result<Option<Value>, Error> {
    // Templates split at tokens and look for them; that must work where the caller's text is marked, too.
    let text = match name {
        "startswith" | "endswith" | "find" | "rfind" | "index" | "rindex" | "count" => {
            &*unmarked(state, text)
        }
        _ => text,
    };
    let marked = match (name, args.get(0, if name == "replace" { "old" } else { "sep" })) {
        ("split" | "rsplit" | "partition" | "rpartition" | "replace", Some(token)) if !text.is_ascii() => {
            token
                .as_str()
                .zip(Marks::of(state))
                .map(|(token, marks)| (token.to_owned(), marks.around(token)))
        }
        _ => None,
    };
    let Some((token, marked)) = marked.filter(|(_, marked)| text.contains(marked)) else {
        return dispatch(state, text, name, args);
    };
    let result = dispatch(state, &text.replace(&marked, &token), name, args)?;
    // What was not split at stays marked.
    let mark = |part: &Value| {
        part.as_str()
            .map_or_else(|| part.clone(), |part| part.replace(&token, &marked).into())
    };
    result
        .map(|result| match (result.is_tuple(), result.as_str()) {
            (false, Some(_)) => Ok(mark(&result)),
            (true, _) => {
                Ok(Tuple::from(result.try_iter()?.map(|part| mark(&part)).collect::<Vec<_>>()).into())
            }
            (false, None) => Ok(result.try_iter()?.map(|part| mark(&part)).collect()),
        })
        .transpose()
}

fn dispatch(state: &State<'_, '_>, text: &str, name: &str, args: &Args<'_>) -> Result<Option<Value>, Error> {
    let (result, most) = match name {
        "strip" => (strip(text, args, true, true)?, 1),
        "lstrip" => (strip(text, args, true, false)?, 1),
        "rstrip" => (strip(text, args, false, true)?, 1),
        "split" => (split(text, args, false)?, 2),
        "rsplit" => (split(text, args, true)?, 2),
        "splitlines" => {
            let keep = args.get(0, "keepends").is_some_and(|keep| keep.is_true());
            (split_lines(text, keep).into(), 1)
        }
        "partition" => (partition(text, &needed(args, 0, "sep")?, false)?, 1),
        "rpartition" => (partition(text, &needed(args, 0, "sep")?, true)?, 1),
        "replace" => (replace(state, text, args)?, 3),
        "find" | "rfind" | "index" | "rindex" => {
            let position = find(text, args, name.starts_with('r'))?;
            if position.is_none() && name.ends_with("index") {
                return Err(invalid("substring not found"));
            }
            (position.map_or(Value::from(-1), Value::from), 3)
        }
        "count" => (count(text, args)?.into(), 3),
        "startswith" => (affix(text, args, false)?, 3),
        "endswith" => (affix(text, args, true)?, 3),
        "removeprefix" => (
            text.strip_prefix(&*needed(args, 0, "prefix")?)
                .unwrap_or(text)
                .into(),
            1,
        ),
        "removesuffix" => (
            text.strip_suffix(&*needed(args, 0, "suffix")?)
                .unwrap_or(text)
                .into(),
            1,
        ),
        "upper" => (text.to_uppercase().into(), 0),
        "lower" | "casefold" => (text.to_lowercase().into(), 0),
        "capitalize" => (capitalize(text).into(), 0),
        "title" => (title(text).into(), 0),
        "swapcase" => (swap_case(text).into(), 0),
        "join" => (join(state, text, args)?, 1),
        "ljust" | "rjust" | "center" | "zfill" => (justify(state, text, name, args)?, 2),
        "isdecimal" => ((!text.is_empty() && text.chars().all(char::is_numeric)).into(), 0),
        "expandtabs" => (expand_tabs(state, text, args)?, 1),
        _ => return Ok(None),
    };
    args.finish(most)?;
    Ok(Some(result))
}

/// Whether Python counts `char` as white space.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}

fn needed(args: &Args<'_>, index: usize, name: &str) -> Result<String, Error> {
    let value = args
        .get(index, name)
        .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    string(&value).map(str::to_owned)
}

pub(super) fn string(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| invalid(format!("expected str, got {}", type_name(value))))
}

pub(super) fn position(value: Option<Value>) -> Result<Option<i64>, Error> {
    value.map(i64::try_from).transpose()
}

fn replace(state: &State<'_, '_>, text: &str, args: &Args<'_>) -> Result<Value, Error> {
    let (old, new) = (needed(args, 0, "old")?, needed(args, 1, "new")?);
    let most = position(args.get(2, "count"))?
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let found = text.matches(&*old).take(most).count();
    state.consume_fuel(fuel(found.saturating_mul(new.len())))?;
    Ok(text.replacen(&*old, &new, most).into())
}

/// The part of `text` between two positions, negative ones counted from the end, and where it starts.
fn window(text: &str, start: Option<Value>, end: Option<Value>) -> Result<Option<(&str, usize)>, Error> {
    let (start, end) = (position(start)?, position(end)?);
    if start.is_none() && end.is_none() {
        return Ok(Some((text, 0)));
    }
    let len = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let clamp = |position: i64| {
        if position < 0 {
            (len + position).max(0)
        } else {
            position
        }
    };
    let (start, end) = (clamp(start.unwrap_or(0)), clamp(end.unwrap_or(len)).min(len));
    if start > end {
        return Ok(None);
    }
    let byte = |position: i64| {
        let offsets = text.char_indices().map(|(offset, _)| offset);
        offsets
            .chain([text.len()])
            .nth(usize::try_from(position).unwrap_or(usize::MAX))
            .unwrap_or(text.len())
    };
    Ok(Some((
        &text[byte(start)..byte(end)],
        usize::try_from(start).unwrap_or(0),
    )))
}

fn find(text: &str, args: &Args<'_>, from_right: bool) -> Result<Option<usize>, Error> {
    let wanted = needed(args, 0, "sub")?;
    let Some((window, before)) = window(text, args.get(1, "start"), args.get(2, "end"))? else {
        return Ok(None);
    };
    let found = if from_right {
        window.rfind(&*wanted)
    } else {
        window.find(&*wanted)
    };
    Ok(found.map(|index| before + window[..index].chars().count()))
}

fn count(text: &str, args: &Args<'_>) -> Result<usize, Error> {
    let wanted = needed(args, 0, "sub")?;
    let window = window(text, args.get(1, "start"), args.get(2, "end"))?;
    Ok(window.map_or(0, |(window, _)| window.matches(&*wanted).count()))
}

/// `startswith` and `endswith`, which take one string or a tuple of them.
fn affix(text: &str, args: &Args<'_>, at_end: bool) -> Result<Value, Error> {
    let wanted = args
        .get(0, "prefix")
        .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let window = window(text, args.get(1, "start"), args.get(2, "end"))?;
    let has = |wanted: &str| {
        window.is_some_and(|(window, _)| {
            if at_end {
                window.ends_with(wanted)
            } else {
                window.starts_with(wanted)
            }
        })
    };
    if !wanted.is_tuple() {
        return string(&wanted).map(|wanted| has(wanted).into());
    }
    for wanted in wanted.try_iter()?.checked() {
        if has(string(&wanted?)?) {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match inside {
            true => out.extend(char.to_lowercase()),
            false => out.extend(char.to_uppercase()),
        }
        inside = char.is_lowercase() || char.is_uppercase();
    }
    out
}

fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_uppercase() {
            true => out.extend(char.to_lowercase()),
            false => out.extend(char.to_uppercase()),
        }
    }
    out
}

fn join(state: &State<'_, '_>, separator: &str, args: &Args<'_>) -> Result<Value, Error> {
    let items = args
        .get(0, "iterable")
        .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let mut out = String::new();
    for (index, item) in super::iterable(&items)?.try_iter()?.checked().enumerate() {
        let item = item?;
        let item = item.as_str().ok_or_else(|| {
            let name = type_name(&item);
            invalid(format!(
                "sequence item {index}: expected str instance, {name} found"
            ))
        })?;
        state.consume_fuel(1 + fuel(separator.len() + item.len()))?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(item);
    }
    Ok(out.into())
}

fn justify(state: &State<'_, '_>, text: &str, name: &str, args: &Args<'_>) -> Result<Value, Error> {
    let width = args
        .get(0, "width")
        .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let width = usize::try_from(i64::try_from(width)?.max(0)).unwrap_or(usize::MAX);
    let missing = width.saturating_sub(text.chars().count());
    state.consume_fuel(fuel(missing.saturating_mul(4)))?;
    if name == "zfill" {
        let digits = text.trim_start_matches(['+', '-']);
        let sign = if text.len() - digits.len() == 1 {
            &text[..1]
        } else {
            ""
        };
        return Ok(format!("{sign}{}{}", "0".repeat(missing), &text[sign.len()..]).into());
    }
    let fill = match args.get(1, "fillchar") {
        Some(fill) => string(&fill)?.to_owned(),
        None => " ".to_owned(),
    };
    if fill.chars().count() != 1 {
        return Err(invalid("the fill character must be exactly one character long"));
    }
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // Where one is left over, Python puts it left for an odd width and right for an even one.
        _ => missing / 2 + (missing & width & 1),
    };
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)).into())
}

fn expand_tabs(state: &State<'_, '_>, text: &str, args: &Args<'_>) -> Result<Value, Error> {
    let size = position(args.get(0, "tabsize"))?.map_or(8, |size| usize::try_from(size).unwrap_or(0));
    state.consume_fuel(fuel(text.matches('\t').count().saturating_mul(size)))?;
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for char in text.chars() {
        match char {
            '\t' => {
                let spaces = size.saturating_sub(column % size.max(1));
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            _ => {
                out.push(char);
                column = if matches!(char, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
            }
        }
    }
    Ok(out.into())
}
