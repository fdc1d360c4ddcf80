"""Whom to believe when a server says who it is: the system, or a given file."""

from __future__ import annotations

import ssl

import httpx

from pipeline.errors import SettingsError


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """
    Return what a connection is checked with: TLS 1.2 or newer, names and dates.

    Args:
        ca_bundle: PEM file of trusted authorities instead of the default ones.

    Raises:
        SettingsError: The file cannot be read or holds no certificate.
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
