//! Typed input, errors, and the type itself.

use serde_json::json;

use super::super::*;
use crate::chat::{Role, ToolCall};

fn render(source: &str, messages: &[Message], tools: &[Tool]) -> Result<String, TemplateError> {
    let template = ChatTemplate::compile(source, TemplateTokens::default())?;
    let input = TemplateInput {
        messages,
        tools,
        documents: &[],
        add_generation_prompt: true,
        variables: &Map::new(),
    };
    Ok(template.render(&input)?.text)
}

#[test]
fn messages_look_as_hugging_face_has_them() {
    let mut call = Message::assistant("");
    call.content = None;
    call.reasoning = Some("hm".to_owned());
    let arguments = r#"{"b": 1.0, "a": ["ü"]}"#.to_owned();
    call.tool_calls = vec![
        ToolCall {
            id: "1".to_owned(),
            name: "f".to_owned(),
            arguments,
        },
        ToolCall {
            id: "2".to_owned(),
            name: "g".to_owned(),
            arguments: "not json".to_owned(),
        },
    ];
    let mut result = Message::new(Role::Tool, "done");
    result.tool_call_id = Some("1".to_owned());
    result.name = Some("f".to_owned());
    let messages = [Message::system("s"), call, result];
    let text = render(
        "{% for m in messages %}{{ m | tojson }}\n{% endfor %}{{ add_generation_prompt }}",
        &messages,
        &[],
    );
    let expected = [
        r#"{"role": "system", "content": "s"}"#,
        concat!(
            r#"{"role": "assistant", "thinking": "hm", "reasoning_content": "hm", "tool_calls": ["#,
            r#"{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"b": 1.0, "a": ["ü"]}}}, "#,
            r#"{"id": "2", "type": "function", "function": {"name": "g", "arguments": "not json"}}]}"#,
        ),
        r#"{"role": "tool", "name": "f", "content": "done", "tool_call_id": "1"}"#,
        "True",
    ];
    assert_eq!(text.unwrap(), expected.join("\n"));
}

#[test]
fn tools_look_as_hugging_face_has_them() {
    let parameters = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {}}});
    let tool = |description: Option<&str>| Tool {
        name: "f".to_owned(),
        description: description.map(str::to_owned),
        parameters: parameters.clone(),
    };
    let text = render("{{ tools | tojson }}", &[], &[tool(Some("does")), tool(None)]).unwrap();
    let parameters = r#""parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {}}}"#;
    let expected = format!(
        r#"[{{"type": "function", "function": {{"name": "f", "description": "does", {parameters}}}}}, {{"type": "function", "function": {{"name": "f", {parameters}}}}}]"#
    );
    assert_eq!(text, expected);
    assert_eq!(
        render(
            "{{ tools }} {{ documents is none }} {{ tools is defined }}",
            &[],
            &[]
        )
        .unwrap(),
        "None True True"
    );
}

#[test]
fn documents_and_variables_reach_the_template() {
    let source = "{{ documents[0].title }} {{ mode }} {{ bos_token }} {{ eos_token is defined }}";
    let tokens = TemplateTokens {
        bos_token: Some("<s>".to_owned()),
        ..TemplateTokens::default()
    };
    let template = ChatTemplate::compile(source, tokens).unwrap();
    let (documents, variables) = ([json!({"title": "T"})], json!({"mode": ["x", 1]}));
    let mut input = TemplateInput {
        messages: &[],
        tools: &[],
        documents: &documents,
        add_generation_prompt: false,
        variables: variables.as_object().unwrap(),
    };
    assert_eq!(template.render(&input).unwrap().text, "T ['x', 1] <s> False");
    let reserved = json!({"messages": []});
    input.variables = reserved.as_object().unwrap();
    assert!(
        matches!(template.render(&input), Err(TemplateError::Render(problem)) if problem.contains("messages"))
    );
}

#[test]
fn a_refusal_carries_its_text() {
    let direct = render("{{ raise_exception('No: ' ~ 1) }}", &[], &[]);
    assert!(matches!(direct, Err(TemplateError::Raised(text)) if text == "No: 1"));
    let nested = "{% macro f() %}{% for x in [1] %}{{ raise_exception('deep') }}{% endfor %}{% endmacro %}{% set y = f() %}";
    assert!(matches!(render(nested, &[], &[]), Err(TemplateError::Raised(text)) if text == "deep"));
}

#[test]
fn errors_name_the_line() {
    for (source, line) in [
        ("a\n{% if %}", "line 2"),
        ("\n\n{{ x", "line 3"),
        ("{% for x in y %}\n", "line 1"),
        ("{{ 'a }}", "line 1"),
        ("x\n{% endif %}", "line 2"),
        ("{% set a = 1 % %}", "line 1"),
        ("{{ a ? b }}", "line 1"),
        ("{% nosuchtag %}", "line 1"),
        ("\n{{ (((((1 }}", "line 2"),
        ("{{ ) }}", "line 1"),
        ("{% raw %}", "line 1"),
        ("{# never closed", ""),
    ] {
        match ChatTemplate::compile(source, TemplateTokens::default()) {
            Err(TemplateError::Compile(problem)) => assert!(problem.contains(line), "{source:?}: {problem}"),
            other => panic!("{source:?}: {other:?}"),
        }
    }
    for (source, line) in [
        ("\n{{ x.y }}", "line 2"),
        ("{% for x in 1\n%}{% endfor %}", "line 1"),
        ("\n\n{{ 1 // 0 }}", "line 3"),
    ] {
        match render(source, &[], &[]) {
            Err(TemplateError::Render(problem)) => assert!(problem.contains(line), "{source:?}: {problem}"),
            other => panic!("{source:?}: {other:?}"),
        }
    }
}

#[test]
fn input_that_nests_too_deeply_is_refused() {
    let nested = (0..500).fold(json!(1), |inner, _| json!([inner]));
    let variables = json!({"x": nested});
    let template = ChatTemplate::compile("{{ x }}", TemplateTokens::default()).unwrap();
    let refused = template.render_json(&json!([]), None, None, false, variables.as_object().unwrap());
    assert!(matches!(refused, Err(TemplateError::Render(_))));
    assert!(
        template
            .render_json(&json!({}), None, None, false, &Map::new())
            .is_err()
    );
    assert!(
        template
            .render_json(&json!([1]), None, None, false, &Map::new())
            .is_err()
    );
}

#[test]
fn a_template_is_shared_freely() {
    fn shared<T: Send + Sync + Clone + fmt::Debug + 'static>(_: &T) {}
    let template = ChatTemplate::compile("{{ messages[0].content }}", TemplateTokens::default()).unwrap();
    shared(&template);
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let template = template.clone();
            std::thread::spawn(move || {
                let messages = [Message::user(format!("m{index}"))];
                let variables = Map::new();
                let input = TemplateInput {
                    messages: &messages,
                    tools: &[],
                    documents: &[],
                    add_generation_prompt: false,
                    variables: &variables,
                };
                assert_eq!(template.render(&input).unwrap().text, format!("m{index}"));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(format!("{template:?}").contains("ChatTemplate"));
}
