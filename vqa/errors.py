"""The errors a user can see; each knows what happened and what to do next, in both languages, and nothing else.

Texts live in `vqa/text/<language>/errors.json`: `<code>` says what happened and why, `<code>_hint` what to do.
"""

from vqa.text import Language, t


class VQAError(Exception):
    """Something a user should be told: `code` names its text, `values` fill the placeholders."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.values = values
        super().__init__(self.message())

    def message(self, language: Language = "en") -> str:
        """Returns what happened, in one or two sentences."""
        return t(f"errors.{self.code}", language, **self.values)

    def hint(self, language: Language = "en") -> str:
        """Returns what to do about it."""
        return t(f"errors.{self.code}_hint", language, **self.values)


class InputError(VQAError):
    """What the user gave cannot be used: an image, a question, a number, an address."""


class ServerError(VQAError):
    """The model server refused, failed, or could not be reached."""


class EngineError(VQAError):
    """The managed engine could not be started, stopped or controlled."""


class ModelError(VQAError):
    """A model could not be found, downloaded or verified."""


class UnforeseenError(VQAError):
    """A fault that nobody foresaw: of a file, a setting, a server, or of the program itself."""

    def __init__(self, problem: Exception) -> None:
        words = getattr(problem, "strerror", None) or str(problem) or "–"
        name = getattr(problem, "filename", None)
        told = " ".join(f"{words} ({name})".split() if name else words.split())[:300]
        super().__init__("unforeseen", kind=type(problem).__name__, reason=told)


class StoreError(VQAError):
    """A run or a conversation could not be read or written."""
