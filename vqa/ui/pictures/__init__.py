"""Pictures in the page: the tray of a question, the box on a picture, the marks in an answer."""

from vqa.media.several import MAX_PICTURES

__all__ = ["MAX_PICTURES"]
