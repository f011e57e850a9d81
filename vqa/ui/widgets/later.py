"""A part of the page that a browser is handed when it is wanted: its components, their layout and their events.

Gradio's script builds all components and looks through all events before anything can be typed, hidden or not. So the
inside of a tab is taken out of what the page begins with, and handed over as Gradio hands over what `gr.render` drew;
unlike that it is built once, for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Config = dict[str, Any]
"""As `gr.Blocks.get_config_file()` returns it, or a part of it in the form of a reply's `render_config`."""


def take_out(config: Config, container: int, drawing: int) -> Config:
    """Takes the inside of a container out of a page's config; returns it, to be drawn by the event `drawing`.

    With it goes every event that has a part in it, and what follows such an event. Those bound to the load of the page
    are run by the browser as soon as it is drawn. The drawing event comes along, without anything left to do, and the
    container, which stays.

    Raises:
        KeyError: there is no such container, or no such event.
    """
    place = _find(config["layout"], container)
    inside = set(_ids(place)) - {container}
    events = {each["id"]: each for each in config["dependencies"]}
    gone = {number for number, each in events.items() if number != drawing and _parts(each) & inside}
    while more := {number for number, each in events.items() if each["trigger_after"] in gone} - gone:
        gone |= more
    parts = [
        _drawn(each, config["dependencies"]) for each in config["components"] if each["id"] in inside | {container}
    ]
    part = {
        "layout": {"id": container, "children": place["children"]},
        "components": parts,
        "dependencies": [*(events[number] for number in gone), events[drawing] | {"backend_fn": False}],
        "render_id": container,
    }
    place["children"] = []
    config["components"] = [each for each in config["components"] if each["id"] not in inside]
    config["dependencies"] = [each for each in config["dependencies"] if each["id"] not in gone]
    for page in config["page"].values():
        page["components"] = [each for each in page["components"] if each not in inside]
        page["dependencies"] = [each for each in page["dependencies"] if each not in gone]
    return part


def _find(layout: Config, wanted: int) -> Config:
    waiting = [layout]
    while waiting:
        each = waiting.pop()
        if each["id"] == wanted:
            return each
        waiting += each.get("children", ())
    raise KeyError(wanted)


def _ids(layout: Config) -> Iterator[int]:
    yield layout["id"]
    for each in layout.get("children", ()):
        yield from _ids(each)


def _parts(event: Config) -> set[int]:
    """Returns the components that an event listens to, reads or fills."""
    return {target for target, _ in event["targets"]} | {*event["inputs"], *event["outputs"]}


def _drawn(component: Config, events: list[Config]) -> Config:
    """Returns a component with what Gradio's script finds out by itself only for those that the page begins with:
    whether somebody may change it, and which of its events are listened to.
    """
    own, props = component["id"], component["props"]
    heard = [name for each in events for target, name in each["targets"] if target == own]
    read = any(own in each["inputs"] for each in events)
    filled = any(own in each["outputs"] for each in events)
    changed = read or (not filled and not props.get("value"))
    return component | {"props": {"interactive": changed} | props | {"attached_events": heard}}
