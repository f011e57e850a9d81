"""The models on this machine and those of the catalog, as HTML and as choices; whether they fit."""

from __future__ import annotations

from vqa.engine.machine import Machine
from vqa.markup import Markup, html, joined
from vqa.models.catalog import CATALOG, CatalogEntry, Fit, FitVerdict, find, fits
from vqa.models.downloads import DownloadJob, Unfinished
from vqa.models.ids import HUB_NAMES
from vqa.models.local import LocalModel, LocalState, list_local
from vqa.models.progress import DownloadState, size_text
from vqa.settings import Settings
from vqa.text import Language, t
from vqa.ui.server.server_views import duration
from vqa.ui.text import words
from vqa.ui.widgets.parts import Tone, badge, error_card, progress

FIT_TONES: dict[Fit, Tone] = {Fit.YES: "good", Fit.TIGHT: "warn", Fit.NO: "bad"}
STATE_TONES: dict[LocalState, Tone] = {LocalState.INCOMPLETE: "warn"}
GB = 1e9


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
    """Returns the table of all models: size, licence, whether it is here, whether it fits this machine and why."""
    tr, machine = words(lang), Machine.load(settings)
    local = {model.id: model for model in list_local(settings)}
    rows = [_local_row(model, machine, lang) for model in local.values()]
    rows += [
        _row(
            entry.id,
            _note(entry, lang),
            f"{entry.bytes_on_disk / GB:.2f} GB",
            entry.licence,
            Markup(),
            fits(entry, machine),
            lang,
        )
        for entry in CATALOG
        if entry.id not in local
    ]
    names = ("model", "size", "licence", "here", "fits")
    head = joined(html("<th>{}</th>", tr(f"server.column_{name}")) for name in names)
    device = ", ".join(gpu.name for gpu in machine.gpus) or "CPU"
    free = f"{machine.memory_free / GB:.1f}"
    about = tr("server.machine", device=device, free=free)
    return html(
        '<p>{}</p><div class="vqa-scroll" tabindex="0"><table class="vqa-table"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        about, head, joined(rows),
    )  # fmt: skip


def _local_row(model: LocalModel, machine: Machine, lang: Language) -> Markup:
    entry = find(model.id)
    state = badge(t(f"server.local_{model.state.value}", lang), STATE_TONES.get(model.state, "good"))
    if model.problem is not None:
        # A badge stays in one line, so a sentence in it would take the width of the whole table.
        short, problem = badge(t("server.local_problem", lang), "bad"), model.problem
        state = html("{}<small>{}<br>{}</small>", short, problem.message(lang), problem.hint(lang))
    size = f"{model.bytes / GB:.2f} GB"
    if model.state is LocalState.INCOMPLETE and model.total_bytes:
        size = f"{model.bytes / GB:.2f} / {model.total_bytes / GB:.2f} GB"
    note = _note(entry, lang) if entry else html("{}", model.path)
    licence = entry.licence if entry else "–"
    return _row(model.id, note, size, licence, state, fits(entry, machine) if entry else None, lang)


def _note(entry: CatalogEntry, lang: Language) -> Markup:
    """Returns what a model is good for, which flags it needs and what was tried of it."""
    flags = html("<br><code>{}</code>", entry.command_flags) if entry.flags else ""
    return html("{}{}<br>{}", entry.notes(lang), flags, entry.tried(lang))


def _row(
    name: str, note: Markup, size: str, licence: str, state: Markup, verdict: FitVerdict | None, lang: Language
) -> Markup:
    mark: str = "–"
    if verdict is not None:
        word = badge(t(f"server.fit_{verdict.fit.value}", lang), FIT_TONES[verdict.fit])
        reason = verdict.reason(lang)
        mark = html('<span title="{}">{}</span><small>{}</small>', reason, word, reason)
    return html(
        "<tr><td><strong>{}</strong><small>{}</small></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        name, note, size, licence, state or "–", mark,
    )  # fmt: skip


def resumable(unfinished: list[Unfinished], lang: Language) -> list[tuple[str, str]]:
    """Returns (label, folder) of every download that can be resumed, with its hub and how much of it is there."""
    found = []
    for each in unfinished:
        total = f" / {size_text(each.total_bytes)}" if each.total_bytes else ""
        hub = f" · {HUB_NAMES[each.source]}" if each.source else ""
        state = t("server.local_incomplete", lang)
        found.append((f"{each.name}{hub} · {state}: {size_text(each.done_bytes)}{total}", str(each.folder)))
    return found


def jobs_html(jobs: tuple[DownloadJob, ...], lang: Language) -> Markup:
    """Returns the downloads of this session with bytes, files, speed and time left; empty when there are none."""
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
    if now.state is DownloadState.STARTING:
        return name + progress(None, tr("server.download_starting"))
    parts = [tr(f"server.download_{now.state.value}")]
    total = f" / {now.bytes_total / GB:.2f}" if now.bytes_total is not None else ""
    parts.append(f"{now.bytes_done / GB:.2f}{total} GB")
    if now.files_total is not None:
        parts.append(tr("server.files", done=now.files_done, total=now.files_total))
    if now.bytes_per_second:
        parts.append(f"{now.bytes_per_second / 1e6:.1f} MB/s")
    if now.seconds_left is not None:
        parts.append(tr("server.left", time=duration(now.seconds_left)))
    return name + progress(now.share, " · ".join(parts))
