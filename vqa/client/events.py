"""Reads server-sent events from blocks of bytes, as the WHATWG's specification says.

Read here rather than by httpx-sse or the OpenAI client: both go over every line as text, and their models of every
chunk cost more processor time than all the rest, which on a small machine is taken from the engine.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"
MAX_EVENT = 64 << 20
"""Bytes of one event at most; a stream that never ends its event would fill the memory."""
Event = tuple[bytes, bytes]
"""(type, data): the type is empty for a plain message; servers use `error` too."""


class EventReader:
    """Takes the blocks of one stream in order. Comments, ids and retry times are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False
        self._begun = False
        self._data: list[bytes] = []
        self._type = b""
        self._size = 0
        self.stray: list[bytes] = []
        """Lines that are no field of an event: the body of a server that does not stream."""

    def feed(self, block: bytes) -> list[Event]:
        """Returns the events that end in this block.

        Raises:
            ValueError: an event grew beyond `MAX_EVENT`.
        """
        if block and (b"\r" in block or self._after_return):
            if self._after_return and block.startswith(b"\n"):
                block = block[1:]
            self._after_return = block.endswith(b"\r")
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(block)
        if self._size > MAX_EVENT:
            raise ValueError(f"over {MAX_EVENT} bytes in one event")
        *lines, self._rest = (self._rest + block).split(b"\n")
        return self._lines(lines) if lines else []

    def end(self) -> list[Event]:
        """Returns what a stream that ended without a blank line still held; the specification drops it."""
        lines, self._rest = [*([self._rest] if self._rest else []), b""], b""
        return self._lines(lines)

    def _lines(self, lines: list[bytes]) -> list[Event]:
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM)
        found: list[Event] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line:
                self._field(line)
            else:
                if self._data:
                    found.append((self._type, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                    self._data = []
                self._type, self._size = b"", 0
        return found

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.removeprefix(b" ")
        elif name == b"error":  # no field of the specification, but what some servers send a fault as
            self._type = name
            self._data.append(value.removeprefix(b" "))
        elif name and name not in {b"id", b"retry"}:
            self.stray.append(line)
