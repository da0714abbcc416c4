"""A person as the provider's claims tell of them, and the role that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.domain.order import Actor, Role

MAX_NAME_CHARACTERS = 100


class LoginRefused(Exception):
    """Somebody may not come in, or the log-in broke off; the message says why, in words for that person."""


@dataclass(frozen=True, slots=True)
class RoleRules:
    """Which claims name a person and their role."""

    name_claims: tuple[str, ...]  # the first that is there
    role_claim: str  # a path: "realm_access.roles" is the claim "roles" within "realm_access"
    roles: Mapping[str, Role] = field(default_factory=dict)  # a value of the claim -> role
    default_role: Role | None = None  # of whom the claim says nothing of; None: they stay outside

    def person(self, claims: Mapping[str, object], issuer: str) -> Person:
        """Return whom *claims* tell of; raise `LoginRefused` where they give no role."""
        name = next((value for path in self.name_claims if (value := _text(at(claims, path)))), "")
        subject = _text(claims.get("sub"))
        role = self._role(at(claims, self.role_claim))
        if role is None:
            wanted = ", ".join(map(repr, self.roles)) or "a role by web.oidc.default_role"
            raise LoginRefused(
                f"{name or subject!r} is known, and has no role here: the claim {self.role_claim!r} names none of "
                f"{wanted}"
            )
        return Person(Actor(name or subject, role), f"{issuer} {subject}")

    def _role(self, claimed: object) -> Role | None:
        values = claimed if isinstance(claimed, list) else [claimed]
        given = {value for value in values if isinstance(value, str)}
        found = [role for value, role in self.roles.items() if value in given]
        if Role.OPERATOR in found:
            return Role.OPERATOR  # covers the others
        return found[0] if found else self.default_role


@dataclass(frozen=True, slots=True)
class Person:
    actor: Actor
    subject: str  # issuer and the provider's own id: names may change hands


def at(claims: Mapping[str, object], path: str) -> object:
    """Return the claim of that name, or the one at the end of the path of names; None where there is none."""
    if path in claims:
        return claims[path]  # a name may hold dots itself: "https://idp.example/roles"
    found: object = claims
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _text(value: object) -> str:
    """Return *value* as a name can be shown and kept; "" where it is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value if character.isprintable())[:MAX_NAME_CHARACTERS].strip()
