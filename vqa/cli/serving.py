"""The app: settings -> services -> page; Ctrl-C or SIGTERM ends it and, unless told otherwise, its engine."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack

from vqa.cli import show_error
from vqa.engine.opening import open_engine
from vqa.engine.state import Engine
from vqa.engine.vllm_args import learn_when_serving
from vqa.errors import VQAError
from vqa.garbage import not_searched
from vqa.lab.run.manager import RunManager
from vqa.lab.run.recorded import add_recorded
from vqa.media.runner import pool
from vqa.memory import share_memory_between_threads
from vqa.models.serve import fetch_for, start_configured
from vqa.settings import Settings, load_settings
from vqa.store import Store
from vqa.store.passing import open_store


def main() -> int:
    """Runs the app until it is told to end; returns its exit status."""
    share_memory_between_threads()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        settings = load_settings().for_visitors()
        settings.check_binding()
        with open_store(settings) as store:
            return serve(settings, store)
    except VQAError as problem:
        show_error(problem)
        return 2


def serve(settings: Settings, store: Store) -> int:
    """Opens the other rooms, starts the engine when settings say so, shows the page, and waits for the end."""
    ended = threading.Event()
    engine, runs = open_engine(settings, kind="page", preparer=fetch_for(settings)), RunManager(store, settings)

    def end(*_: object) -> None:
        if ended.is_set():
            engine.stop(force=True)  # the second signal: whoever sends it does not want to wait
        ended.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    try:
        if settings.auto_start:
            start_configured(engine, settings)
        learn_when_serving(settings, engine)
        show_page(settings, store, engine, runs, ended)
    finally:
        runs.close()
        engine.close(leave_running=settings.leave_engine)
    return 0


def show_page(settings: Settings, store: Store, engine: Engine, runs: RunManager, ended: threading.Event) -> None:
    """Shows the page until `ended`; gradio is imported here, so that the engine is already starting meanwhile."""
    with ExitStack() as shown:
        with not_searched(stays=True):
            from vqa.ui import show
            from vqa.ui.services import Services

            address = shown.enter_context(show(Services(settings, store, engine, runs)))
        threading.Thread(target=pool().warm, name="warm decoder", daemon=True).start()
        print(f"VQA Lab: {address}", flush=True)
        add_recorded(store, ended=ended.is_set)
        ended.wait()
