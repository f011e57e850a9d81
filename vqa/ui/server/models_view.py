"""The models on this machine and those of the catalog, as HTML and as choices; whether they fit."""

from __future__ import annotations

from vqa.engine.machine import Machine
from vqa.markup import Markup, html, joined
from vqa.models.catalog import CATALOG, CatalogEntry, Fit, FitVerdict, find, fits
from vqa.models.downloads import DownloadJob
from vqa.models.ids import HUB_NAMES
from vqa.models.local import LocalModel, LocalState, list_local
from vqa.models.progress import DownloadState
from vqa.settings import Settings
from vqa.text import Language, t
from vqa.ui.server.server_views import duration
from vqa.ui.text import words
from vqa.ui.widgets.parts import Tone, badge, error_card, progress

FIT_TONES: dict[Fit, Tone] = {Fit.YES: "good", Fit.TIGHT: "warn", Fit.NO: "bad"}
STATE_TONES: dict[LocalState, Tone] = {LocalState.INCOMPLETE: "warn"}
GB = 1e9
OFFERED = 5
"""Models of the catalog that stand there at once; the others are folded."""
SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button) trigger('click', {act: button.dataset.do, model: button.dataset.model});
});
"""
"""Tells the server which button of which model was pressed; bound to the root, so that it survives every redraw."""


def choices(settings: Settings, lang: Language) -> list[tuple[str, str]]:
    """Returns (label, value) of every model that can be chosen: those on this machine first, then the catalog."""
    local = list_local(settings)
    here = [(f"{model.id} · {t(f'server.local_{model.state.value}', lang)}", _value(model)) for model in local]
    known = {model.id for model in local}
    rest = [(f"{entry.id} · {entry.bytes_on_disk / GB:.1f} GB", entry.id) for entry in CATALOG if entry.id not in known]
    return here + rest


def _value(model: LocalModel) -> str:
    return str(model.path) if model.state is LocalState.OWN else model.id


def models_html(settings: Settings, lang: Language) -> Markup:
    """Returns a card for each model: what it takes, whether it runs here and why not, and what can be done with it."""
    tr, machine = words(lang), Machine.load(settings)
    local = {model.id: model for model in list_local(settings)}
    cards = [_local_card(model, machine, settings, lang) for model in local.values()]
    rest = [(entry, fits(entry, machine)) for entry in CATALOG if entry.id not in local]
    first = [entry for entry, verdict in rest if verdict.fit is Fit.YES][:OFFERED]
    cards += [_catalog_card(entry, verdict, lang) for entry, verdict in rest if entry in first]
    more = [_catalog_card(entry, verdict, lang) for entry, verdict in rest if entry not in first]
    device = ", ".join(gpu.name for gpu in machine.gpus) or "CPU"
    about = tr("server.machine", device=device, free=f"{machine.memory_free / GB:.1f}")
    return html(
        '<p>{}</p><div class="vqa-models"><div>{}</div><details class="more"><summary>{}</summary>'
        "<div>{}</div></details></div>",
        about, joined(cards), tr("server.more_models", n=len(more)), joined(more),
    )  # fmt: skip


def _catalog_card(entry: CatalogEntry, verdict: FitVerdict, lang: Language) -> Markup:
    facts = (f"{entry.bytes_on_disk / GB:.2f} GB", entry.licence)
    acts = _act("download", entry.id, t("server.get", lang))
    return _card(entry.id, facts, Markup(), _note(entry, lang), verdict, acts, lang)


def _local_card(model: LocalModel, machine: Machine, settings: Settings, lang: Language) -> Markup:
    entry = find(model.id)
    state = badge(t(f"server.local_{model.state.value}", lang), STATE_TONES.get(model.state, "good"))
    if model.problem is not None:
        # A badge stays in one line, so a sentence in it would take the width of the whole card.
        short, problem = badge(t("server.local_problem", lang), "bad"), model.problem
        state = html("{}<small>{}<br>{}</small>", short, problem.message(lang), problem.hint(lang))
    size = f"{model.bytes / GB:.2f} GB"
    if model.state is LocalState.INCOMPLETE and model.total_bytes:
        size = f"{model.bytes / GB:.2f} / {model.total_bytes / GB:.2f} GB"
    note = _note(entry, lang) if entry else html("{}", model.path)
    facts = (size, entry.licence) if entry else (size,)
    verdict = fits(entry, machine) if entry else None
    return _card(model.id, facts, state, note, verdict, _local_acts(model, settings, lang), lang)


def _local_acts(model: LocalModel, settings: Settings, lang: Language) -> Markup:
    tr, acts = words(lang), Markup()
    if model.state is LocalState.INCOMPLETE:
        acts += _act("resume", str(model.path), tr("server.resume"))
    elif model.problem is None:
        acts += _act("start", _value(model), tr("server.start"))
    ours = settings.models_path.resolve() in model.path.resolve().parents
    if ours and model.state not in {LocalState.BUNDLED, LocalState.CACHED}:
        acts += html(
            "<details><summary>{}</summary>{}</details>",
            tr("server.delete"), _act("remove", model.id, tr("server.delete_yes")),
        )  # fmt: skip
    return acts


def _act(act: str, model: str, label: str) -> Markup:
    return html('<button type="button" class="{0}" data-do="{0}" data-model="{1}">{2}</button>', act, model, label)


def _note(entry: CatalogEntry, lang: Language) -> Markup:
    """Returns what a model is good for, which flags it needs and what was tried of it."""
    flags = html("<br><code>{}</code>", entry.command_flags) if entry.flags else ""
    return html("{}{}<br>{}", entry.notes(lang), flags, entry.tried(lang))


def _card(
    name: str,
    facts: tuple[str, ...],
    state: Markup,
    note: Markup,
    verdict: FitVerdict | None,
    acts: Markup,
    lang: Language,
) -> Markup:
    mark = Markup()
    if verdict is not None:
        # Only for want of memory does a model "not fit".
        word = "cannot" if verdict.code == "fit_torchvision" else verdict.fit.value
        reason = html("<small>{}</small>", verdict.reason(lang))
        mark = badge(t(f"server.fit_{word}", lang), FIT_TONES[verdict.fit]) + reason
    return html(
        '<article><h4>{}</h4><p class="facts">{}</p><p>{} {}</p><details class="about"><summary>{}</summary>'
        '<p>{}</p></details><p class="acts">{}</p></article>',
        name, " · ".join(facts), state, mark, t("server.about_model", lang), note, acts,
    )  # fmt: skip


def jobs_html(jobs: tuple[DownloadJob, ...], lang: Language) -> Markup:
    """Returns the downloads of this session with bytes, files, speed, time left and a way to end them."""
    return joined(_job_html(job, lang) for job in reversed(jobs))


def _job_html(job: DownloadJob, lang: Language) -> Markup:
    tr, now = words(lang), job.progress
    name = html("<p><strong>{}</strong> · {} · {}</p>", job.name, HUB_NAMES[job.source], job.folder)
    if job.problem is not None:
        return name + error_card(job.problem, lang)
    if now.state is DownloadState.CANCELLED:
        return html("{}<p>{}</p>", name, badge(tr("server.download_cancelled"), "warn"))
    if now.state is DownloadState.COMPLETE:
        return html("{}<p>{}</p>", name, badge(tr("server.download_complete"), "good"))
    end = _act("cancel", job.name, tr("server.cancel"))
    if now.state is DownloadState.STARTING:
        return name + progress(None, tr("server.download_starting")) + end
    parts = [tr(f"server.download_{now.state.value}")]
    total = f" / {now.bytes_total / GB:.2f}" if now.bytes_total is not None else ""
    parts.append(f"{now.bytes_done / GB:.2f}{total} GB")
    if now.files_total is not None:
        parts.append(tr("server.files", done=now.files_done, total=now.files_total))
    if now.bytes_per_second:
        parts.append(f"{now.bytes_per_second / 1e6:.1f} MB/s")
    if now.seconds_left is not None:
        parts.append(tr("server.left", time=duration(now.seconds_left)))
    return name + progress(now.share, " · ".join(parts)) + end
