"""What jinja2, set up as transformers sets it up, makes of templates that use one construct each.
    python make_jinja_cases.py OUT.json                     needs jinja2 3.1.6 and transformers 5
    python make_jinja_cases.py OUT.json --random COUNT SEED  templates put together at random, for T2D_JINJA_CASES
Each case is a template with what it gives for MESSAGES; null where it fails.
"""
import copy, json, random, sys
from transformers.utils.chat_template_utils import _cached_compile_jinja_template as compiled

MESSAGES = [
    {"role": "system", "content": "  Be brief.\n"}, {"role": "user", "content": "Hello, it's \"me\" & <b>Übel</b> ß"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi there"}, {"role": "user", "content": "\tWho\u00a0are you?\n\n1 2  3"},
]

# Each is put into {{ }}.
EXPRESSIONS = r"""
1 + 2 * 3 - 4
(1 + 2) * 3
7 // 2
-7 // 2
7 % -3
-7 % 3
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
(-1) ** 101
1.5 + 2
1e3
7.5 // 2
7.5 % 2
1 / 0
1 // 0
1 % 0
1_000
true + true
'a' + 'b' 'c'
'a' + 1
'a' ~ 1 ~ none ~ true ~ 1.5 ~ nothing
'ab' * 3
3 * 'ab'
'ab' * -1
[1, 2] + [3]
[1, [2, 'x']] ~ ''
{'a': 1, 'b': [true, none]} ~ ''
{'a': {'b': {}}}
['it\'s', "say \"x\"", 'both \' and "', 'tab\t', 'back\\slash', 'ü', '\u00a0', '\x07', '\u200b', '😀']
(1,)[0]
()|length
-1|abs
- 3 + 5
+5
-'a'
not 1
not not ''
1 if true
1 if false
(1 if false) is defined
1 if false else 2 if false else 3
1 or 2
0 or ''
0 and 2
1 and 2
1 < 2 < 3
1 < 3 < 2
1 == 1.0
1 == true
'1' == 1
none == false
nothing == nothing2
[1, 2] == [1, 2.0]
{'a': 1} == {'a': 1}
'a' < 'b'
'a' < 'B'
'ab' > 'a'
1 < 'a'
2 >= 2
2 <= 1
2 != 3
'ell' in 'Hello'
'' in 'a'
1 in [1, 2]
3 not in [1, 2]
'a' in {'a': 1}
1 in 'a'
'x' in nothing
none in [none]
not 'a' in 'abc'
nothing
nothing.x
nothing['x']
nothing + 'x'
nothing() 
none.x
none.x.y
messages[0].role
messages[0]['role']
messages[-1].content
messages[9]
messages[9].role
messages[0].nothing
messages[0].nothing.more
messages['role']
messages[0][0]
messages.0.role
'abc'[0]
'abc'[-1]
'abc'[5]
'abc'[1:]
'abc'[:-1]
'abc'[::-1]
'abcdef'[1:5:2]
'abcdef'[4:1:-1]
'abc'[10:]
'abc'[-10:2]
'abc'[:0]
[1, 2, 3][::-1]
[1, 2, 3][none:2]
[1, 2, 3][1:1]
[1, 2, 3, 4][-3:-1]
'abc'[::0]
messages[1:]|length
messages[::-1][0].role
messages|length
messages[1].content|length
nothing|length
none|length
5|length
{'a': 1}|length
{'a': 1}|tojson
{1: 'x', 2: 'y'}[1]
{1: 2}.get(1)
2 in {1: 2, 2: 3}
{1: 2} ~ ''
{1: 2}|tojson
{true: 2}[1]
{[]: 2}
messages[0][1:]
(messages|length)[1:]
nothing[1:]
[1, 2] * 2
0 * [1]
2.5 is odd
3.0 is odd
nothing|int
nothing|float
0|select|list
none|map('upper')|list
5|select|list
[[1]]|unique|list
'ß x'|title
'ß x'.title()
'ß'|capitalize
5|indent
'{} and {}'.format(1, 'b')
'{1}{0}'.format('a', 'b')
'{x}{{}}'.format(x=none)
'{}'.format()
'}'.format()
'{'.format()
'  x y '|trim
'xxhixx'|trim('x')
'  x '|trim|length
'hello World'|upper
'Hello WORLD'|lower
'straße'|upper
'hello wORLD'|capitalize
'hello wORLD-foo (bar'|title
'it\'s ok'.title()
'x1y'.title()
''|capitalize
'aXbX'|replace('X', 'yy')
'aXbX'|replace('X', 'y', 1)
'ab'|replace('', '-')
12|replace('1', 'x')
[1, 2, 3]|join
[1, 2, 3]|join(', ')
['a', none, true]|join('-')
messages|join(', ', attribute='role')
messages|map(attribute='role')|join(',')
messages|map(attribute='nothing', default='-')|join(',')
['a', 'b']|map('upper')|list
['a ', ' b']|map('trim')|join('|')
[1, 2]|map('nosuch')|list
messages|selectattr('role', 'equalto', 'user')|list|length
messages|selectattr('role', '==', 'user')|map(attribute='content')|list
messages|rejectattr('role', 'equalto', 'user')|map(attribute='role')|list
messages|selectattr('role', 'in', ['user', 'system'])|list|length
messages|selectattr('nothing')|list
messages|selectattr('nothing', 'defined')|list
messages|rejectattr('nothing')|list|length
[1, 0, 2, none]|select|list
[1, 2, 3]|select('odd')|list
[1, 2, 3]|reject('odd')|list
[1, 2, 3]|select('gt', 1)|list
['a', 'b']|reject('equalto', 'a')|list
'abc'|list
{'a': 1, 'b': 2}|list
{'b': 1, 'a': 2}|items|list|length
{'b': 1, 'a': 2}|dictsort|list|length
nothing|items|list
'abc'|first
'abc'|last
[]|first
[] | first is defined
[1, 2]|last
messages|first == messages[0]
nothing|default('x')
nothing|d('x')
''|default('x')
''|default('x', true)
none|default('x')
nothing.x|default('y')
nothing|default
'5'|int + 1
'x'|int
'x'|int(7)
'5.7'|int
5.7|int
none|int
'1.5'|float
3|float
'x'|float
[3, 1, 2]|sort
['b', 'A', 'c']|sort
['b', 'A', 'c']|sort(case_sensitive=true)
[3, 1, 2]|sort(reverse=true)
messages|sort(attribute='role')|map(attribute='role')|list
[1, 2, 1, 3]|unique|list
['a', 'A', 'b']|unique|list
[3, 1, 2]|min
[3, 1, 2]|max
['b', 'A']|max
[]|max
[1, 2, 3]|sum
messages|map(attribute='content')|map('length')|sum
[1, 2, 3]|reverse|list
'abc'|reverse
5|string + 'x'
none|string
messages[0]|string
'x'|safe
'x'|string|upper
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent(2, true, true)
'a\nb\n'|indent(2)
'a'|indent('> ')
2.5|round
3.5|round
-3|abs
'x'|nosuch
messages[0]|tojson
messages|tojson
messages[1:2]|tojson(indent=2)
{'a': [], 'b': {}, 'c': [1, {'d': none}]}|tojson(indent=4)
{'b': 1, 'a': 2}|tojson(sort_keys=true)
{'b': 1, 'a': 2}|tojson(separators=(',', ':'))
[1, 1.5, true, none, 'ü\n\t\x01"\\/', 1e100]|tojson
'x'|tojson
none|tojson
nothing|tojson
1 is defined
nothing is defined
nothing is not defined
nothing is undefined
none is none
nothing is none
0 is none
'' is string
1 is string
nothing is string
1 is number
true is number
1.5 is number
1 is integer
true is integer
1.5 is float
true is boolean
1 is boolean
true is true
1 is true
false is false
0 is false
[] is iterable
'a' is iterable
1 is iterable
nothing is iterable
{} is iterable
[] is sequence
'a' is sequence
{} is sequence
1 is sequence
nothing is sequence
{} is mapping
[] is mapping
messages[0] is mapping
3 is odd
3 is even
4 is divisibleby 2
4 is divisibleby(3)
'a' is in ['a']
'a' is in 'abc'
1 is eq 1
1 is ne 1
1 is equalto(2)
1 is lt 2
2 is ge 2
3 is greaterthan 2
none is sameas none
true is sameas true
1 is sameas true
'a' is lower
'A' is upper
'Ab' is lower
range is callable
nothing is callable
1 is nosuch
1 is not none and 2 is not none
not nothing is defined
'x' is string and not (1 is string)
' a b '.strip()
'xxaxx'.strip('x')
' a '.lstrip() + '|'
' a '.rstrip() + '|'
'\n\na'.lstrip('\n')
'abcabc'.lstrip('ab')
'a,b,,c'.split(',')
' a  b\tc '.split()
'a b c'.split(' ', 1)
'a b c'.split(none, 1)
'a b c d'.rsplit(' ', 1)
'a b c '.rsplit(none, 1)
'a b c'.rsplit()
'abc'.split('')
'a</think>b</think>c'.split('</think>')[-1]
'a</think>b'.split('</think>')|length
'x'.split('</think>')[0]
'a\nb\r\nc\rd\n'.splitlines()
''.splitlines()
'aaa'.replace('a', 'b', 2)
'aaaa'.replace('aa', 'b')
'abc'.replace('', '-')
'Hello'.startswith('He')
'Hello'.endswith('lo')
'Hello'.endswith('')
'Hello'.startswith(('x', 'H'))
'Hello'.startswith('Hello!')
'hello'.upper() + 'HeLLo'.lower()
'hELLO wORLD'.capitalize()
'abcabc'.find('c')
'abc'.find('x')
'abcabc'.rfind('c')
'ababa'.count('aba')
'abc'.count('')
'-'.join(['a', 'b'])
'-'.join([1])
'-'.join('abc')
'abcx'.removesuffix('x')
'xabc'.removeprefix('x')
'abc'.removeprefix('x')
'a=b=c'.partition('=')|list
'a=b=c'.rpartition('=')|list
'abc'.partition('=')|list
'12'.isdigit()
'1a'.isdigit()
''.isdigit()
'ab'.isalpha()
'a1'.isalnum()
' \n'.isspace()
'AB1'.isupper()
'ab'.islower()
'1'.islower()
'x'.nosuch()
messages[0].get('role')
messages[0].get('nothing')
messages[0].get('nothing', 'x')
messages[0].keys()|list
messages[0].values()|list
messages[0].items()|list|length
[1, 2, 1].index(2)
[1, 2, 1].count(1)
[1].index(5)
[1].append(2)
{}.update({})
range(3)|list
range(1, 4)|list
range(5, 0, -2)|list
range(0)|list
range(3, 1)|list
range(0, 3, 0)|list
dict(a=1, b=2)
dict({'a': 1}, b=2)
namespace(a=1).a
namespace(a=1).b is defined
namespace({'a': 5}).a
raise_exception('no')
'%s' | nosuch
'\x41\u00e9\101\q\
b'
"it's" + 'say "x"'
'a' if messages[0].role == 'system' else 'b'
messages[1].content.split(' ')[0][:-1]|upper
messages[2].content.split('</think>')[-1].lstrip('\n')
messages[2].content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
'</think>' in messages[2].content
messages[3].content|trim
messages[3].content.split()
messages[1].content|tojson
messages[1].content|string|replace('<', '[')
messages[0].content.strip() ~ '!' if messages[0].content else ''
(messages|length - 1) * 2
messages|length - 1 == 3
messages|length % 2 == 0
not messages[0].role == 'user'
messages[0]['role'] == 'user' or messages[0]['role'] == 'system'
[[1, 2], [3, 4]]|map('first')|list
[{'a': {'b': 1}}, {'a': {'b': 2}}]|map(attribute='a.b')|list
[[1, 2], [3, 4]]|map(attribute=0)|list
[['a', 1]]|map('join', '-')|list
tools is defined
tools is none
documents
add_generation_prompt
a b
1 +
)
(1
'a
[1, 2
{'a' 1}
x.
x[
1 is
x|
'a' 'b' ~ 'c'
not
5.upper()
""".strip("\n").replace("\\\nb", "\\\nb").split("\n")

TEMPLATES = r"""
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if not loop.last }} {% endfor %}
{% for m in messages %}{% for c in 'ab' %}{{ loop.depth }}{{ loop.depth0 }}{{ c }}{% endfor %}{{ loop.depth }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }} {% endfor %}
{% for m in messages if m.role == 'tool' %}x{% else %}none{% endfor %}
{% for m in nothing %}x{% else %}none{% endfor %}
{% for m in 5 %}x{% endfor %}
{% for m in none %}x{% endfor %}
{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in messages[0]|items %}{{ k }}={{ v }};{% endfor %}
{% for k in messages[0] %}{{ k }};{% endfor %}
{% for (a, b) in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for x in 1, 2, 3 %}{{ x }}{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% break %}
{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% set x = 1 %}{% for i in range(3) %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in range(3) %}{% set ns.x = ns.x * 2 %}{% endfor %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a = 'b' %}{{ ns.a }}{{ ns['a'] }}
{% set x = {} %}{% set x.a = 1 %}
{% set nothing.a = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = 'xy' %}{{ a }}{{ b }}
{% set a, b = 1 %}
{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x|length }}
{% set y = 1 %}{% set x %}{% set y = 2 %}{{ y }}{% endset %}{{ x }}{{ y }}
{% set x %}{% for i in range(3) %}{{ i }}{% endfor %}{% endset %}{{ x|int + 1 }}
{% if nothing %}a{% elif messages %}b{% else %}c{% endif %}
{% if false %}a{% elif false %}b{% else %}c{% endif %}
{% if false %}a{% endif %}x
{% if true %}{% set y = 5 %}{% endif %}{{ y }}
{% for i in [1] %}{% if true %}{% set y = 5 %}{% endif %}{{ y }}{% endfor %}{{ y }}
{% macro f(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(c=2) }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% set g = 'outer' %}{% macro f() %}{{ g }}{% endmacro %}{% set g = 'later' %}{{ f() }}
{% macro f() %}{% set z = 1 %}{% endmacro %}{{ f() }}{{ z }}
{% macro f(x) %}{% for i in x %}{{ loop.index }}{% endfor %}{% endmacro %}{% for m in messages %}{{ f('ab') }}{{ loop.index }}{% endfor %}
{% macro f(x) %}{{ x }}{% endmacro %}{{ f('a')|upper ~ f('b') }}{{ f is callable }}
{% macro f(x) -%}  {{ x }}  {%- endmacro %}{{ f('a') }}
{% generation %}{{ messages[0].role }}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}
{# a comment #}x{#- another -#}  y
{% raw %}{{ not run }}{% endraw %}z
{%- raw -%}  {% if %}  {%- endraw -%}  z
{{- 'a' -}}   {{- 'b' }}   {{ 'c' -}}   d
a   {%- if true -%}   b   {%- endif -%}   c
a   {%+ if true %}   b   {% endif +%}   c
{{ '}}' }}{{ "%}" }}{{ {'a': {'b': 1}} }}
{{ {'a': 1}['a'] }}{{ [1, 2][0] }}
{% set content = messages[1].content %}{% set content = content|trim %}{{ content }}
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}
{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no') }}{% endif %}{% endfor %}
{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' and not ns.found %}{% set ns.found = true %}{{ loop.index0 }}{% endif %}{% endfor %}
{% set last = messages|selectattr('role', 'equalto', 'user')|list|last %}{% for m in messages %}{{ m == last }}{% endfor %}
{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{{ index }}{{ m.role[0] }}{% endfor %}
{% if messages[0]['role'] == 'system' %}{% set messages = messages[1:] %}{% endif %}{{ messages|length }}
{% for m in messages %}{% if messages[0].role == 'system' %}{% set messages = messages[1:] %}{% endif %}{{ messages|length }}{% endfor %}
{% for x in 'aüb' %}{{ x }}-{% endfor %}
{% set a = [] %}{% for m in messages %}{% set a = a + [m.role] %}{% endfor %}{{ a }}
{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [m.role] %}{% endfor %}{{ ns.l|join(',') }}
{% nosuch %}
{% if %}{% endif %}
{% if 1 %}
{% endif %}
{% for %}{% endfor %}
{% for x in %}{% endfor %}
{% for x of y %}{% endfor %}
{% set %}
{% set 1 = 2 %}
{% else %}
{% if 1 %}{% else %}{% elif 2 %}{% endif %}
{{ 1
{% if 1
{# never closed
{{ }}
{% %}
{% endraw %}
{{ 'a' }
{{ 1 }} } }} %}
{ { x } }
{{ 'x' }}{{ '' }}{{ none }}{{ true }}{{ 0 }}{{ 1.0 }}{{ [] }}
{{ messages[0].content }}|{{ messages[3].content }}
{{ 'a' if false }}|{{ ('a' if false) ~ 'b' }}
{{ x.y.z }}
{{ [nothing]|join(',') }}|{{ [nothing]|length }}
{% set x = nothing %}{{ x is defined }}{{ x }}
{% set true = 1 %}
{% for loop in messages %}{% endfor %}
""".strip("\n").split("\n") + [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}\n  b\n  {% endif %}\nc\n\n", "  {% if true %}x{% endif %}  \n y", "x {% if true %}\n\ny{% endif %}",
    "{{ 1 }}\n{{ 2 }}\n", "  {{ 1 }}  \n  {{ 2 }}\n\n", "a {# c #}\nb\n  {# d #}\nc", "a\n\t{%- if true %}\n\t\tb\n\t{%- endif %}\n", "{% if true -%}\n\n  a\n{%- endif %}\n\nb",
    "{%- for m in messages %}\n    {{- m.role }}\n{%- endfor %}\n", "{% for m in messages -%}\n    {{ m.role }}\n{% endfor %}\n", "{% for m in messages %}\n  {% if loop.first %}\n    first\n  {% else %}\n    {{ m.role }}\n  {% endif %}\n{% endfor %}",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\rc\r\n", "{{ 'a\nb' }}\n\n", "{{ 'a\r\nb'|length }}", "{% raw %}\n  {{ x }}\n{% endraw %}\ny", "a {%+ if true +%}\n b{% endif %}\n", "   {%+ if true %}a{% endif %}", "\n\n", "\n", "", "x\n\n", "{{\n1\n+\n2\n}}", "{%\nif true\n%}\na{% endif %}",
    "{# a\nb #}\nc{# d #}  {% if true %}\n e{% endif %}", "{{ 'x' }}  {% if true %}\ny{% endif %}", "{{ 'x' }}\n  {% if true %}\ny{% endif %}", "{#-#}a", "  {#- x -#}  a", "  {# x #}  a", "{{+ 1 }}", "a\u00a0{% if true %}b{% endif %}", "\u00a0{% if true %}b{% endif %}",
]

def render(text):
    try: return compiled(text).render(messages=copy.deepcopy(MESSAGES), tools=None, documents=None, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
    except Exception: return None

def random_templates(count, seed):
    """Of small expressions, put into filters, methods, signs and statements."""
    rng = random.Random(seed); pick = rng.choice
    small = ["messages", "messages[0]", "messages[1].content", "messages[2]['content']", "messages[3].content", "'a b'", "'Xx\\n'", "''", "1", "0", "-2", "2.5",
             "true", "none", "nothing", "[]", "[3, 1, 2]", "['b', 'A']", "{'b': 1, 'a': none}", "'<think>'", "loop.index0", "loop.last", "m.role", "m.content", "m", "ns.x"]
    def filtered(e): return e + pick(["|trim", "|length", "|upper", "|lower", "|title", "|capitalize", "|list", "|first", "|last", "|join('-')", "|join", "|string", "|tojson",
        "|tojson(indent=2)", "|default('d')", "|default('d', true)", "|reverse|list", "|sort", "|unique|list", "|map('upper')|list", "|map(attribute='role')|list", "|int", "|float", "|abs",
        "|selectattr('role', 'equalto', 'user')|list", "|rejectattr('content')|list", "|replace('a', 'zz')", "|indent(3)", "|items|list|length", "|select|list", "|reject('string')|list", "|sum", "|min", "|upper"])
    def method(e): return e + pick([".strip()", ".split()", ".split('\\n')", ".split('a', 1)", ".rsplit(none, 1)", ".lstrip('\\n')", ".rstrip()", ".upper()", ".title()", ".startswith('a')", ".endswith('\\n')",
        ".replace('a', '')", ".get('role')", ".items()|list|length", ".keys()|list", ".splitlines()", ".find('e')", ".count('i')", ".partition('h')|list", "[0]", "[-1]", "[1:]", "[::-1]", "[:2]", "[5]", ".role", ".x", "['content']", ".isalpha()"])
    def test(e): return e + pick([" is defined", " is not defined", " is none", " is string", " is mapping", " is iterable", " is sequence", " is number", " is true", " is false", " is boolean", " is lower", " is in [1, 'a b']", " is eq 1", " is odd"])
    def grown(depth):
        if depth == 0: return pick(small)
        kind = rng.randrange(8)
        if kind == 0: return filtered("(" + grown(depth - 1) + ")")
        if kind == 1: return method("(" + grown(depth - 1) + ")")
        if kind == 2: return "(" + test(grown(depth - 1)) + ")"
        if kind == 3: return "(" + grown(depth - 1) + " " + pick(["+", "-", "*", "/", "//", "~", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]) + " " + grown(depth - 1) + ")"
        if kind == 4: return "(" + grown(depth - 1) + " if " + grown(depth - 1) + pick(["", " else " + grown(depth - 1)]) + ")"
        if kind == 5: return "[" + grown(depth - 1) + ", " + grown(depth - 1) + "]"
        if kind == 6: return pick(["not ", "-"]) + grown(depth - 1)
        return filtered(grown(depth - 1))
    def space(): return pick(["", "", " ", "\n", "\n  ", "  \n", "x"])
    def sign(): return pick(["", "", "-", "-", "+"])
    def block(word): return "{%" + sign() + " " + word + " " + pick(["", "", "-"]) + "%}"
    def output(depth): return "{{" + pick(["", "-"]) + " " + grown(depth) + " " + pick(["", "-"]) + "}}"
    def body(depth):
        parts = []
        for _ in range(rng.randrange(1, 4)):
            kind = rng.randrange(7) if depth else 0
            if kind <= 1: parts.append(output(rng.randrange(3)))
            elif kind == 2: parts.append(block("if " + grown(1)) + body(depth - 1) + pick(["", block("else") + body(depth - 1), block("elif " + grown(1)) + body(depth - 1)]) + block("endif"))
            elif kind == 3: parts.append(block("for m in " + pick(["messages", "messages[1:]", "messages[::-1]", "'ab'", "[]", grown(1)]) + pick(["", "", " if " + grown(1)])) + body(depth - 1) + pick(["", block("else") + "e"]) + block("endfor"))
            elif kind == 4: parts.append(block("set " + pick(["m", "ns.x", "x", "messages"]) + " = " + grown(1)))
            elif kind == 5: parts.append(block("set x") + body(depth - 1) + block("endset") + "{{ x }}")
            else: parts.append("{#" + pick(["", "-"]) + " c " + pick(["", "-"]) + "#}")
            parts.append(space())
        return space() + "".join(parts)
    return ["{% set ns = namespace(x=0) %}{% set m = messages[1] %}" + pick([body(3), body(2), "{{ " + grown(3) + " }}"]) for _ in range(count)]

if __name__ == "__main__":
    texts = ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES
    # Not what shows an address, nor a slice of a literal number, which Jinja folds into nothing where it fails otherwise.
    texts += [text for text in random_templates(200, 7) if "object at" not in (render(text) or "object at") and "(-0)[" not in text]
    if "--random" in sys.argv: texts = random_templates(int(sys.argv[3]), int(sys.argv[4]))
    cases = [[t, render(t)] for t in texts]
    with open(sys.argv[1], "w", encoding="utf8") as f:
        f.write('{"messages": ' + json.dumps(MESSAGES, ensure_ascii=False) + ',\n "cases": [\n' + ",\n".join("  " + json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases,", sum(c[1] is None for c in cases), "fail")
