"""Pictures in the page: the tray of a question, the box on a picture, the marks in an answer."""

MAX_PICTURES = 16
"""Pictures that one question may carry."""
