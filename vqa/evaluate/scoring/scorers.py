"""All scorers by name; which one a data set gets when nobody says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vqa.errors import InputError
from vqa.evaluate.reading.formats import Format
from vqa.evaluate.reading.values import Row
from vqa.evaluate.scoring.choice import LETTER, choice, pope
from vqa.evaluate.scoring.soft import vqa_official, vqa_plain
from vqa.evaluate.scoring.texts import anls, anls_inclusive, chartqa, contains, exact, normalized, numeric
from vqa.evaluate.scoring.values import Scorer

SCORERS = {
    scorer.name: scorer
    for scorer in (
        Scorer("exact", "1", "the answer to the character", exact),
        Scorer("normalized", "2", "case, punctuation, articles and number words do not count", normalized),
        Scorer("contains", "1", "an expected answer stands in the given one as whole words", contains),
        Scorer("vqa", "1", "arXiv 1505.00468, both sides always normalised", vqa_plain),
        Scorer("vqa_official", "1", "github.com/GT-Vision-Lab/VQA at a013f00, quirks included", vqa_official),
        Scorer("anls", "1", "arXiv 1907.00490, equation 1 (NL < 0.5)", anls),
        Scorer("anls_inclusive", "1", "similarity >= 0.5, as VLMEvalKit, lmms-eval and HF evaluate", anls_inclusive),
        Scorer("chartqa", "1", "relaxed accuracy of arXiv 2203.10244 as pix2struct computes it", chartqa),
        Scorer("numeric", "1", "the same number; numeric:0.05 allows 5%", numeric(0.0)),
        Scorer("choice", "2", "the option by its letter or text; never guessed", choice),
        Scorer("pope", "2", "arXiv 2305.10355, unclear answers apart", pope),
    )
}
TEN = 10


def find_scorer(name: str) -> Scorer:
    """Returns the scorer of that name; `numeric:0.05` sets a tolerance.

    Raises:
        InputError: there is none.
    """
    base, sign, value = name.partition(":")
    if base == "numeric" and sign:
        try:
            tolerance = float(value)
        except ValueError:
            tolerance = -1.0
        if not 0 <= tolerance <= 1:
            raise InputError("number_invalid", name="numeric:", value=value, least=0, most=1)
        return Scorer(f"numeric:{tolerance:g}", "1", SCORERS["numeric"].source, numeric(tolerance))
    if name not in SCORERS:
        raise InputError("choice_invalid", name="--scorer", value=name, known=", ".join(SCORERS))
    return SCORERS[name]


def default_scorer(form: Format, rows: Sequence[Row]) -> Scorer:
    """Returns the scorer of a format; where it does not tell, the one that the first rows' answers call for."""
    if form.name not in {"table", "llava", "swift", "evalscope"}:
        return SCORERS[form.scorer]
    if any(row.options for row in rows):
        return SCORERS["choice"]
    if rows and all(row.answers and all(map(LETTER.fullmatch, row.answers)) for row in rows):
        return SCORERS["choice"]
    if any(len(row.answers) == TEN for row in rows):
        return SCORERS["vqa"]
    return SCORERS[form.scorer]
