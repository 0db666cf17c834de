//! What each kind of grammar accepts and refuses, over single bytes.
#![allow(clippy::unwrap_used)]

mod support;

use forii_sampling::constraint::{
    Begin, ConstraintError, Grammar, GrammarCompiler, GrammarError, Trigger, Vocabulary,
};
use forii_sampling::{SampleError, Sampler, SamplingParams};
use serde_json::{Value, json};
use support::{EOS, accepts_text, bytes};

fn accepts(grammar: &Grammar, text: &str) -> bool {
    let compiled = bytes()
        .compile(grammar)
        .unwrap_or_else(|e| panic!("{grammar:?}: {e}"));
    accepts_text(&mut *compiled.start(), text)
}

fn check(grammar: &Grammar, yes: &[&str], no: &[&str]) {
    for text in yes {
        assert!(accepts(grammar, text), "{grammar:?} should accept {text:?}");
    }
    for text in no {
        assert!(!accepts(grammar, text), "{grammar:?} should refuse {text:?}");
    }
}

fn refusal(schema: Value) -> (String, String) {
    match bytes().compile(&Grammar::strict_schema(schema)) {
        Err(GrammarError::Schema { keyword, path, .. }) => (keyword, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_of_any_kind() {
    check(
        &Grammar::JsonObject,
        &["{}", r#"{"a":1}"#, r#"{"a": [1, {"b":null}], "ü":"x"}"#],
        &[
            "",
            "[]",
            "1",
            "{} ",
            "{}{}",
            "{\n}",
            r#"{"a":1"#,
            r#"{"a":  1}"#,
            r#"{a:1}"#,
        ],
    );
}

#[test]
fn schemas() {
    let person = Grammar::strict_schema(json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": false,
    }));
    check(
        &person,
        &[r#"{"name":"राहुल","age":34}"#, r#"{"name": "", "age": 0}"#],
        &[
            r#"{"name":"x"}"#,
            r#"{"age":1,"name":"x"}"#,
            r#"{"name":"x","age":-1}"#,
            r#"{"name":"x","age":1,"b":2}"#,
        ],
    );
    check(
        &Grammar::strict_schema(json!(true)),
        &["1", "{}", "\"x\""],
        &["", "x"],
    );
    check(
        &Grammar::strict_schema(json!({"const": "a"})),
        &["\"a\""],
        &["\"b\""],
    );
}

#[test]
fn names_cannot_be_spelled_around_a_schema() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "additionalProperties": {"type": "integer"},
    });
    check(
        &Grammar::strict_schema(schema),
        &[r#"{"a":"x"}"#, r#"{"a":"x","b":1}"#],
        &[r#"{"\u0061":1}"#, r#"{"a":1}"#],
    );
}

#[test]
fn a_schema_does_not_choose_its_own_leniency() {
    let mut schema = json!({"type": "object", "not": {}, "x-guidance": {"lenient": true}});
    assert_eq!(refusal(schema.clone()), ("not".into(), String::new()));
    schema["x-guidance"] = json!({"whitespace_flexible": true});
    schema.as_object_mut().unwrap().remove("not");
    check(&Grammar::strict_schema(schema), &["{}"], &["{   }"]);
}

#[test]
fn refusals_name_keyword_and_path() {
    let nested = |inner: Value| json!({"type": "object", "properties": {"x": {"items": inner}, "y": {}}});
    for (schema, keyword, path) in [
        (
            nested(json!({"not": {"type": "string"}})),
            "not",
            "/properties/x/items",
        ),
        (
            nested(json!({"type": "string", "format": "nonsense"})),
            "format",
            "/properties/x/items",
        ),
        (
            nested(json!({"type": "string", "pattern": "(?=a)b"})),
            "pattern",
            "/properties/x/items",
        ),
        (nested(json!({"type": "strange"})), "type", "/properties/x/items"),
        (
            nested(json!({"uniqueItems": true})),
            "uniqueItems",
            "/properties/x/items",
        ),
        (json!({"oneOf": [{"minimum": 1}, {"maximum": 3}]}), "oneOf", ""),
        (json!({"$ref": "#/$defs/missing"}), "$ref", ""),
        (json!({"$ref": "https://example.com/schema.json"}), "$ref", ""),
        (
            json!({"properties": {"a/b": {"if": {}}}}),
            "if",
            "/properties/a~1b",
        ),
    ] {
        assert_eq!(refusal(schema.clone()), (keyword.into(), path.into()), "{schema}");
    }
    for schema in [
        json!(false),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
    ] {
        assert!(bytes().compile(&Grammar::strict_schema(schema)).is_err());
    }
    assert!(bytes().compile(&Grammar::strict_schema(json!([1]))).is_err());
}

#[test]
fn lenient_schemas_say_what_they_leave_out() {
    let schema = json!({"type": "integer", "not": {"const": 1}});
    let compiled = bytes()
        .compile(&Grammar::JsonSchema {
            schema,
            strict: false,
        })
        .unwrap();
    assert!(
        compiled.warnings().iter().any(|w| w.contains("not")),
        "{:?}",
        compiled.warnings()
    );
    assert!(accepts_text(&mut *compiled.start(), "1"));
    assert!(
        bytes()
            .compile(&Grammar::JsonObject)
            .unwrap()
            .warnings()
            .is_empty()
    );
}

#[test]
fn sizes_are_limited_before_any_work() {
    let mut deep = json!({"type": "string"});
    for _ in 0..5_000 {
        deep = Value::Object([("items".to_owned(), deep)].into_iter().collect()); // json! would recurse
    }
    let grammar = Grammar::strict_schema(deep);
    assert!(
        matches!(bytes().compile(&grammar), Err(GrammarError::TooLarge { path, .. }) if path.starts_with("/items"))
    );
    std::mem::forget(grammar); // its own drop recurses
    let wide = json!({"enum": (0..30_000).collect::<Vec<_>>()});
    assert!(matches!(
        bytes().compile(&Grammar::strict_schema(wide)),
        Err(GrammarError::TooLarge { .. })
    ));
    let long = Grammar::Regex("a".repeat(1 << 20));
    assert!(matches!(
        bytes().compile(&long),
        Err(GrammarError::TooLarge { .. })
    ));
}

#[test]
fn what_multiplies_out_is_refused_in_time() {
    let bit = |i: usize| json!({"anyOf": [{"properties": {format!("a{i}"): {"const": 0}}}, {"properties": {format!("b{i}"): {"const": 1}}}]});
    let schema = json!({"allOf": (0..18).map(bit).collect::<Vec<_>>()});
    let start = std::time::Instant::now();
    let error = bytes().compile(&Grammar::strict_schema(schema)).unwrap_err();
    assert!(start.elapsed().as_secs_f64() < 2.5, "{:?}", start.elapsed());
    match error {
        GrammarError::Schema { keyword, .. } | GrammarError::TooSlow { keyword, .. } => {
            assert!(["allOf", "anyOf"].contains(&keyword.as_str()), "{keyword}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn regexes_and_choices() {
    check(
        &Grammar::Regex("[a-c]+/\\d{2}".into()),
        &["abc/42"],
        &["", "abc", "abcd/42", "a/421"],
    );
    check(&Grammar::Regex("é|東".into()), &["é", "東"], &["e", "é東"]);
    check(
        &Grammar::choice(["a", "ab", "x\"\n"]),
        &["a", "ab", "x\"\n"],
        &["", "b", "abc", "x"],
    );
    for bad in ["(", "a(?=b)", "\\1", "[z-a]"] {
        let error = bytes().compile(&Grammar::Regex(bad.into())).unwrap_err();
        assert!(
            matches!(
                error,
                GrammarError::Invalid {
                    kind: "regular expression",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert!(bytes().compile(&Grammar::Choice(vec![])).is_err());
    assert!(bytes().compile(&Grammar::choice(["a", ""])).is_err());
}

#[test]
fn lark_grammars() {
    let sums = Grammar::Lark("start: NUM (\"+\" NUM)*\nNUM: /[0-9]+/".into());
    check(&sums, &["1", "12+3"], &["", "+", "1+", "1-2"]);
    let error = bytes()
        .compile(&Grammar::Lark("start: missing".into()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            GrammarError::Invalid {
                kind: "Lark grammar",
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn composites() {
    let number = || Grammar::strict_schema(json!({"type": "integer"}));
    let list = Grammar::Sequence(vec![
        Grammar::Literal("[".into()),
        number(),
        Grammar::Repeat {
            item: Box::new(Grammar::Sequence(vec![Grammar::Literal(";".into()), number()])),
            min: 1,
            max: Some(2),
        },
        Grammar::Literal("]".into()),
    ]);
    check(
        &list,
        &["[1;2]", "[1;2;-3]"],
        &["[1]", "[1;2;3;4]", "[1;2", "1;2"],
    );
    let either = Grammar::Either(vec![Grammar::JsonObject, Grammar::choice(["none"])]);
    check(&either, &["{}", "none"], &["", "{}none", "[]"]);
    assert!(bytes().compile(&Grammar::Token(999)).is_err());
    assert!(bytes().compile(&Grammar::Sequence(vec![])).is_err());
}

fn call(min: usize, max: Option<usize>) -> Grammar {
    let arguments = json!({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": false});
    let body = Grammar::Sequence(vec![
        Grammar::strict_schema(arguments),
        Grammar::Literal("</call>".into()),
    ]);
    let begin = Begin::Text("<call>".into());
    Grammar::Triggered {
        triggers: vec![Trigger { begin, body }],
        min,
        max,
    }
}

#[test]
fn free_text_up_to_a_trigger() {
    let one = r#"<call>{"x":1}</call>"#;
    let text = |parts: &[&str]| parts.concat();
    check(
        &call(0, None),
        &[
            "",
            "hello",
            "a < b <cal",
            one,
            &text(&["Hi! ", one]),
            &text(&[one, " and ", one, "\nbye"]),
            "<<call>{\"x\":1}</call>",
        ],
        &[
            "<call>",
            "<call>hello",
            &text(&["Hi <call>{\"x\":\"1\"}</call>"]),
            &text(&[one, "<call>no"]),
        ],
    );
    check(&call(1, None), &[one, &text(&["a", one, "b"])], &["", "hello"]);
    check(
        &call(1, Some(1)),
        &[one, &text(&["Hi ", one])],
        &["", "hello", &text(&[one, one]), &text(&[one, " bye"])],
    );
    check(
        &call(0, Some(2)),
        &["", "x", &text(&[one, "x"]), &text(&[one, "x", one])],
        &[&text(&[one, one, "x"])],
    );
}

#[test]
fn several_triggers() {
    let trigger = |mark: &str, body: &str| Trigger {
        begin: Begin::Text(mark.into()),
        body: Grammar::Literal(body.into()),
    };
    let grammar = Grammar::Triggered {
        triggers: vec![trigger("#a", "1"), trigger("#b", "2")],
        min: 0,
        max: None,
    };
    check(
        &grammar,
        &["#a1", "x#b2y#a1", "#", "##a1"],
        &["#a2", "#b1", "x#b2#a", "#b1#a1"],
    );
    let end = Trigger {
        begin: Begin::Token(EOS),
        body: Grammar::Literal("x".into()),
    };
    // A trigger may be a special token; here it is the end token, which then has to be followed.
    assert!(
        bytes()
            .compile(&Grammar::Triggered {
                triggers: vec![end],
                min: 0,
                max: None
            })
            .is_ok()
    );
}

#[test]
fn special_tokens_are_not_text() {
    let words: Vec<_> = (0..=255u8)
        .map(|b| (vec![b], false))
        .chain([(b"<call>".to_vec(), true), (b"<end>".to_vec(), true)])
        .collect();
    let compiler = GrammarCompiler::new(Vocabulary::new(words, &[257]).unwrap());
    let body = Grammar::strict_schema(json!({"type": "integer"}));
    let grammar = Grammar::Triggered {
        triggers: vec![Trigger {
            begin: Begin::Token(256),
            body,
        }],
        min: 0,
        max: None,
    };
    let compiled = compiler.compile(&grammar).unwrap();
    let mut c = compiled.start();
    let spelled: Vec<u32> = "a<call>b".bytes().map(u32::from).collect();
    assert!(support::accepts(&mut *c, &spelled, 257).unwrap());
    let mut c = compiled.start();
    for token in [u32::from(b'a'), 256] {
        assert!(c.mask().unwrap().contains(token));
        c.accept(token).unwrap();
    }
    assert!(!c.mask().unwrap().contains(u32::from(b'a')) && c.mask().unwrap().contains(u32::from(b'7')));
    let mut any = compiler
        .compile(&Grammar::Regex("(?s:.*)".into()))
        .unwrap()
        .start();
    assert!(!any.mask().unwrap().contains(256) && any.mask().unwrap().contains(257));
}

#[test]
fn a_rejected_token_changes_nothing() {
    let mut c = bytes().compile(&Grammar::choice(["ab"])).unwrap().start();
    let x = u32::from(b'x');
    assert_eq!(c.accept(x), Err(ConstraintError::Rejected { token: x }));
    assert_eq!(c.accept(EOS), Err(ConstraintError::Rejected { token: EOS }));
    assert_eq!(c.accept(9999), Err(ConstraintError::Rejected { token: 9999 }));
    assert!(accepts_text(&mut *c, "ab"));
    assert!(c.is_complete());
    assert_eq!(c.mask().unwrap().iter().collect::<Vec<_>>(), [EOS]);
}

#[test]
fn forks_go_their_own_ways() {
    let mut first = bytes().compile(&Grammar::choice(["abc", "abd"])).unwrap().start();
    for b in *b"ab" {
        first.accept(b.into()).unwrap();
    }
    let mut second = first.fork();
    assert!(accepts_text(&mut *first, "c"));
    assert!(accepts_text(&mut *second, "d"));
}

#[test]
fn forced_runs_need_the_tokenizer() {
    let words = ["a", "b", "ab", "abab", "c", "<end>"]
        .iter()
        .enumerate()
        .map(|(i, w)| (w.as_bytes(), i == 5));
    let vocabulary = Vocabulary::new(words, &[5]).unwrap();
    let grammar = Grammar::Regex("ababab(a|c)".into());
    let without = GrammarCompiler::new(vocabulary.clone())
        .compile(&grammar)
        .unwrap();
    assert!(without.start().forced().is_empty());
    // Stands for a tokenizer that prefers "ab".
    let tokenize = |text: &[u8]| -> Vec<u32> {
        let mut tokens = vec![2; text.len() / 2];
        tokens.extend((text.len() % 2 == 1).then_some(0));
        tokens
    };
    let with = GrammarCompiler::new(vocabulary.with_tokenizer(std::sync::Arc::new(tokenize)));
    let mut c = with.compile(&grammar).unwrap().start();
    let forced = c.forced();
    assert!(!forced.is_empty() && forced.iter().all(|&t| t == 2), "{forced:?}");
    for token in forced {
        c.accept(token).unwrap();
    }
}

#[test]
fn the_sampler_keeps_to_its_constraint() {
    let compiled = bytes().compile(&Grammar::choice(["yes", "no"])).unwrap();
    let mut answers = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let params = SamplingParams::default().ignore_eos(true).min_tokens(9);
        let sampler = Sampler::new(&params, 300, &[], seed, 0).unwrap().with_eos(&[EOS]);
        let mut sampler = sampler.with_constraint(compiled.start());
        let mut answer = Vec::new();
        while !sampler.is_complete() {
            // The model's rows are padded past the vocabulary, as many are.
            answer.push(sampler.sample(&mut [0.0; 300]).unwrap().token as u8);
        }
        assert_eq!(sampler.sample(&mut [0.0; 300]).unwrap().token, EOS);
        answers.insert(String::from_utf8(answer).unwrap());
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["no", "yes"]);

    let greedy = SamplingParams::greedy();
    let mut sampler = Sampler::new(&greedy, 300, &[], 0, 0)
        .unwrap()
        .with_constraint(compiled.start());
    let mut fork = sampler.fork(1);
    let x = u32::from(b'x');
    assert_eq!(
        sampler.accept(x),
        Err(SampleError::Constraint(ConstraintError::Rejected { token: x }))
    );
    assert_eq!(sampler.position(), 0);
    sampler.accept(u32::from(b'n')).unwrap();
    assert_eq!(sampler.sample(&mut [0.0; 300]).unwrap().token, u32::from(b'o'));
    fork.accept(u32::from(b'y')).unwrap();
    assert_eq!(fork.sample(&mut [0.0; 300]).unwrap().token, u32::from(b'e'));
    let mut row = [f32::NEG_INFINITY; 300];
    row[0] = 1.0;
    assert_eq!(fork.sample(&mut row), Err(SampleError::NothingAllowed));
}

#[test]
fn control_characters_that_would_need_an_escape_are_refused() {
    for (schema, keyword, path) in [
        (json!({"const": "a\u{0}b"}), "const", ""),
        (json!({"items": {"enum": ["x", ["\u{7f}"]]}}), "enum", "/items"),
        (
            json!({"properties": {"p": {"type": "string", "pattern": "a[\\x0b]b"}}}),
            "pattern",
            "/properties/p",
        ),
        (
            json!({"patternProperties": {"a\u{1}": {}}}),
            "patternProperties",
            "",
        ),
    ] {
        assert_eq!(refusal(schema.clone()), (keyword.into(), path.into()), "{schema}");
    }
    let fine = json!({"type": "string", "pattern": "^[^\\x00-\\x1f]a\\n$"});
    check(
        &Grammar::strict_schema(fine),
        &[r#""xa\n""#],
        &[r#""xa""#, "\"\u{1}a\\n\""],
    );
    check(
        &Grammar::strict_schema(json!({"const": "a\tb"})),
        &[r#""a\tb""#],
        &[r#""ab""#, "\"a\tb\""],
    );
}

#[test]
fn the_same_name_twice_does_not_count_twice() {
    let least =
        |n: u64| json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": n});
    check(&Grammar::strict_schema(least(1)), &[r#"{"a":1}"#], &["{}"]);
    assert_eq!(refusal(least(2)), ("minProperties".into(), String::new()));
}

#[test]
fn numbers_that_the_engine_would_round_are_refused() {
    for (schema, keyword) in [
        (json!({"const": i64::MIN}), "const"),
        (json!({"enum": [1, [9_007_199_254_740_993i64]]}), "enum"),
        (
            json!({"type": "integer", "minimum": 9_007_199_254_740_993i64}),
            "minimum",
        ),
        (json!({"type": "integer", "maximum": i64::MIN}), "maximum"),
        (json!({"type": "integer", "const": -1e300}), "const"),
        (json!({"multipleOf": 1e300}), "multipleOf"),
    ] {
        assert_eq!(
            refusal(schema.clone()),
            (keyword.into(), String::new()),
            "{schema}"
        );
    }
    let in_lark = Grammar::Lark(format!("start: %json {{\"const\": {}}}", i64::MIN));
    assert!(matches!(
        bytes().compile(&in_lark),
        Err(GrammarError::Schema { .. })
    ));
    let int64 = json!({"type": "integer", "minimum": 0, "maximum": i64::MAX});
    check(
        &Grammar::strict_schema(int64),
        &["9223372036854775807"],
        &["9223372036854775808", "-1"],
    );
}

/// Chains of references as long as the limits allow: the engine recurses along them.
#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let mut definitions = serde_json::Map::new();
    for i in 0..3_300 {
        let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
        definitions.insert(
            format!("d{i}"),
            json!({"type": "object", "properties": {"a": next}}),
        );
    }
    definitions.insert("d3300".into(), json!({"type": "string"}));
    let schema = json!({"$defs": definitions, "$ref": "#/$defs/d0"});
    let lark: String = (0..7_000).map(|i| format!("T{i}: \"a\" T{}\n", i + 1)).collect();
    let lark = Grammar::Lark(format!("{lark}T7000: \"b\"\nstart: T0\n"));
    for grammar in [Grammar::strict_schema(schema), lark] {
        match bytes().compile(&grammar) {
            Ok(compiled) => assert!(!compiled.start().mask().unwrap().is_empty()),
            Err(GrammarError::TooSlow { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
}
