"""Whether a JSON value keeps to a JSON Schema, by the keywords that structured outputs are asked for with.

A schema may be a stranger's, so nothing of it is fetched, compiled or matched: patterns and formats are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

MOST_STEPS = 20_000  # after which nothing is said: a schema may refer to itself
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOT_JUDGED = frozenset(
    {"not", "if", "oneOf", "dependentRequired", "dependentSchemas", "patternProperties", "propertyNames", "contains",
     "prefixItems", "unevaluatedProperties", "unevaluatedItems", "uniqueItems", "multipleOf", "pattern", "dependencies"}
)  # fmt: skip


class Unjudged(Exception):
    """What the schema wants is not looked at here."""


def keeps_to(value: Any, schema: Any) -> bool | None:
    """Say whether *value* keeps to *schema*; None where the keywords that are read do not settle it.

    What is found wrong is wrong whatever other keywords want; what is found right is right only where all were read.
    """
    judge = _Judge(schema)
    try:
        wrong = judge.is_wrong(value, schema)
    except (Unjudged, RecursionError, TypeError, AttributeError):  # the last two: the schema is malformed
        return None
    return False if wrong else (None if judge.left_out else True)


class _Judge:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0
        self.left_out = False  # some keyword was not read

    def is_wrong(self, value: Any, schema: Any) -> bool:
        self._spend(1)
        if isinstance(schema, bool):
            return not schema
        if not isinstance(schema, dict):
            raise Unjudged
        if not _NOT_JUDGED.isdisjoint(schema):
            self.left_out = True
        return any(self._wrongs(value, schema))

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise Unjudged

    def _wrongs(self, value: Any, schema: dict[str, Any]) -> Iterator[bool]:
        if "$ref" in schema:
            yield self.is_wrong(value, self._referred(schema["$ref"]))
        if "type" in schema:
            wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            yield not any(_is_a(value, name) for name in wanted)
        if "const" in schema:
            yield not _same(value, schema["const"])
        if isinstance(schema.get("enum"), list):
            self._spend(len(schema["enum"]))
            yield not any(_same(value, one) for one in schema["enum"])
        for each in schema.get("allOf") or ():
            yield self.is_wrong(value, each)
        if isinstance(schema.get("anyOf"), list):
            yield self._none_of(value, schema["anyOf"])
        if isinstance(value, dict):
            yield from self._wrong_fields(value, schema)
        elif isinstance(value, list):
            yield _outside(len(value), schema, "minItems", "maxItems")
            if "items" in schema:
                yield any(self.is_wrong(one, schema["items"]) for one in value)
        elif isinstance(value, str):
            yield _outside(len(value), schema, "minLength", "maxLength")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield _outside(value, schema, "minimum", "maximum")
            low, high = _limits(schema, "exclusiveMinimum", "exclusiveMaximum")
            yield value <= low or value >= high

    def _none_of(self, value: Any, schemas: list[Any]) -> bool:
        before = self.left_out
        for each in schemas:
            self.left_out = before
            if not self.is_wrong(value, each):
                return False
        self.left_out = before
        return True

    def _wrong_fields(self, value: dict[str, Any], schema: dict[str, Any]) -> Iterator[bool]:
        known = schema.get("properties") or {}
        wanted = schema.get("required") or ()
        self._spend(len(wanted))
        yield any(name not in value for name in wanted)
        yield _outside(len(value), schema, "minProperties", "maxProperties")
        for name, one in value.items():
            if name in known:
                yield self.is_wrong(one, known[name])
            elif "additionalProperties" in schema and "patternProperties" not in schema:
                yield self.is_wrong(one, schema["additionalProperties"])

    def _referred(self, reference: Any) -> Any:
        """Return what a reference within the schema names."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Unjudged
        found = self._root
        for name in reference.removeprefix("#").strip("/").split("/") if len(reference) > 1 else ():
            key = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise Unjudged
            found = found[key]
        return found


def _is_a(value: Any, name: Any) -> bool:
    if name not in _TYPES:
        raise Unjudged
    if isinstance(value, bool):
        return bool(name == "boolean")
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _outside(number: float, schema: Mapping[str, Any], least: str, most: str) -> bool:
    low, high = _limits(schema, least, most)
    return number < low or number > high


def _limits(schema: Mapping[str, Any], least: str, most: str) -> tuple[float, float]:
    low: Any = schema.get(least)
    high: Any = schema.get(most)
    return float(low) if _is_a(low, "number") else -inf, float(high) if _is_a(high, "number") else inf
