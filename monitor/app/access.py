"""How people log in, from the settings."""

from __future__ import annotations

import ssl
from datetime import timedelta

from monitor.access.oidc import Client, OidcProvider
from monitor.access.person import RoleRules
from monitor.domain.order import Role
from monitor.errors import InvalidSetting
from monitor.settings.web import OidcSettings, WebSettings
from monitor.web.routes.access import Login


def login_of(web: WebSettings) -> Login | None:
    """Return the way people log in; None where the settings name no provider."""
    oidc = web.oidc
    if oidc.issuer is None or web.public_url is None:
        return None
    home = web.public_url.rstrip("/")
    secret = None if oidc.client_secret is None else oidc.client_secret.get_secret_value()
    client = Client(oidc.issuer, oidc.client_id, secret, oidc.scopes, f"{home}/login/callback")
    default = None if oidc.default_role is None else Role(oidc.default_role)
    roles = {value: Role(role) for value, role in oidc.roles.items()}
    rules = RoleRules(oidc.name_claims, oidc.role_claim, roles, default)
    lifetime = timedelta(hours=oidc.session_hours)
    return Login(OidcProvider(client, rules, tls=_trusting(oidc)), home, lifetime)


def _trusting(oidc: OidcSettings) -> ssl.SSLContext | None:
    if oidc.ca_file is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(oidc.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(f"web.oidc.ca_file = '{oidc.ca_file}': {error}; wanted certificates in PEM") from None
    return context
