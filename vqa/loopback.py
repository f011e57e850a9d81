"""Names and addresses of this machine: what may be bound without a password, and what is asked without a proxy."""

from ipaddress import ip_address

HOST = "127.0.0.1"
"""Where servers of ours listen unless told otherwise."""
NAMES = (HOST, "localhost", "::1")
"""How a user usually writes this machine; `is_loopback` knows the other addresses too."""
ANY = ("0.0.0.0", "::")  # noqa: S104
"""Hosts to bind that mean every address of the machine, IPv4 and IPv6."""


def is_loopback(host: str) -> bool:
    """Returns whether a host name or address, without brackets and port, is reached on this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
