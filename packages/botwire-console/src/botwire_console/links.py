"""Addresses of the console's views. Names go into the query, percent-encoded, so any name works."""

from __future__ import annotations

from urllib.parse import quote

ROOT = "/console"
"""The path at which the console is mounted."""


def link(view: str = "", **names: object) -> str:
    """Returns the address of a view, in ASCII.

    Args:
        view: The view, such as ``keys``; empty: the first page.
        names: The parameters, except those that are None or empty.
    """
    query = "&".join(
        f"{name}={encoded(str(value))}" for name, value in names.items() if value not in (None, "")
    )
    path = f"{ROOT}/{view}" if view else ROOT
    return f"{path}?{query}" if query else path


def encoded(name: str) -> str:
    """Returns a name percent-encoded, lone surrogates included, as one path segment."""
    return quote(name, safe="", errors="surrogatepass")


def is_ours(address: str) -> bool:
    """Returns whether an address is one of the console's own, relative to the server."""
    return address == ROOT or address.startswith((f"{ROOT}/", f"{ROOT}?"))
