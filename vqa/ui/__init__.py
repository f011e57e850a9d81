"""The page: the only room that imports gradio. Each tab renders and binds; what it shows is made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqa.ui.services import Services

REQUESTS_AT_ONCE = 64
WAITING_AT_MOST = 256


@contextmanager
def show(services: Services) -> Iterator[str]:
    """Serves the page while the context lasts; yields its address.

    Raises:
        InputError: the binding is not allowed, or the port is taken.
    """
    from vqa.ui import theme, tour
    from vqa.ui.examples import questions
    from vqa.ui.page import build_ui
    from vqa.ui.public import forgetting, public_services
    from vqa.ui.web import frontend
    from vqa.ui.web.folder import KEEP_SECONDS, page_folder
    from vqa.ui.web.guard import check_port, launch_options
    from vqa.ui.web.patience import be_patient
    from vqa.ui.web.quiet import keep_events_out_of_the_log, look_less_often

    settings, visitors = services.settings, services.visitors
    settings.check_binding()
    check_port(settings)
    keep_events_out_of_the_log()
    be_patient()
    keep = 60 * settings.public_keep_minutes if settings.public else KEEP_SECONDS
    with page_folder(visitors if settings.public else None, seconds=keep), ExitStack() as ending:
        if settings.public:
            handed: Services = public_services(services)
            ending.enter_context(forgetting(services))
        else:
            handed = services
        demo = build_ui(handed)
        demo.queue(api_open=False, default_concurrency_limit=REQUESTS_AT_ONCE, max_size=WAITING_AT_MOST)
        look_less_often(demo)
        files = frontend.begins_with({block.get_block_name() for block in demo.blocks.values()})
        first = frontend.begins_with({each["type"] for each in demo.get_config_file()["components"]})
        head = theme.head(questions()) + tour.head() + frontend.named(files, first)
        _, address, _ = demo.launch(**launch_options(settings, visitors, head, files))
        try:
            yield address
        finally:
            services.downloads.close()
            demo.close(verbose=False)
