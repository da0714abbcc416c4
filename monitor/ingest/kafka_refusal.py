"""Why a broker, or this side, ended a connection before it was of use; and which setting to look at."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka.errors import (
    IllegalSaslStateError,
    InvalidReceiveError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

# OpenSSL's verify codes, X509_V_ERR_*.
NOT_YET_VALID, EXPIRED, HOST_MISMATCH, ADDRESS_MISMATCH = 9, 10, 62, 64
CUT_OFF, NO_HANDSHAKE = "socket disconnected", "Handshake failed"  # as kafka-python words it
# What a broker answers to a client's certificate, and to none; TLS 1.3 has a word of its own for none.
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "DECRYPT_ERROR")


@dataclass(frozen=True, slots=True)
class Refusal:
    message: str  # for the log and the operator; it names the setting
    plain: str  # for everybody
    is_certain: bool = True  # else another error that comes after it tells more


def explain(error: BaseException, config: Mapping[str, Any], address: str) -> Refusal | None:
    """Say what *error*, which ended a connection to *address*, means by kafka-python's options *config*.

    None where it is no refusal: a broker that is away, or slow.
    """
    protocol = f"kafka.security_protocol = {config['security_protocol']!r}"
    if isinstance(error, SaslAuthenticationFailedError):
        return Refusal(
            f"{address} refuses the user {config['sasl_plain_username']!r} by {config['sasl_mechanism']}: set"
            f" kafka.sasl_username and kafka.sasl_password to a user that the broker knows by this mechanism",
            "Kafka refuses the user or the password (kafka.sasl_username, kafka.sasl_password)",
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return Refusal(
            f"{address} takes no kafka.sasl_mechanism = {config['sasl_mechanism']!r}: set one that is enabled there"
            " (the broker's sasl.enabled.mechanisms)",
            "Kafka does not take this way of logging in (kafka.sasl_mechanism)",
        )
    if isinstance(error, IllegalSaslStateError):
        return Refusal(
            f"{address} logs nobody in, and {protocol}: use it without SASL_, or another listener's port",
            "this listener of Kafka logs nobody in (kafka.security_protocol)",
        )
    # kafka-python hands on what OpenSSL said as an argument, or as what it was busy with.
    told = (error, *error.args, error.__cause__, error.__context__)
    found = next((one for one in told if isinstance(one, ssl.SSLError)), None)
    if found is not None and not isinstance(found, ssl.SSLEOFError):  # which says only that the other side was gone
        return explain_tls(found, config, address)
    is_certain = isinstance(error, InvalidReceiveError)  # an answer that is not Kafka's, but TLS perhaps
    if is_certain or any(words in str(error) for words in (CUT_OFF, NO_HANDSHAKE)):
        does = "does not answer as Kafka does" if is_certain else "closes the connection without a word"
        return Refusal(f"{address} {does}, and {protocol}: {_OTHER_PORT}", _PROTOCOL, is_certain)
    return None


_OTHER_PORT = "is that what this port's listener speaks?"
_PROTOCOL = "Kafka's listener may speak another protocol (kafka.security_protocol)"


def explain_tls(error: ssl.SSLError, config: Mapping[str, Any], address: str) -> Refusal:
    """Say what OpenSSL found, or was told by the broker."""
    said = " ".join(str(error.args[-1]).split())
    if isinstance(error, ssl.SSLCertVerificationError):
        return explain_certificate(error.verify_code, config, address, said)
    alert = error.reason or ""
    if any(word in alert for word in CERTIFICATE_ALERTS):
        mine = config["ssl_certfile"]
        if mine is None:
            return Refusal(
                f"{address} wants a certificate of its clients: set kafka.ssl_certfile and kafka.ssl_keyfile ({said})",
                "Kafka wants a client's certificate (kafka.ssl_certfile)",
            )
        return Refusal(
            f"{address} refuses kafka.ssl_certfile = {str(mine)!r}: it has expired, or was not signed by an authority"
            f" that the broker trusts ({said})",
            "Kafka refuses this client's certificate (kafka.ssl_certfile)",
        )
    protocol = f"kafka.security_protocol = {config['security_protocol']!r}"
    return Refusal(f"{address} breaks off the TLS handshake, and {protocol}: {_OTHER_PORT} ({said})", _PROTOCOL)


def explain_certificate(code: int, config: Mapping[str, Any], address: str, said: str) -> Refusal:
    """Say what this side found wrong with the broker's certificate."""
    if code in {NOT_YET_VALID, EXPIRED}:
        when = "has expired" if code == EXPIRED else "is not valid yet"
        return Refusal(
            f"the certificate of {address} {when}: have it renewed there, and compare the clocks ({said})",
            f"the certificate of Kafka's broker {when}",
        )
    if code in {HOST_MISMATCH, ADDRESS_MISMATCH}:
        return Refusal(
            f"the certificate of {address} is for another host: name the broker in kafka.bootstrap_servers, and in its"
            " own advertised.listeners, as the certificate does. kafka.ssl_check_hostname = false goes without this"
            f" check ({said})",
            "the certificate of Kafka's broker is for another host (kafka.bootstrap_servers)",
        )
    mine = config["ssl_cafile"]
    trusted = "no authority that this system knows" if mine is None else f"no authority in kafka.ssl_cafile = {mine!r}"
    return Refusal(
        f"{trusted} has signed the certificate of {address}: set kafka.ssl_cafile to the certificate of the authority"
        f" that has ({said})",
        "the certificate of Kafka's broker is not to be trusted (kafka.ssl_cafile)",
    )
