//! outlines-core in its checked domain, against llguidance and the schema suites.
#![cfg(feature = "outlines")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use forii_sampling::constraint::outlines::OutlinesRegistry;
use forii_sampling::constraint::{Constraint, Grammar, GrammarError};
use serde_json::{Value, json};
use support::{EOS, Greedy, accepts, accepts_text, bytes, model, schemas};

fn registry() -> OutlinesRegistry {
    OutlinesRegistry::new(bytes().vocabulary().clone()).unwrap()
}

#[test]
fn choices_and_regexes() {
    let registry = registry();
    let check = |grammar: Grammar, yes: &[&str], no: &[&str]| {
        let registered = registry.register(&grammar).unwrap();
        let compiled = bytes().compile(&grammar).unwrap();
        for (texts, expected) in [(yes, true), (no, false)] {
            for text in texts {
                assert_eq!(
                    accepts_text(&mut *registered.start(), text),
                    expected,
                    "{grammar:?} {text:?}"
                );
                assert_eq!(
                    accepts_text(&mut *compiled.start(), text),
                    expected,
                    "{grammar:?} {text:?}"
                );
            }
        }
    };
    // The first alternative must not hide the second.
    check(
        Grammar::choice(["a", "ab", "(x)"]),
        &["a", "ab", "(x)"],
        &["", "b", "abc", "x"],
    );
    check(
        Grammar::Regex("[a-c]+\\d{2}".into()),
        &["abc42"],
        &["", "abc", "abcd42", "a4"],
    );
    check(Grammar::Regex("a+|b".into()), &["aaa", "b"], &["", "ab", "bb"]);
    check(Grammar::Regex("é|東+".into()), &["é", "東東"], &["e", "é東"]);
}

#[test]
fn what_lies_outside_is_refused_with_the_reason() {
    let registry = registry();
    let refused = |grammar: Grammar| registry.register(&grammar).unwrap_err();
    assert!(matches!(
        refused(Grammar::Regex("[a-z]{100}".into())),
        GrammarError::TooLarge { limit: 64, .. }
    ));
    assert!(matches!(
        refused(Grammar::Regex("(".into())),
        GrammarError::Invalid { .. }
    ));
    assert!(matches!(
        refused(Grammar::JsonObject),
        GrammarError::Invalid { .. }
    ));
    let object = |inner: Value| json!({"type": "object", "properties": {"a": inner}, "required": ["a"], "additionalProperties": false});
    for (schema, keyword, path) in [
        (
            object(json!({"type": "integer", "minimum": 1})),
            "minimum",
            "/properties/a",
        ),
        (
            object(json!({"type": "string", "pattern": "a"})),
            "pattern",
            "/properties/a",
        ),
        (
            object(json!({"type": "string", "maxLength": 17})),
            "maxLength",
            "/properties/a",
        ),
        (
            object(json!({"type": "array", "items": {"type": "null"}})),
            "maxItems",
            "/properties/a",
        ),
        (object(json!({"$ref": "#"})), "type", "/properties/a"),
        (
            object(json!({"type": ["string", "null"]})),
            "type",
            "/properties/a",
        ),
        (
            object(json!({"anyOf": [{"type": "null"}], "type": "null"})),
            "type",
            "/properties/a",
        ),
        (object(json!({"enum": ["a\"b"]})), "enum", "/properties/a"),
        (
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": false}),
            "required",
            "",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}),
            "additionalProperties",
            "",
        ),
        (json!(true), "", ""),
    ] {
        match refused(Grammar::strict_schema(schema.clone())) {
            GrammarError::Schema {
                keyword: k, path: p, ..
            } => assert_eq!((k.as_str(), p.as_str()), (keyword, path), "{schema}"),
            other => panic!("{schema}: {other:?}"),
        }
    }
}

/// Walks both engines in step over single bytes and compares what they allow, on random walks through the
/// language that both know.
fn compare(a: &mut dyn Constraint, b: &mut dyn Constraint, seed: u64, schema: &Value) {
    let draws = forii_sampling::Draws::new(seed, 0);
    let mut text = Vec::new();
    for position in 0..400 {
        let (left, right) = (a.mask().unwrap().clone(), b.mask().unwrap().clone());
        // outlines also allows spaces elsewhere, and is narrower in control characters and exponents.
        let both: Vec<u32> = left.iter().filter(|&t| right.contains(t)).collect();
        assert!(
            !both.is_empty(),
            "nothing in common after {:?}: {schema}",
            String::from_utf8_lossy(&text)
        );
        if left.contains(EOS) != right.contains(EOS) {
            panic!(
                "one may end, the other not, after {:?}: {schema}",
                String::from_utf8_lossy(&text)
            );
        }
        if right.contains(EOS) {
            // Numbers may be larger than any type holds: the syntax is what counts.
            let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
            assert!(
                parsed.is_ok(),
                "{:?} is no JSON: {schema}",
                String::from_utf8_lossy(&text)
            );
        }
        // Prefer what ends, or a walk through strings and digits would rarely do.
        let pick = |share: f64| both[(share * both.len() as f64) as usize];
        let closing = both
            .iter()
            .copied()
            .find(|&t| t == u32::from(b'"') || t == u32::from(b'}') || t == EOS);
        let u = draws.uniform(2 * position);
        let token = closing
            .filter(|_| u < 0.4)
            .unwrap_or_else(|| pick(draws.uniform(2 * position + 1)));
        if token == EOS {
            return;
        }
        a.accept(token).unwrap();
        b.accept(token).unwrap();
        text.push(token as u8);
    }
}

#[test]
fn both_engines_agree_on_the_white_list() {
    let registry = registry();
    let (mut registered, mut instances, mut narrow) = (0, 0, 0);
    for file in [
        "keywords.jsonl",
        "strict.jsonl",
        "real-world.jsonl",
        "test-suite-2020-12.jsonl",
    ] {
        for group in schemas(file).unwrap_or_default() {
            let grammar = Grammar::strict_schema(group.schema.clone());
            let Ok(automaton) = registry.register(&grammar) else {
                continue;
            };
            let compiled = bytes()
                .compile(&grammar)
                .unwrap_or_else(|e| panic!("{}: {e}", group.name));
            registered += 1;
            for (text, valid) in &group.tests {
                instances += 1;
                let accepted = accepts_text(&mut *automaton.start(), text);
                assert!(*valid || !accepted, "{}: accepts the invalid {text}", group.name);
                narrow += usize::from(*valid && !accepted);
            }
            for seed in 0..20 {
                compare(
                    &mut *compiled.start(),
                    &mut *automaton.start(),
                    seed,
                    &group.schema,
                );
            }
        }
    }
    eprintln!("{registered} schemas on the white list, {instances} instances, {narrow} valid ones refused");
}

#[test]
fn whole_tokens_of_a_real_vocabulary() {
    let (Some(vocabulary), Some(groups)) = (model("smollm2-135m-instruct.gguf"), schemas("strict.jsonl"))
    else {
        return;
    };
    let (greedy, eos) = (Greedy::new(&vocabulary), vocabulary.eos()[0]);
    let registry = OutlinesRegistry::new(vocabulary).unwrap();
    let small = groups.iter().filter(|group| group.schema.to_string().len() < 250);
    let grammars = small.filter_map(|g| {
        Some((
            g,
            registry
                .register(&Grammar::strict_schema(g.schema.clone()))
                .ok()?,
        ))
    });
    let mut instances = 0;
    for (group, registered) in grammars.take(8) {
        for (text, valid) in &group.tests {
            instances += 1;
            let accepted = accepts(&mut *registered.start(), &greedy.tokenize(text.as_bytes()), eos).unwrap();
            assert_eq!(accepted, *valid, "{}: {text}", group.name);
        }
    }
    assert!(instances >= 8, "{instances} instances");
}
