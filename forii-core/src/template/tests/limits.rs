//! What templates must not be able to do, and what the caller's text must not become.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::*;

fn compile(source: &str) -> Result<ChatTemplate, TemplateError> {
    ChatTemplate::compile(source, TemplateTokens::default())
}

fn render(source: &str) -> Result<String, TemplateError> {
    let variables = json!({"text": "x".repeat(1000)});
    let template = compile(source)?;
    let prompt = template.render_json(&json!([]), None, None, false, variables.as_object().unwrap())?;
    Ok(prompt.text)
}

/// Fails within limits, on a thread with as little stack as a server might give it.
#[track_caller]
fn assert_stopped(source: &str) {
    let owned = source.to_owned();
    let started = Instant::now();
    let thread = std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || render(&owned).map(|text| text.len()));
    let result = thread.unwrap().join().unwrap();
    let shown: String = source.chars().take(100).collect();
    assert!(
        matches!(result, Err(TemplateError::Render(_))),
        "{shown}: {result:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{shown}: {:?}",
        started.elapsed()
    );
}

#[test]
fn endless_work_is_stopped() {
    for source in [
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='<') %}{% for i in range(99) %}{% set ns.s = (ns.s | safe) + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('a', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s.join(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s | replace('a', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=['ab']) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=['ab']) %}{% for i in range(99) %}{% set ns.s = ns.s * 2 %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s={}) %}{% for i in range(99) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] | select %}{% endfor %}",
        "{% set ns = namespace(s={}) %}{% for i in range(99999) %}{% set ns.s = {'a': ns.s} %}{% endfor %}",
        "{% set ns = namespace(s=()) %}{% for i in range(99999) %}{% set ns.s = (ns.s, 1) %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns ~ '' }}",
        "{% macro f(a, n) %}{% if n %}{{ f([a, a], n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f(a + a, n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f([1], 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f([a] * 2, n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f([1], 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f((a, a), n - 1) }}{% else %}{{ a | upper }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f({1: a, 2: a}, n - 1) }}{% else %}{{ a == 1 }}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f(dict(x=a, y=a), n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f(namespace(x=a, y=a), n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f([a, a] | sum(start=[]), n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f([1], 40) }}",
        "{% macro f(a, n) %}{% if n %}{{ f([a, a] | batch(1) | list, n - 1) }}{% else %}{{ a ~ '' }}{% endif %}{% endmacro %}{{ f([1], 40) }}",
        "{% for x in [[1]] recursive %}{% if loop.depth0 < 40 %}{{ loop([[x, x]]) }}{% else %}{{ x ~ '' }}{% endif %}{% endfor %}",
        "{% set a0 = [1] * 99 %}{% with a1=[a0,a0] %}{% with a2=[a1,a1] %}{% with a3=[a2,a2] %}{% with a4=[a3,a3] %}\
         {% with a5=[a4,a4,a4,a4] %}{% with a6=[a5,a5,a5,a5] %}{% with a7=[a6,a6,a6,a6,a6,a6,a6,a6] %}\
         {% with a8=[a7,a7,a7,a7,a7,a7,a7,a7] %}{% with a9=[a8,a8,a8,a8,a8,a8,a8,a8] %}{{ a9 ~ '' }}\
         {% endwith %}{% endwith %}{% endwith %}{% endwith %}{% endwith %}{% endwith %}{% endwith %}{% endwith %}{% endwith %}",
        "{{ 'a' * 10**9 }}",
        "{{ text * 10**6 }}",
        "{{ [1] * 10**7 | string }}",
        "{{ [0] * 99999999 }}",
        "{% set a = [0] * 99999999 %}",
        "{{ 'a'.ljust(10**12) }}",
        "{{ 'a'.zfill(10**12) }}",
        "{{ 'a'.center(10**12) }}",
        "{{ '%1000000000000d' % 1 }}",
        "{{ '%*d' % (1000000000000, 1) }}",
        "{{ '{:1000000000000}'.format(1) }}",
        "{{ '%.1000000000f' % 1.5 }}",
        "{{ '%1000000000000d' | format(1) }}",
        "{{ '\\t\\t'.expandtabs(10**12) }}",
        "{{ 'a' | indent(10**12) }}",
        "{{ 'a\nb' | indent(10**12) }}",
        "{{ {'a': 1} | tojson(indent=10**12) }}{{ 1 // 0 }}",
        "{{ [1, 2] | batch(10**12, 0) | list }}",
        "{{ [1, 2] | slice(10**12) | list }}",
        "{{ 1.5 | round(10**12) }}{{ 1 // 0 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(0, 10**18, 1) | list }}",
        "{{ 'a'.replace('', text).replace('', text).replace('', text) }}",
        "{{ text.join(text).join(text) }}",
        "{{ (text | list) | map('replace', 'x', text) | map('replace', 'x', text) | list }}",
        "{% for i in range(9999) %}{{ text }}{% endfor %}",
        "{% for i in range(99999) %}{% set x = text.split('x') %}{% endfor %}",
        "{% for i in range(99999) %}{{ text.count('x') }}{% endfor %}",
        "{% for i in range(99999) %}{{ text | tojson }}{% endfor %}",
        "{% for i in range(99999) %}{{ (text ~ i) in text }}{{ text | length }}{% endfor %}",
    ] {
        assert_stopped(source);
    }
}

#[test]
fn deep_nesting_does_not_compile() {
    let nested = |open: &str, middle: &str, close: &str| {
        format!("{}{middle}{}", open.repeat(10_000), close.repeat(10_000))
    };
    let sources = [
        format!("{{{{ {} }}}}", nested("(", "1", ")")),
        format!("{{{{ {} }}}}", nested("[", "", "]")),
        format!("{{{{ {} }}}}", nested("{1:", "1", "}")),
        format!("{{{{ {} }}}}", nested("f(", "", ")")),
        format!("{{{{ x{} }}}}", nested("[", "1", "]")),
        format!("{{{{ {} x }}}}", "not ".repeat(10_000)),
        format!("{{{{ {} x }}}}", "- ".repeat(10_000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " ** 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " % 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " ~ 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " < 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " and 1".repeat(10_000)),
        format!("{{{{ x{} }}}}", ".a".repeat(10_000)),
        format!("{{{{ x{} }}}}", "[0]".repeat(10_000)),
        format!("{{{{ x{} }}}}", "()".repeat(10_000)),
        format!("{{{{ x{} }}}}", "|e".repeat(10_000)),
        format!("{{{{ x{} }}}}", " is a".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " if x else 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " if x".repeat(10_000)),
        nested("{% if x %}", "", "{% endif %}"),
        nested("{% for x in y %}", "", "{% endfor %}"),
        nested("{% with %}", "", "{% endwith %}"),
        nested("{% generation %}", "", "{% endgeneration %}"),
        nested("{% filter upper %}", "", "{% endfilter %}"),
        nested("{% set x %}", "", "{% endset %}"),
        nested("{% macro f() %}", "", "{% endmacro %}"),
        format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(10_000)),
        format!(
            "{{% if x %}}{}{{% endif %}}",
            "{% elif x %}{% if y %}{% endif %}".repeat(10_000)
        ),
        format!("{{% set {} = 1 %}}", nested("(", "a", ")")),
        format!("{{% for {} in x %}}{{% endfor %}}", nested("(", "a", ")")),
        "x".repeat(2 << 20),
    ];
    for source in sources {
        let shown: String = source.chars().take(60).collect();
        let thread = std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || compile(&source));
        let result = thread.unwrap().join().unwrap();
        assert!(
            matches!(result, Err(TemplateError::Compile(_))),
            "{shown}: {result:?}"
        );
    }
}
