"""Says how right an answer is, by named rules; asks nobody."""

from vqa.evaluate.scoring.intervals import AccuracyInterval, accuracy_interval
from vqa.evaluate.scoring.scorers import SCORERS, default_scorer, find_scorer
from vqa.evaluate.scoring.values import Score, Scorer, Target

__all__ = [
    "SCORERS",
    "AccuracyInterval",
    "Score",
    "Scorer",
    "Target",
    "accuracy_interval",
    "default_scorer",
    "find_scorer",
]
