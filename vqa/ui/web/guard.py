"""Who may reach the page and what a page may load: launch options, Host check, response headers."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vqa import loopback
from vqa.errors import InputError
from vqa.markup import Markup
from vqa.settings import PROJECT, Settings
from vqa.ui import theme
from vqa.ui.web import frontend
from vqa.ui.web.fair import SESSIONS, Fair
from vqa.ui.web.gate import MAX_PUBLIC_BODY, Gate
from vqa.ui.web.login import Door
from vqa.ui.web.middleware import DrawnOnce, FirstLanguage, PageHeaders
from vqa.ui.web.visitors import Visitors

SESSIONS_KEPT = 40
"""Browser tabs whose state is kept; every reload is a new one, and Gradio keeps about 1.8 MB of settings for each.

Those that were used longest ago go first: open tabs ask every few seconds, so they stay. In a public demo `fair`
chooses who goes, so that nobody's many tabs push out another's.
"""


def check_port(settings: Settings) -> None:
    """Looks whether the page's port is free, before anything is built.

    Raises:
        InputError: something listens there already.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as problem:
            raise InputError(
                "page_port_taken", host=settings.host, port=settings.port, reason=problem.strerror
            ) from problem


def launch_options(settings: Settings, visitors: Visitors, head: Markup, files: Sequence[str]) -> dict[str, Any]:
    """Returns the arguments of `Blocks.launch`: `head` goes first into <head>, the page begins with these `files`."""
    settings.check_binding()
    password = settings.auth and settings.auth.get_secret_value().partition(":")
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "auth": password and (password[0], password[2]),
        "share": False,
        "show_error": False,
        "strict_cors": True,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "quiet": True,
        "prevent_thread_lock": True,
        "max_file_size": settings.max_image_bytes,
        "allowed_paths": [],
        "blocked_paths": _blocked(settings),
        "app_kwargs": {
            "middleware": _middleware(settings, visitors, head, files),
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
        "theme": theme.theme(),
        "css": theme.css(),
        "i18n": theme.own_words(),
        "favicon_path": theme.icon(),
        "state_session_capacity": 2 * SESSIONS if settings.public else SESSIONS_KEPT,
    }


def _blocked(settings: Settings) -> list[str]:
    places = (settings.data_dir, settings.models_path, PROJECT / ".env", PROJECT / ".git")
    return [str(place.resolve()) for place in places]


def _middleware(settings: Settings, visitors: Visitors, head: Markup, files: Sequence[str]) -> list[Middleware]:
    found = [
        Middleware(PageHeaders, framed=settings.public),
        Middleware(FirstLanguage, configured=settings.language, head=head, rules=frontend.rules(files)),
    ]
    names = [name.strip() for name in settings.allowed_hosts.split(",") if name.strip()]
    if names or loopback.is_loopback(settings.host):
        # A page of another site that has rebound its name to 127.0.0.1 still sends its own name as Host.
        hosts = [*loopback.NAMES, "[::1]", settings.host, *names]
        found.append(Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False))
    # Last, so that what they refuse carries the headers too, and a foreign Host has been turned away before.
    found += [Middleware(Gate, settings=settings), Middleware(frontend.Frontend, files=files)]
    if settings.auth is not None:
        found.append(Middleware(Door))
    if settings.public:
        found.append(Middleware(Fair, visitors=visitors, most=MAX_PUBLIC_BODY))
    if settings.auth is None:  # with a password the login stands at the same address
        found.append(Middleware(DrawnOnce))
    return found
