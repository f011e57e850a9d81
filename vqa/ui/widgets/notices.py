"""Turns what goes wrong in a handler into a message in the visitor's language; the traceback goes to the log alone."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from vqa.errors import VQAError
from vqa.markup import escape, html
from vqa.text import Language, t

log = logging.getLogger(__name__)


def warn(problem: Exception, lang: Language) -> None:
    """Shows what happened and what to do as a notice on the page of the running event."""
    if isinstance(problem, VQAError):
        words = html("{}<br><em>{}</em>", problem.message(lang), problem.hint(lang))
        gr.Warning(words, duration=12, title=t("ui.problem", lang))
        return
    log.error("a handler failed", exc_info=problem)
    gr.Warning(escape(t("ui.unexpected", lang)), duration=12, title=t("ui.problem", lang))


def safely(lang: Language) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a decorator for handlers of any kind: a problem becomes a notice, and every output stays as it was."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(handler):

            @functools.wraps(handler)
            async def stream(*args: Any, **kwargs: Any) -> Any:
                try:
                    async for update in handler(*args, **kwargs):
                        yield update
                except Exception as problem:
                    warn(problem, lang)
                    yield gr.skip()

            return stream
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def generate(*args: Any, **kwargs: Any) -> Any:
                try:
                    yield from handler(*args, **kwargs)
                except Exception as problem:
                    warn(problem, lang)
                    yield gr.skip()

            return generate
        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await handler(*args, **kwargs)
                except Exception as problem:
                    warn(problem, lang)
                    return gr.skip()

            return wait

        @functools.wraps(handler)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return handler(*args, **kwargs)
            except Exception as problem:
                warn(problem, lang)
                return gr.skip()

        return call

    return decorate
