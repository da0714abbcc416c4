"""Labels as an attacker would send them, and what no medium may let through."""

from __future__ import annotations

import unicodedata

SCRIPT = "document.title='owned';window.owned=1"
LABELS: dict[str, str] = {
    "an element with an event": f'"><svg onload="{SCRIPT}">',
    "the end of a script": f"</script><script>{SCRIPT}</script>",
    "an image in single quotes": f"'><img src=x onerror={SCRIPT}>",
    "an entity": f"&lt;svg onload={SCRIPT}&gt;&#60;b&#62;",
    "the end of a comment": f"--><script>{SCRIPT}</script><!--",
    "rich markup that closes nothing": "[/b][red][link=javascript:1]x[/link] [bold",
    "terminal sequences": "\x1b[2J\x1b[H\x1b[31mred\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link",
    "C1 controls": "a\x9b31m\x9d0;t\x9c\x85b",
    "overrides of direction": "user\u202eliame\u202c \u2066x\u2069\u200fy",
    "characters of no width": "pro\u200bduct\u200d\u2060\ufeff\u00ad\U000e0041",
    "line ends": "one\ntwo\r\nthree\u2028four\u2029five\x0b\x0c\tsix",
    "quotes and backslashes": '"\'`\\"\\\\ \\',
    "templates": "{{ 7*7 }} {% raw %} ${7*7} {0.__class__} %s %n #{7*7}",
    "a metric's line": 'x"} 1\nmonitor_leader 1\nmonitor_traces_total{outcome="counted',
    "SQL": "'; drop table trace; --",
    "Markdown": "[click](javascript:alert(1)) ![i](http://evil.example/x.png) | a | <b>",
    "a formula": "=cmd|' /C calc'!A0",
    "a path": "../../../../etc/passwd\\..\\",
    "nothing but blanks": " \u3000\u00a0\u3164\u2800 ",
    "a very long one": "long" * 2_500,
}
UNSTORABLE: dict[str, str] = {  # PostgreSQL's text holds neither
    "NUL": "a\x00b",
    "lone surrogates": "a\ud800b\udfff",
}
MAX_NAME_CHARACTERS = 120  # names of models and cohorts are indexed


def names() -> list[str]:
    """Return the labels that can be stored, cut as a name is."""
    return [label[:MAX_NAME_CHARACTERS] for label in LABELS.values()]


def unseen(text: str) -> list[str]:
    """Return the characters of *text* that command a display or hide, line ends and plain blanks aside."""
    return [
        ascii(character)
        for character in text
        if character not in "\n " and (unicodedata.category(character)[0] in "CZ" or character in "\u3164\u2800")
    ]
