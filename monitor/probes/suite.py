"""Suites: fixed questions of one kind, read from a user's file or from those that come along."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from monitor.domain.trace import Message
from monitor.errors import InvalidInput

_GZIP_MAGIC = b"\x1f\x8b"
_OPTION = re.compile(r"^[ \t]*\(([A-Z])\)[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LETTER = re.compile(r"\s*\(?([A-Z])\)?[.:]?\s*\Z")
_SAME_OPTIONS = "options-"
_ROLES = frozenset({"system", "user", "assistant"})
_SHOWN = 80  # characters of a value that an error tells


class SuiteKind(StrEnum):
    OVER_REFUSAL = "over_refusal"  # harmless questions that sound alarming
    HARMFUL = "harmful"  # requests that a safe assistant declines
    SYCOPHANCY = "sycophancy"  # one question with lettered options, under askers of several views
    CAPABILITY = "capability"  # questions with one right short answer


@dataclass(frozen=True, slots=True)
class Item:
    item_id: str
    messages: tuple[Message, ...]
    category: str
    twin: str | None = None  # items of one twin are compared, and drawn, together
    wanted: str | None = None  # the exact answer; for sycophancy the letter of the option that the asker's view favours

    @property
    def options(self) -> Mapping[str, str]:
        """The lettered options of the question, by letter."""
        return dict(_OPTION.findall(self.messages[-1].content))

    @property
    def favoured(self) -> str | None:
        """The text of the option that the asker's view favours; None where it favours none."""
        return self.options.get(self.wanted or "")


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    kind: SuiteKind
    items: tuple[Item, ...]  # each id once
    sha256: str  # of the file's content, unpacked

    def by_id(self) -> Mapping[str, Item]:
        return {item.item_id: item for item in self.items}

    def drawn_together(self) -> tuple[tuple[Item, ...], ...]:
        """Return the items in groups: those of one twin, and every other item alone."""
        groups: dict[tuple[str, str], list[Item]] = {}
        for item in self.items:
            key = ("item", item.item_id) if item.twin is None else ("twin", item.twin)
            groups.setdefault(key, []).append(item)
        return tuple(tuple(group) for group in groups.values())


PACKAGED: Mapping[str, Path] = {
    kind.value: Path(__file__).parent / "suites" / f"{kind.value}.jsonl" for kind in SuiteKind
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a file, and where it stands, for the errors."""

    place: str
    fields: Mapping[str, Any]

    def wrong(self, field: str, wanted: str) -> InvalidInput:
        found = f"{self.fields[field]!r:.{_SHOWN}}" if field in self.fields else "missing"
        return InvalidInput(f"{self.place}: {field} = {found}: wanted {wanted}")

    def text(self, field: str, default: str | None = None) -> str:
        """Return the text of *field*; an error where it is not one that can be stored and shown."""
        value = self.fields.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip() or "\x00" in value:
            raise self.wrong(field, "a text that is not blank")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.wrong(field, "a text without lone surrogates") from None
        return value


def read_suite(path: Path, name: str) -> Suite:
    """Return the suite in *path*: our JSON lines, XSTest's CSV or Anthropic's evals; gzip is unpacked.

    Of XSTest's rows a suite named `harmful` or `...unsafe...` takes the unsafe ones, any other
    the safe ones. Raises `InvalidInput` that names file, line, field, value and what was wanted.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidInput(f"{path}: the suite {name!r} cannot be read: {error}") from None
    rows = iter(_json_rows(path, text) if text.lstrip().startswith("{") else _csv_rows(path, text))
    items: dict[str, Item] = {}
    kinds: dict[SuiteKind, str] = {}
    header: Mapping[str, Any] = {}
    for row in rows:
        if not items and not header and not {"prompt", "messages", "question"} & row.fields.keys():
            _kind_of(row, header, name)
            header = row.fields
            continue
        kind = _kind_of(row, header, name)
        kinds.setdefault(kind, row.place)
        item = _read_item(row, kind, name)
        if item is None:
            continue
        if item.item_id in items:
            raise InvalidInput(f"{row.place}: id = {item.item_id!r}: wanted an id that no row above has")
        items[item.item_id] = item
    if len(kinds) > 1:
        raise InvalidInput(f"{list(kinds.values())[1]}: kind = {list(kinds)[1].value!r}: wanted one kind in a file")
    if not items:
        raise InvalidInput(f"{path}: the suite {name!r} has no items: wanted one or more")
    return Suite(name, next(iter(kinds)), _paired(items.values()), sha256(content).hexdigest())


def _paired(items: Iterable[Item]) -> tuple[Item, ...]:
    """Make twins of the rows of Anthropic's evals: one of each view, in the order they came; the rest stays alone."""
    seen: Counter[tuple[str | None, str]] = Counter()
    named: list[Item] = []
    for item in items:
        if item.twin is None or not item.twin.startswith(_SAME_OPTIONS):
            named.append(item)
            continue
        view = item.twin, (item.favoured or "").casefold()
        seen[view] += 1
        named.append(replace(item, twin=f"{item.twin}-{seen[view]}"))
    sizes = Counter(item.twin for item in named)
    alone = {twin for twin, size in sizes.items() if size == 1 and twin and twin.startswith(_SAME_OPTIONS)}
    return tuple(replace(item, twin=None) if item.twin in alone else item for item in named)


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path}:{number}: {line[:_SHOWN]!r}: wanted one JSON object a line ({error})") from None
        if not isinstance(fields, dict):
            raise InvalidInput(f"{path}:{number}: {line[:_SHOWN]!r}: wanted a JSON object")
        yield _Row(f"{path}:{number}", fields)


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    missing = {"prompt", "type"} - set(reader.fieldnames or ())
    if missing:
        wanted = "XSTest's columns id, prompt, type, label, focus, note; or JSON lines"
        raise InvalidInput(f"{path}:1: header = {reader.fieldnames!r:.{_SHOWN}}: wanted {wanted}")
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InvalidInput(f"{path}:{reader.line_num}: wanted a row of CSV ({error})") from None
        if fields is None:
            return
        place = f"{path}:{reader.line_num}"
        if None in fields or None in fields.values():
            raise InvalidInput(f"{place}: wanted {len(reader.fieldnames or ())} columns, as the header has")
        yield _Row(place, fields)


def _kind_of(row: _Row, header: Mapping[str, Any], name: str) -> SuiteKind:
    if "question" in row.fields:
        return SuiteKind.SYCOPHANCY
    if "type" in row.fields:
        return SuiteKind.HARMFUL if _takes_unsafe(name) else SuiteKind.OVER_REFUSAL
    kind = row.fields.get("kind", header.get("kind", name))
    if kind not in {known.value for known in SuiteKind}:
        raise row.wrong("kind", f"one of {', '.join(SuiteKind)}, in each row or in the first line")
    return SuiteKind(kind)


def _takes_unsafe(name: str) -> bool:
    return "harmful" in name or "unsafe" in name


def _read_item(row: _Row, kind: SuiteKind, name: str) -> Item | None:
    """Return the row's item; None for a row of XSTest that belongs to the other suite."""
    if "question" in row.fields:
        return _anthropic(row)
    if "type" not in row.fields:
        return _own(row, kind)
    if _is_unsafe(row) != _takes_unsafe(name):
        return None
    prompt = row.text("prompt")
    return Item(_identity(row, prompt), (Message("user", prompt),), row.text("type", kind.value).strip())


def _own(row: _Row, kind: SuiteKind) -> Item:
    messages = _messages(row) if "messages" in row.fields else (Message("user", row.text("prompt")),)
    twin = row.text("twin") if row.fields.get("twin") is not None else None
    item = Item(_identity(row, *(m.content for m in messages)), messages, row.text("category", kind.value), twin)
    if kind is SuiteKind.SYCOPHANCY:
        return replace(item, wanted=_favoured(row, "wanted", item))
    return replace(item, wanted=row.text("wanted").strip()) if kind is SuiteKind.CAPABILITY else item


def _messages(row: _Row) -> tuple[Message, ...]:
    given = row.fields["messages"]
    wanted = "a list of {role, content}, with role one of system, user and assistant, that ends with the user's"
    if not isinstance(given, list) or not given or not all(isinstance(message, dict) for message in given):
        raise row.wrong("messages", wanted)
    if any(message.get("role") not in _ROLES for message in given) or given[-1]["role"] != "user":
        raise row.wrong("messages", wanted)
    return tuple(
        Message(message["role"], _Row(f"{row.place}: messages[{index}]", message).text("content"))
        for index, message in enumerate(given)
    )


def _is_unsafe(row: _Row) -> bool:
    label = row.fields.get("label")
    if label is None:  # XSTest's first edition has none
        return row.text("type").startswith("contrast_")
    if label not in {"safe", "unsafe"}:
        raise row.wrong("label", "safe or unsafe")
    return bool(label == "unsafe")


def _anthropic(row: _Row) -> Item:
    """Return the item of one row of Anthropic's evals, with a twin that all questions of its options share."""
    field = "answer_matching_behavior"
    question = row.text("question")
    found = Item(_identity(row, question), (Message("user", question),), row.text("category", "sycophancy"))
    asked = sorted(text.casefold() for text in found.options.values())
    digest = sha256("\n".join(asked).encode()).hexdigest()[:16]
    return replace(found, twin=f"{_SAME_OPTIONS}{digest}", wanted=_favoured(row, field, found))


def _favoured(row: _Row, field: str, item: Item) -> str:
    """Return the letter that *field* names among the options of *item*."""
    letters = item.options
    if len(letters) < 2:
        name = next(name for name in ("question", "messages", "prompt") if name in row.fields)
        raise row.wrong(name, "two or more options in lines of their own, as in '(A) yes'")
    letter = _LETTER.match(row.text(field))
    if letter is None or letter.group(1) not in letters:
        raise row.wrong(field, f"one of the letters {', '.join(f'({name})' for name in letters)}")
    return letter.group(1)


def _identity(row: _Row, *texts: str) -> str:
    """Return the row's id; where it has none, one made of what is asked."""
    given = row.fields.get("id")
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if given is not None:
        return row.text("id").strip()
    return sha256("\n".join(texts).encode()).hexdigest()[:16]
