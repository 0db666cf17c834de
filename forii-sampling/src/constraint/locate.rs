//! Finds which keyword of a schema the engine refused, as its messages name no place. Parts of the schema are
//! taken out until it compiles; what was taken out last is to blame.

use serde_json::Value;

use super::check::join;

/// Keywords that hold one schema, or an array of them.
const SCHEMAS: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Keywords that hold schemas by name.
const MAPS: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Keywords that can never be to blame.
const ANNOTATIONS: [&str; 11] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "id",
    "title",
];

/// A schema inside a schema.
struct Child {
    /// Its JSON pointer from the root.
    path: String,
    /// The keyword of the schema around it that holds it.
    keyword: &'static str,
}

/// The JSON pointer of the schema and its keyword that keep the whole from compiling. `compiles` is asked
/// about variants of the schema, about twice the logarithm of the number of parts for each level.
pub(super) fn culprit(schema: &Value, mut compiles: impl FnMut(&Value) -> bool) -> (String, String) {
    let mut schema = schema.clone();
    let mut path = String::new();
    let mut holder = "";
    loop {
        let children = schema
            .pointer(&path)
            .map(|s| children(s, &path))
            .unwrap_or_default();
        let without = |count: usize| {
            let mut variant = schema.clone();
            children[..count]
                .iter()
                .for_each(|child| replace(&mut variant, &child.path));
            variant
        };
        if !children.is_empty() && compiles(&without(children.len())) {
            let count = least(children.len(), |count| compiles(&without(count)));
            schema = without(count - 1);
            path = children[count - 1].path.clone();
            holder = children[count - 1].keyword;
            continue;
        }
        let schema = without(children.len());
        let keywords = schema.pointer(&path).and_then(Value::as_object).map(|members| {
            members
                .keys()
                .filter(|k| !ANNOTATIONS.contains(&k.as_str()))
                .cloned()
                .collect::<Vec<_>>()
        });
        let keywords = keywords.unwrap_or_default();
        let without = |count: usize| {
            let mut variant = schema.clone();
            if let Some(members) = variant.pointer_mut(&path).and_then(Value::as_object_mut) {
                members.retain(|k, _| !keywords[..count].contains(k));
            }
            variant
        };
        if keywords.is_empty() || !compiles(&without(keywords.len())) {
            return (
                path,
                keywords.into_iter().next().unwrap_or_else(|| holder.to_owned()),
            );
        }
        let count = least(keywords.len(), |count| compiles(&without(count)));
        return (path, keywords[count - 1].clone());
    }
}

/// Where a keyword is used first, if it is used at all.
pub(super) fn first_use(schema: &Value, keyword: &str, value: Option<&str>) -> Option<String> {
    let mut rest = vec![String::new()];
    while let Some(path) = rest.pop() {
        let node = schema.pointer(&path)?;
        if node
            .get(keyword)
            .is_some_and(|v| value.is_none_or(|value| v.as_str() == Some(value)))
        {
            return Some(path);
        }
        rest.extend(children(node, &path).into_iter().rev().map(|child| child.path));
    }
    None
}

/// The keyword with the most members that the engine may have to multiply out, and where it is.
pub(super) fn widest(schema: &Value) -> (String, String) {
    let mut widest = (0, String::new(), String::new());
    let mut rest = vec![String::new()];
    while let Some(path) = rest.pop() {
        let Some(node) = schema.pointer(&path) else {
            continue;
        };
        for (keyword, value) in node.as_object().into_iter().flatten() {
            let width = match (keyword.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf" | "enum", Value::Array(items)) => items.len(),
                ("patternProperties", Value::Object(members)) => members.len() * members.len(),
                ("pattern", Value::String(regex)) => regex.len() / 8,
                ("maxLength" | "minLength" | "maxItems" | "minItems" | "maxProperties", Value::Number(n)) => {
                    n.as_u64()
                        .map_or(0, |n| usize::try_from(n / 16).unwrap_or(usize::MAX))
                }
                _ => 1,
            };
            if width > widest.0 {
                widest = (width, path.clone(), keyword.clone());
            }
        }
        rest.extend(children(node, &path).into_iter().map(|child| child.path));
    }
    (widest.1, widest.2)
}

/// The least count in 1..=`all` for which `holds` holds, as it does for `all`.
fn least(all: usize, mut holds: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (1, all);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn replace(schema: &mut Value, path: &str) {
    if let Some(node) = schema.pointer_mut(path) {
        *node = Value::Bool(true);
    }
}

/// The schemas directly inside one, in the order of its keywords.
fn children(schema: &Value, path: &str) -> Vec<Child> {
    let mut found = Vec::new();
    let is_schema = |v: &Value| v.is_object() || *v == Value::Bool(false);
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        let at = join(path, keyword);
        if let Some(&keyword) = SCHEMAS.iter().find(|&k| k == keyword) {
            match value {
                Value::Array(items) => found.extend(
                    items
                        .iter()
                        .enumerate()
                        .filter(|(_, v)| is_schema(v))
                        .map(|(i, _)| Child {
                            path: format!("{at}/{i}"),
                            keyword,
                        }),
                ),
                value if is_schema(value) => found.push(Child { path: at, keyword }),
                _ => {}
            }
        } else if let (Some(&keyword), Value::Object(members)) = (MAPS.iter().find(|&k| k == keyword), value)
        {
            let members = members.iter().filter(|(_, v)| is_schema(v));
            found.extend(members.map(|(name, _)| Child {
                path: join(&at, name),
                keyword,
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Stands for an engine: refuses a schema that holds a `bad` keyword anywhere.
    fn fine(schema: &Value) -> bool {
        match schema {
            Value::Object(members) => !members.contains_key("bad") && members.values().all(fine),
            Value::Array(items) => items.iter().all(fine),
            _ => true,
        }
    }

    #[test]
    fn the_culprit_is_found_among_others() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a/b": {"type": "string"},
                "b": {"anyOf": [{"type": "null"}, {"items": {"title": "x", "type": "string", "bad": 1}}]},
                "c": {"type": "string", "bad": 2},
            },
            "required": [],
        });
        let (path, keyword) = culprit(&schema, fine);
        // Of two faults one is named: the one that was taken out last.
        assert_eq!((path.as_str(), keyword.as_str()), ("/properties/c", "bad"));
        let mut one = schema;
        one["properties"]["c"] = json!(true);
        assert_eq!(
            culprit(&one, fine),
            ("/properties/b/anyOf/1/items".into(), "bad".into())
        );
        let root = json!({"type": "object", "bad": 1, "required": []});
        assert_eq!(culprit(&root, fine), (String::new(), "bad".into()));
        assert_eq!(
            culprit(&json!({"items": false}), |s| s["items"] != false),
            ("/items".into(), "items".into())
        );
    }

    #[test]
    fn a_property_of_a_keywords_name_is_no_use_of_it() {
        let schema = json!({"properties": {"not": {"type": "string"}, "b": {"not": {}}}});
        assert_eq!(first_use(&schema, "not", None).as_deref(), Some("/properties/b"));
        assert_eq!(first_use(&schema, "if", None), None);
        let formats = json!({"items": {"format": "date"}, "not": {"format": "iri"}});
        assert_eq!(
            first_use(&formats, "format", Some("iri")).as_deref(),
            Some("/not")
        );
    }

    #[test]
    fn the_widest_keyword_is_found() {
        let schema = json!({"properties": {"a": {"enum": [1, 2, 3]}, "b": {"maxLength": 9000}}});
        assert_eq!(widest(&schema), ("/properties/b".into(), "maxLength".into()));
    }
}
