"""Whom a connection trusts: the authorities of the system, or those of one file."""

from __future__ import annotations

import ssl

import httpx

from pipeline.errors import SettingsError


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """
    Return how connections are protected: TLS 1.2 or newer.

    Args:
        ca_bundle: A PEM file in place of the authorities of the system.

    Raises:
        SettingsError: It cannot be read, or holds no certificate.
    """
    try:
        context = (
            httpx.create_ssl_context(trust_env=False)
            if ca_bundle is None
            else ssl.create_default_context(cafile=ca_bundle)
        )
    except OSError:
        raise SettingsError(
            "the CA bundle cannot be read or holds no PEM certificate; "
            "check the file that --ca-bundle names"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
