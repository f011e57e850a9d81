"""A data set of image, question and answer rows: read, asked, scored, compared."""

from vqa.evaluate.running import (
    Evaluation,
    Result,
    Row,
    ask_rows,
    evaluate_work,
    evaluation_of,
    read_dataset,
    results_of,
)

__all__ = [
    "Evaluation",
    "Result",
    "Row",
    "ask_rows",
    "evaluate_work",
    "evaluation_of",
    "read_dataset",
    "results_of",
]
