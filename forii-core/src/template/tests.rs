use super::*;

fn clock() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 11, 22).at(10, 30, 0, 0)
}

/// The families collected from published models, where they are at hand.
#[test]
fn published_templates_render_as_transformers_renders_them() {
    let shared = std::env::var_os("FORII_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        std::path::PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(shared.join("templates")) else {
        eprintln!("skipped: no templates in {}", shared.display());
        return;
    };
    let mut failures = Vec::new();
    let (mut families, mut cases) = (0, 0);
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "jinja")) {
        families += 1;
        let source = std::fs::read_to_string(path).unwrap();
        let golden: Vec<Json> =
            serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        for case in golden {
            cases += 1;
            let name = format!("{} {}", path.file_stem().unwrap().display(), case["case"]);
            if let Err(problem) = check(&source, &case) {
                failures.push(format!("{name}: {problem}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {cases} fail:\n{}", failures.len(), failures.join("\n"));
    println!("{families} families, {cases} cases");
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
    let rendered = template.render_json(
        &case["messages"],
        case.get("tools").filter(|tools| !tools.is_null()),
        case.get("documents").filter(|documents| !documents.is_null()),
        case["add_generation_prompt"].as_bool().unwrap_or(false),
        &variables,
    );
    match (rendered, case["rendered"].as_str()) {
        (Ok(prompt), Some(expected)) if prompt.text == expected => Ok(()),
        (Ok(prompt), Some(expected)) => {
            let same = prompt.text.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
            let around = |text: &str| text.chars().skip(expected[..floor(expected, same)].chars().count().saturating_sub(20)).take(80).collect::<String>();
            Err(format!("\n  got  {:?}\n  want {:?}", around(&prompt.text), around(expected)))
        }
        (Ok(prompt), None) => Err(format!("no error, but {:?}; want {}", prompt.text.chars().take(200).collect::<String>(), case["error"])),
        (Err(error), Some(_)) => Err(format!("unexpected error: {error}")),
        (Err(_), None) => Ok(()),
    }
}

fn floor(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}
