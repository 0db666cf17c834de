use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

mod limits;
mod literal;
mod messages;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/templates");

fn clock() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 11, 22).at(10, 30, 0, 0)
}

/// The families collected from published models, where they are at hand.
#[test]
fn published_templates_render_as_transformers_renders_them() {
    let shared = std::env::var_os("FORII_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("templates");
    if folder.is_dir() {
        assert!(families(&folder) >= 53);
    } else {
        eprintln!("skipped: {} is not there", folder.display());
    }
}

#[test]
fn own_templates_render_as_transformers_renders_them() {
    assert!(families(Path::new(TESTDATA)) >= 15);
}

/// Renders all cases of all templates in a folder; returns the number of templates.
fn families(folder: &Path) -> usize {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jinja"));
    paths.sort();
    let mut failures = Vec::new();
    for path in &paths {
        let source = std::fs::read_to_string(path).unwrap();
        let golden = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let golden: Vec<Json> = serde_json::from_str(&golden).unwrap();
        assert!(!golden.is_empty());
        for case in &golden {
            if let Err(problem) = check(&source, case) {
                failures.push(format!("{} {}: {problem}", path.display(), case["case"]));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
    paths.len()
}

/// Small templates, one for each thing that Python does.
#[test]
fn snippets_render_as_transformers_renders_them() {
    let variables = golden("variables.json");
    let mut failures = Vec::new();
    let snippets = golden("snippets.json");
    for case in snippets.as_array().unwrap() {
        let case = json!({
            "messages": [], "variables": variables, "rendered": case["rendered"], "error": case["error"],
            "template": case["template"],
        });
        let source = case["template"].as_str().unwrap();
        if let Err(problem) = check(source, &case) {
            failures.push(format!("{source:?}: {problem}"));
        }
    }
    let count = snippets.as_array().unwrap().len();
    assert!(
        failures.is_empty(),
        "{} of {count} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn golden(name: &str) -> Json {
    let path = Path::new(TESTDATA).join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn check(source: &str, case: &Json) -> Result<(), String> {
    let mut variables = case["variables"].as_object().cloned().unwrap_or_default();
    let token = |value: Option<Json>| value.and_then(|value| value.as_str().map(str::to_owned));
    let tokens = TemplateTokens {
        bos_token: token(variables.remove("bos_token")),
        eos_token: token(variables.remove("eos_token")),
        special_tokens: Vec::new(),
    };
    let template = ChatTemplate::compile_at(source, tokens, clock).map_err(|error| error.to_string())?;
    let documents = variables.remove("documents");
    let given = |value: Option<Json>| value.filter(|value| !value.is_null());
    let rendered = template.render_json(
        &case["messages"],
        given(case.get("tools").cloned()).as_ref(),
        given(documents).as_ref(),
        case["add_generation_prompt"].as_bool().unwrap_or(false),
        &variables,
    );
    let text = match (rendered, case["rendered"].as_str()) {
        (Ok(prompt), Some(expected)) if prompt.text == expected => return Ok(()),
        (Err(_), None) => return Ok(()),
        (Ok(prompt), _) => prompt.text,
        (Err(error), Some(_)) => return Err(format!("unexpected error: {error}")),
    };
    let Some(expected) = case["rendered"].as_str() else {
        return Err(format!("no error, but {text:?}; want {}", case["error"]));
    };
    let same = text
        .chars()
        .zip(expected.chars())
        .take_while(|(left, right)| left == right)
        .count();
    let around = |text: &str| {
        text.chars()
            .skip(same.saturating_sub(20))
            .take(80)
            .collect::<String>()
    };
    Err(format!(
        "\n  got  {:?}\n  want {:?}",
        around(&text),
        around(expected)
    ))
}
