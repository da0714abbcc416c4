"""Text that came from outside, made safe for the medium it leaves by.

Cohorts, policy models, ids and reasons are hostile until one of these functions
has seen them; each is called where its medium is written, and nowhere else.
"""

from __future__ import annotations

import html

CUT = "…"
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # Unicode calls them printable; nothing is seen
_MARKDOWN = frozenset("\\`*[]<>|&")
_JOINERS = frozenset("\u200c\u200d")  # Persian and emoji need them; beside ASCII they only hide a difference


def visible(text: str) -> str:
    r"""Return *text* on one line, with an escape for every character that cannot be seen.

    Those are control characters (C1 too), line ends, bidirectional overrides, zero-width
    characters and lone surrogates: whatever moves a cursor, turns a line round or hides.

    >>> print(visible("eu\x1b[2J\u202e"))
    eu\x1b[2J\u202e
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if _is_seen(text, place) else ascii(character)[1:-1] for place, character in enumerate(text)
    )


def for_terminal(text: str, *, limit: int | None = None) -> str:
    """Return *text* for one line of a terminal, cut to *limit* characters before they are escaped."""
    if limit is None or len(text) <= limit:
        return visible(text)
    return visible(text[:limit]) + CUT


def for_html(text: str) -> str:
    """Return *text* for the body, a quoted attribute, or a script's string of an HTML page."""
    return html.escape(visible(text))


def for_html_lines(text: str) -> str:
    """Return *text* for the body of an HTML page that keeps its line ends."""
    return "\n".join(for_html(line) for line in text.split("\n"))


def for_markdown(text: str) -> str:
    r"""Return *text* for one line of Markdown, a table's cell included: nothing of it is a link, code, a cell or HTML.

    >>> print(for_markdown("a|b <i> *c*"))
    a\|b \<i\> \*c\*
    """
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in visible(text))


def for_slack(text: str) -> str:
    """Return *text* for one line of Slack's mrkdwn: nothing of it is a link, a mention or a channel.

    >>> print(for_slack("<!channel> & <http://a.example|b>"))
    &lt;!channel&gt; &amp; &lt;http://a.example|b&gt;
    """
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def for_log(text: str) -> str:
    """Return *text* for a log that people read; its own line ends stay, as a traceback needs them."""
    return "\n".join(visible(line) for line in text.split("\n"))


def for_metric(text: str) -> str:
    """Return *text* as the value of a label, which UTF-8 must be able to hold."""
    return visible(text)


def _is_seen(text: str, place: int) -> bool:
    character = text[place]
    if character in _JOINERS:
        before, after = text[max(place - 1, 0) : place], text[place + 1 : place + 2]
        return not before.isascii() and not after.isascii()
    return character.isprintable() and character not in _BLANKS
