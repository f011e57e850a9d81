"""Reads the data sets that users have, by their shape; asks nothing."""

from vqa.evaluate.reading.columns import Columns, parse_columns
from vqa.evaluate.reading.dataset import Dataset, Reading, open_dataset, reading_from_record
from vqa.evaluate.reading.formats import FORMATS, Format
from vqa.evaluate.reading.pictures import load_source
from vqa.evaluate.reading.values import BadRow, PictureSource, Row, RowError

__all__ = [
    "FORMATS",
    "BadRow",
    "Columns",
    "Dataset",
    "Format",
    "PictureSource",
    "Reading",
    "Row",
    "RowError",
    "load_source",
    "open_dataset",
    "parse_columns",
    "reading_from_record",
]
