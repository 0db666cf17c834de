"""Writes the golden texts of this folder with transformers, which renders chat templates with jinja2.

    python generate.py

For each NAME.jinja: NAME.json, a list of cases with their text or error. For the snippets below:
snippets.json, small templates that each exercise one thing that Python does.
"""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
# What strftime_now sees, so that the texts stay the same.
NOW = datetime.datetime(2026, 11, 22, 10, 30, 0)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city — \"now\" & <later>",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city's name"},
                    "days": {"type": "integer", "default": 1},
                    "units": {"type": "array", "items": {"type": "string", "enum": ["c", "f"]}},
                },
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "time", "description": "", "parameters": {"type": "object", "properties": {}}}},
]
USER = [{"role": "user", "content": "Hello, how are you?"}]
SYSTEM = [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  नमस्ते <b> & 'hi' \"there\" \n"}]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n2"},
    {"role": "user", "content": "And 2.5e-7 + 1e22?"},
    {"role": "assistant", "content": "About 1e22.", "reasoning_content": "Big plus small."},
    {"role": "user", "content": "Thanks"},
]
CALLS = [
    {"role": "user", "content": "Weather in Paris and Köln?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a1b2c3d4e", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}},
            {"id": "f5g6h7i8j", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "units": ["c"]}}},
        ],
    },
    {"role": "tool", "tool_call_id": "a1b2c3d4e", "name": "get_weather", "content": "{\"t\": 21.5}"},
    {"role": "tool", "tool_call_id": "f5g6h7i8j", "name": "get_weather", "content": "rain"},
]
PARTS = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is this?"}, {"type": "image"}, {"type": "text", "text": " Tell me."}],
    }
]
ALTERNATING_BROKEN = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
DOCUMENTS = [{"title": "Bread", "text": "Flour & water."}, {"title": "Salt", "text": "Sea."}]

CASES = [
    ("user", USER, None, True, {}),
    ("system", SYSTEM, None, True, {}),
    ("turns", TURNS, None, True, {}),
    ("no generation prompt", TURNS[:3], None, False, {}),
    ("tools", USER, TOOLS, True, {}),
    ("calls", CALLS, TOOLS, True, {}),
    ("parts", PARTS, None, True, {}),
    ("not alternating", ALTERNATING_BROKEN, None, True, {}),
    ("variables", TURNS[:4], None, True, {"enable_thinking": False, "reasoning_effort": "high", "level": 3, "name": "Ada"}),
    ("documents", USER, None, True, {"documents": DOCUMENTS}),
]

V = {
    "s": "Hello, World", "u": "नमस्ते Köln ß İ", "e": "", "w": " \t a  b c \n", "n": None, "t": True, "f": False,
    "i": 7, "neg": -7, "x": 2.5, "tiny": 1e-7, "huge": 1e22, "big": 12345678901234567890,
    "l": [3, 1, 2], "names": ["b", "A", "c"], "d": {"b": 1, "a": [1, {"k": None}], "items": "shadow"},
    "rows": [{"n": "x", "v": 1}, {"n": "y", "v": 0}, {"n": "z"}], "q": "it's \"q\" \\ \n\t\u00a0é\x07",
    "lines": "a\nb\r\nc\x0bd\n\ne", "csv": "a,b,,c",
}

SNIPPETS = r"""
{{ t }} {{ f }} {{ n }} {{ i }} {{ x }} {{ missing }}|
{{ tiny }} {{ huge }} {{ big }} {{ 1.0 }} {{ 100000.0 * 1000000000000 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789.123 }}
{{ l }} {{ d }} {{ names }} {{ [] }} {{ {} }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ [true, none, 1.5, 'a'] }}
{{ [q] }} {{ [u] }} {{ ["it's"] }} {{ ['"'] }} {{ [tiny, huge] }}
{{ q | tojson }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ d | tojson(indent=4, sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }}
{{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }} {{ [[], {}] | tojson(indent=1) }} {{ (1, 2) | tojson }}
{{ [tiny, huge, x, t, n, big, neg, 1.0] | tojson }} {{ {1: 2, none: 3, true: 4, 2.5: 5} | tojson }}
{{ missing | tojson }}
{{ [missing] | tojson }}
{{ rows | map(attribute='n') | tojson }}
{{ d.items() | tojson }}
{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | length }}
{{ rows | map(attribute='n') | list }} {{ rows | map(attribute='v', default=9) | list }} {{ rows | selectattr('v') | map(attribute='n') | join('+') }}
{{ rows | selectattr('v', 'defined') | list | length }} {{ rows | rejectattr('v', 'equalto', 1) | map(attribute='n') | list }}
{{ l | select('gt', 1) | list }} {{ l | reject('odd') | list }} {{ names | map('upper') | join(',') }} {{ names | map('replace', 'b', 'BB') | list }}
{{ rows | map(attribute='n') | length }}
{% set g = l | select %}{{ g | list }} {{ g | list }} {{ g is iterable }} {{ 'yes' if g else 'no' }}
{{ none | map('upper') | list }} {{ none | selectattr('x') | list }} {{ missing | select | list }}
{% for x in none %}{% endfor %}
{% for x in missing %}x{% else %}empty{% endfor %}
{% for x in 5 %}{% endfor %}
{% for k in d %}{{ k }} {% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}{% for c in 'añb' %}[{{ c }}]{% endfor %}
{% for k, v in d | dictsort %}{{ k }} {% endfor %}{% for k, v in d | items %}{{ k }} {% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('o', 'e') }} {% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in range(10, 0, -3) %}{{ x }} {% endfor %}{{ range(3) | list }} {{ range(2, 8, 2) | list }}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}
{% for x in l[::-1] %}{{ x }}{% endfor %} {{ l[1:] }} {{ l[:-1] }} {{ l[-2:] }} {{ l[::2] }} {{ l[5:] }} {{ l[-1] }} {{ l[0] }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[-5:] }} {{ s[::3] }} {{ u[2:5] }} {{ s[100:] }} {{ s[8:2:-2] }}
{{ l[9] }}|{{ d.zzz }}|{{ d['b'] }}|{{ d.a[1].k }}|{{ n.foo }}|{{ s.foo }}|{{ (1, 2)[1] }}
{{ missing.foo }}
{{ d.zzz.foo }}
{{ missing + 'x' }}
{{ 'x' + 1 }}
{{ 'x' ~ 1 ~ none ~ true ~ 1.5 ~ [1, 'a'] ~ missing }}
{{ 'a' + 'b' * 3 }} {{ 3 * 'ab' }} {{ [1] + [2] }} {{ [0] * 3 }} {{ (1,) + (2,) }} {{ 'a' * 0 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 % 2 }} {{ 7 - 10 }} {{ -i }}
{{ 1 + 2 * 3 % 2 - 1 }} {{ 10 - 4 % 3 * 2 }} {{ (i + 1) % 2 == 0 }} {{ i % 2 == 1 and not i % 3 }} {{ [i % 2, i % 3] }} {{ l[i % 3] }} {{ -7 % 2 ** 2 }} {{ i % 4 ~ 'x' }}
{{ '%s is %d and %.2f %5s|%-5s| %05d %x %%' % (s, i, x, 'a', 'b', 42, 255) }} {{ '%s' % s }} {{ '%s' % [1, 'a'] }} {{ 'a%sb' % i + 'c' }} {{ '%s-%s' | format(1, 2) }}
{{ '{} {1} {0}'.format(1, 2) }}
{{ '{:>5}|{:<5}|{:^5}|{:05.1f}|{:,}'.format(1, 2, 3, 4.25, 1234567) }}
{{ '{a} {b}'.format(a=1, b='x') }} {{ '{:.3f} {:d} {:x} {:e}'.format(x, i, 255, 12345.678) }}
{{ 5 % 0 }}
{{ 5 / 0 }}
{{ 'a' % 1 }}
{{ '%s' % () }}
{{ '%(a)s %(b)d%%' % {'a': 1, 'b': 2} }}
{{ '%s %s' % (1,) }}
{{ ['x' + ('a' if t else 'b') + 'y', '-' * (i - 3) + '>', (1 + i) * 2 % 5 + 1] }} {{ -i % 4 }} {{ 7 % 4 % 2 }} {{ {'k': i % 4, 'l': 'v%s' % i}['l'] }} {{ l[i % 3:] }} {{ s[i % 4:i - 1] }}
{% set ns = namespace() %}{% set ns.v = i % 4 %}{{ ns.v }}{% for x in range(i % 4) if x % 2 == 0 %}{{ x }}{% endfor %}{{ 'even' if i % 2 == 0 else 'odd' }}{{ m(i % 2) if m is defined }}{{ loop is defined }}
{{ s.upper() }} {{ s.lower() }} {{ 'hELLO wORLD'.title() }} {{ 'hELLO'.capitalize() }} {{ 'aBc'.swapcase() }} {{ u.upper() }} {{ "they're bill's".title() }}
[{{ w.strip() }}] [{{ w.lstrip() }}] [{{ w.rstrip() }}] {{ 'xxaxx'.strip('x') }} {{ 'abcba'.lstrip('ab') }} {{ 'abcba'.rstrip('ab') }} {{ '\n\na\n'.strip('\n') }}
{{ w.split() }} {{ csv.split(',') }} {{ csv.split(',', 1) }} {{ csv.split(',', maxsplit=2) }} {{ csv.rsplit(',', 1) }} {{ 'a b  c'.split(' ') }} {{ ' a b c '.split(None, 1) }} {{ ' a b c '.rsplit(None, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ csv.split(',')[-1] }}
{{ 'a'.split('') }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a</think>b</think>c'.split('</think>')[-1] }} {{ 'k=v=w'.partition('=') }} {{ 'k=v=w'.rpartition('=') }} {{ 'kv'.partition('=') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'abc'.replace('', '-') }} {{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('z') }} {{ s.index('W') }} {{ u.find('K') }} {{ s.count('l') }} {{ s.find('o', 5) }}
{{ s.index('z') }}
{{ s.startswith('Hell') }} {{ s.endswith('ld') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith(('x', 'y')) }} {{ s.startswith('World', 7) }} {{ 'abcabc'.removeprefix('abc') }} {{ 'abcabc'.removesuffix('abc') }}
{{ ', '.join(names) }} {{ ''.join([]) }} {{ '-'.join('abc') }}
{{ ', '.join([1]) }}
{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }}
{{ '123'.isdigit() }} {{ 'abc'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'ABC'.isupper() }} {{ 'abc'.islower() }} {{ ''.isdigit() }}
{{ s.nosuch() }}
{{ l.append(4) }}
{{ d.update({}) }}
{{ n.strip() }}
{{ missing.strip() }}
{{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d['items'] }} {{ d.get('items') }} {{ l.index(2) }} {{ l.count(1) }} {{ (1, 2, 1).count(1) }}
{{ i is number }} {{ x is float }} {{ i is integer }} {{ t is boolean }} {{ t is number }} {{ t is integer }} {{ s is string }} {{ l is sequence }} {{ d is mapping }} {{ d is sequence }} {{ s is sequence }} {{ s is iterable }} {{ n is iterable }} {{ d is iterable }} {{ i is iterable }} {{ missing is iterable }} {{ n is none }} {{ missing is none }} {{ missing is defined }} {{ n is defined }} {{ s is not defined }}
{{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 'a' is in 'abc' }} {{ 1 is eq 1 }} {{ 2 is gt 1 }} {{ t is true }} {{ 1 is true }} {{ f is false }} {{ s is upper }} {{ 'abc' is lower }} {{ n is sameas none }} {{ l is sameas l }} {{ range is callable }} {{ s is callable }}
{{ 'ell' in s }} {{ 'z' not in s }} {{ 3 in l }} {{ 'b' in d }} {{ none in [none] }} {{ 'x' in missing }} {{ missing in l }}
{{ 'a' in none }}
{{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' == 'a' }} {{ [1] == [1] }} {{ none == missing }} {{ missing == missing2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ not '' }} {{ not [] }} {{ not {} }} {{ not 0.0 }}
{{ '' or 'x' }} {{ 'a' and 'b' }} {{ 0 or none }} {{ [] and 1 }} {{ 'y' if t else 'n' }} {{ 'y' if f }}| {{ (1 if f else 2) + 3 }} {{ not f and t }}
{{ missing | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }} {{ n | default('d') }} {{ n | d('d', true) }} {{ d.zz | default('d') }}
{{ l | length }} {{ s | length }} {{ d | count }} {{ missing | length }} {{ u | length }} {{ l | first }} {{ l | last }} {{ [] | first }}| {{ s | first }} {{ s | last }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ l | sort }} {{ names | sort }} {{ names | sort(reverse=true) }} {{ rows | sort(attribute='n', reverse=true) | map(attribute='n') | list }} {{ [1, 1, 2] | unique | list }} {{ l | reverse | list }} {{ s | reverse }}
{{ none | length }}
{{ 5 | length }}
{{ s | upper }} {{ s | lower }} {{ s | title }} {{ 'hELLO' | capitalize }} {{ w | trim }} {{ 'xax' | trim('x') }} {{ s | replace('l', 'L') }} {{ s | replace('l', 'L', 1) }} {{ l | join }} {{ l | join(', ') }} {{ [none, true, 1.5] | join(' ') }} {{ rows | join(',', attribute='n') }} {{ i | string + 'x' }} {{ l | string }} {{ n | string }} {{ x | string }} {{ huge | string }} {{ 42 | upper }}
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ '3.5' | float }} {{ i | float }} {{ 3.14159 | round(2) }} {{ 3.7 | round }} {{ 2.5 | round }} {{ 3 | round }} {{ -5 | abs }} {{ 3.2 | round(0, 'ceil') }} {{ 3.7 | round(method='floor') }}
{{ 'a\nb\n\nc' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\nb' | indent(width=3, first=true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'abc' | list }} {{ d | list }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }}
{{ 'a b c' | wordcount }} {{ '<a>' | escape }} {{ '<a>' | e }} {{ '<b>' | safe }} {{ ('<b>' | safe) + '<c>' }} {{ '<c>' + ('<b>' | safe) }} {{ '<b>' | safe ~ '<c>' }} {{ ('<b>' | safe) + ('<d>' | safe) }} {{ '<i>' }}
{{ {'a': 1} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }} {% for g in rows | groupby('n') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}
{{ s | nosuch }}
{{ s is nosuch }}
{% if f %}{{ s | nosuch }}{% endif %}ok
{% set ns = namespace(a=1, b=[]) %}{% for x in l %}{% set ns.a = ns.a + x %}{% set ns.b = ns.b + [x] %}{% endfor %}{{ ns.a }} {{ ns.b }} {{ ns.zz }}|{{ ns.b | tojson }}
{% set x = 1 %}{% for y in l %}{% set x = x + y %}{% endfor %}{{ x }}{% if true %}{% set x = 5 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}{% set (d1, e1) = (3, 4) %}{{ d1 }}{{ e1 }}
{% set block %}a{{ i }}b{% endset %}[{{ block }}]{% set up | upper %}abc{% endset %}{{ up }}{{ block | length }}
{% macro m(a, b='x', c=none) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(1, c=3) }} {{ m() }}
{% macro m(a) %}[{{ a }}{{ caller() }}]{% endmacro %}{% call m(1) %}in{% endcall %}
{% macro down(k) %}{{ k }}{% if k > 0 %}{{ down(k - 1) }}{% endif %}{% endmacro %}{{ down(5) }}
{% macro f() %}{{ later }}{% endmacro %}{% set later = 'set' %}{{ f() }}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}|
{% filter upper %}abc{{ s }}{% endfilter %}
{% raw %}{{ not }} {% this %}{% endraw %}{# a comment {{ x }} #}done
{% generation %}{{ s }}{% endgeneration %}|{%- generation -%} a {%- endgeneration -%} |
{{ raise_exception('no ' ~ s) }}
{{ raise_exception(5) }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %d %B %b %A %a %j %y %I %p %%') }} {{ strftime_now('%-d/%-m') }} {{ strftime_now('%e') }}
{{ dict(a=1, b='x') }} {{ dict(a=1).items() | list }} {{ namespace(a=1).a }} {{ dict({'z': 1}, y=2) }}
{{ nosuch(1) }}
{{ s('x') }}
{{ 'a' 'b' }} {{ "\x41 \u00e9 \t| \\ \' \"" }} {{ 'line\nbreak' }} {{ 1_000 }} {{ 0x10 }} {{ 1e3 }} {{ 1.5e-3 }}
{{ true and True and not False and None is none }}
{% if d.b == 1 and (l | length) > 2 or missing %}A{% elif f %}B{% else %}C{% endif %}{% if not n %}D{% endif %}{{- ' x ' -}}  .
{% for m in [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}] %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}bad{% endif %}{{ m['role'] }}:{{ m.content | trim }};{% endfor %}
{% for m in rows %}{% if not loop.last %}{{ m.n }},{% else %}{{ m.n }}.{% endif %}{{ loop.changed(m.v) }}{% endfor %}
{{ rows[-1].n }} {{ rows[0]['n'] }} {{ rows | first | tojson }} {{ (rows | last).n }} {{ rows[:2] | map(attribute='n') | join }} {{ rows[1:] | tojson }} {{ rows[1:][0].n }} {{ rows | length - 1 }}
{{ d.items() | first }} {{ (d.items() | list)[0][1] }} {{ d | items | list | length }} {{ d.items() }}
{{ [1, 2, 3] | map('string') | join('') }} {{ ['a', 'b'] | map('length') | sum }} {{ [[1, 2], [3]] | sum(start=[]) }} {{ ['x'] * ('ab' | length) }}
{% set content = '<think>\na\n</think>\n\nb' %}{{ content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|{{ content.split('</think>')[-1].lstrip('\n') }}
{%- for x in [1, 2] -%}
   {{ x }}
{%- endfor %}
  {%+ if true %} kept {% endif %}
{{ x }}
{% set _ = 1 %}
   {% if true %}
line
   {% endif %}
{{ 'end' }}

""".strip("\n").split("\n")

# The last one spans lines: everything from this line on.
FIRST_OF_LAST = "{%- for x in [1, 2] -%}"


def outcome(template, messages, tools, add_generation_prompt, variables):
    variables = dict(variables)
    documents = variables.pop("documents", None)
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            [messages],
            tools=tools,
            documents=documents,
            chat_template=template,
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
        return {"rendered": rendered[0]}
    except Exception as error:
        return {"error": str(error)}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    for path in sorted(HERE.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        cases = []
        for name, messages, tools, prompt, variables in CASES:
            variables = {"bos_token": "<s>", "eos_token": "</s>", **variables}
            case = {"case": name, "messages": messages, "tools": tools, "add_generation_prompt": prompt, "variables": variables}
            cases.append(case | outcome(source, messages, tools, prompt, variables))
        write(path.with_suffix(".json"), cases)
    last = SNIPPETS.index(FIRST_OF_LAST)
    templates = SNIPPETS[:last] + ["\n".join(SNIPPETS[last:])]
    write(HERE / "snippets.json", [{"template": t, **outcome(t, [], None, False, V)} for t in templates])
    write(HERE / "variables.json", V)


if __name__ == "__main__":
    main()
