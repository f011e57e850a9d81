"""Data sets of image, question and answer: read, asked, scored, compared. Knows no page."""
