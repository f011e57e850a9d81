"""Asks data sets on the lab's runs and store: resumed, waited for, spread over servers."""

from vqa.evaluate.running.job import KIND, evaluate_work, spec_of
from vqa.evaluate.running.results import conclude, scored_rows, scorer_of
from vqa.evaluate.running.values import Asking, asking_from_record

__all__ = ["KIND", "Asking", "asking_from_record", "conclude", "evaluate_work", "scored_rows", "scorer_of", "spec_of"]
