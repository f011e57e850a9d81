"""The determinism lab: are the answers identical, why not, and what makes them so.

from vqa.lab import repeat
found = repeat("photo.jpg", "What is this?", n=20, base_url="http://localhost:8000/v1")
print(found.sentence(), found.level, found.holds("bitwise"))
"""

from vqa.lab.api import Repeats, repeat, stream_samples
from vqa.lab.plan.arms import RunSpec
from vqa.lab.stats.agreement import Level, normalize_answer
from vqa.lab.stats.summarize import Summarizer, summarize, summarize_run

__all__ = [
    "Level",
    "Repeats",
    "RunSpec",
    "Summarizer",
    "normalize_answer",
    "repeat",
    "stream_samples",
    "summarize",
    "summarize_run",
]
