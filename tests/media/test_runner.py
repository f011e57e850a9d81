"""Pictures are decoded in children; whatever becomes of a child, the process that asked lives and says a sentence."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from vqa.errors import InputError
from vqa.media import images, runner
from vqa.media.images import ImagePayload, load_image, load_images
from vqa.media.runner import Pool


def png(size: tuple[int, int] = (60, 40)) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    made = Pool(2)
    monkeypatch.setattr(runner, "pool", lambda: made)
    yield made
    made.close()


def stopped_child(pool: Pool) -> psutil.Process:
    """The one child that would answer next, which now does nothing at all."""
    pool.warm()
    (child,) = pool.idle()
    process = psutil.Process(child.pid)
    process.suspend()
    return process


def test_a_picture_that_ends_its_decoder_is_a_sentence_and_the_next_one_is_read(pool: Pool) -> None:
    child = stopped_child(pool)
    threading.Timer(0.3, child.kill).start()
    with pytest.raises(InputError) as told:
        load_image(png(), name="odd.png")
    assert (told.value.code, told.value.values["status"]) == ("decoder_ended", -signal.SIGKILL)
    assert "odd.png" in told.value.message("zh") and told.value.hint("en")
    assert load_image(png()).width == 60


def test_a_child_finds_packages_where_its_parent_does_and_not_in_the_working_folder(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with packages that PYTHONPATH names: a child that lacked one of them could read no picture at all."""
    package = tmp_path / "elsewhere" / "pillow_heif"
    package.mkdir(parents=True)
    seen = tmp_path / "seen"
    (package / "__init__.py").write_text(
        f"def register_heif_opener(**_: object) -> None:\n    open({str(seen)!r}, 'w').close()\n"
    )
    (tmp_path / "deflate.py").write_text("raise RuntimeError('from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(package.parent), *sys.path])
    assert load_image(png()).width == 60
    assert seen.exists()


@pytest.mark.parametrize("ask", ["one", "several"])
def test_where_no_decoder_starts_the_picture_is_not_said_to_be_at_fault(
    ask: str, pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "deflate"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('made for another processor')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    if ask == "one":
        with pytest.raises(InputError) as told:
            load_image(png(), name="usual.png")
        problem = told.value
    else:
        problem = next(
            each for each in load_images([(png(), "a.png"), (png(), "b.png")]) if isinstance(each, InputError)
        )
    assert (problem.code, problem.values["reason"]) == (
        "decoder_not_started",
        "ImportError: made for another processor",
    )


def test_a_child_that_holds_on_to_much_memory_makes_room_for_a_new_one_and_another_stays(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOOK_EVERY", 2)
    load_image(png())
    (child,) = pool.idle()
    load_image(png())
    assert pool.idle() == (child,)
    assert 10 << 20 < child.memory < runner.MOST_MEMORY
    monkeypatch.setattr(runner, "MOST_MEMORY", 10 << 20)
    for _ in range(2):
        load_image(png())
    assert not child.alive and child.memory == 0
    assert load_image(png()).width == 60


def test_small_pictures_share_a_message_and_each_has_its_own_answer(pool: Pool) -> None:
    given = [(png((20 + n, 20)), f"{n}.png") for n in range(6)]
    given[2:2] = [(b"no picture", "odd.png"), (png()[:200], "cut.png")]
    found = load_images(given)
    (child,) = pool.idle()
    assert child.jobs == 1
    for each, (data, name) in zip(found, given, strict=True):
        try:
            alone: ImagePayload | InputError = load_image(data, name=name)
        except InputError as problem:
            assert isinstance(each, InputError) and each.message() == problem.message() and name in each.message()
        else:
            assert each == alone
    assert [each.code for each in found if isinstance(each, InputError)] == ["image_not_a_picture", "image_damaged"]
    assert load_images([]) == []


def test_a_picture_that_ends_its_decoder_takes_no_other_of_its_message_with_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pool.ask

    def ends_it(request: dict[str, Any], blobs: Sequence[bytes] = (), **how: Any) -> runner.Answer:
        if b"deadly" in blobs:
            threading.Timer(0.3, stopped_child(pool).kill).start()
        return asked(request, blobs, **how)

    monkeypatch.setattr(pool, "ask", ends_it)
    first, deadly, last = load_images([(png(), "a.png"), (b"deadly", "b.png"), (png(), "c.png")])
    assert isinstance(first, ImagePayload) and isinstance(last, ImagePayload)
    assert isinstance(deadly, InputError) and deadly.code == "decoder_ended" and "b.png" in deadly.message()


def test_a_decoder_that_takes_too_long_is_ended(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    child = stopped_child(pool)
    monkeypatch.setattr(runner.decode, "__kwdefaults__", {**runner.decode.__kwdefaults__, "seconds": 0.2})
    with pytest.raises(InputError) as told:
        load_image(png(), name="slow.png")
    assert told.value.code == "decoder_slow"
    assert not child.is_running()


def test_one_that_used_up_its_processor_time_took_too_long(pool: Pool) -> None:
    child = stopped_child(pool)
    child.send_signal(signal.SIGXCPU)
    threading.Timer(0.2, child.resume).start()
    with pytest.raises(InputError) as told:
        load_image(png())
    assert told.value.code == "decoder_slow"


def test_a_child_that_died_while_it_had_nothing_to_do_is_replaced_unseen(pool: Pool) -> None:
    pool.warm()
    (child,) = pool.idle()
    os.kill(child.pid, signal.SIGKILL)
    psutil.Process(child.pid).wait(5)
    assert load_image(png()).width == 60


def test_a_warm_child_answers_again_and_again(pool: Pool) -> None:
    pool.warm()
    before = [child.pid for child in pool.idle()]
    for _ in range(5):
        load_image(png())
    assert [child.pid for child in pool.idle()] == before


def test_many_at_once_are_read_by_few_children(pool: Pool) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: load_image(png((20 + n, 20))), range(24)))
    assert [image.width for image in found] == [20 + n for n in range(24)]
    assert len(pool.idle()) <= 2


def test_children_are_limited_and_know_no_secrets(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQA_API_KEY", "not-to-be-told")
    pool.warm()
    process = psutil.Process(pool.idle()[0].pid)
    assert "VQA_API_KEY" not in process.environ()
    if sys.platform == "linux":
        assert process.rlimit(psutil.RLIMIT_AS)[0] == 3 << 30
        load_image(png())
        assert process.rlimit(psutil.RLIMIT_CPU)[0] < 3600


def test_children_end_with_the_process_that_started_them() -> None:
    script = (
        "import os, sys\nfrom vqa.media.runner import pool\npool().warm()\n"
        "print(pool().idle()[0].pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.wait_procs([psutil.Process(pid)], timeout=10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_this_process_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("decoded here")

    picture = png((300, 200))
    monkeypatch.setattr(Image, "open", refused)
    image = load_image(picture)
    assert image.thumbnail(20)
    assert images.resized(image, 100).width == 100
    assert images.boxed(image, (10, 10, 30, 25)).width == 300
    assert images.encoded_again(image, 9).mime == "image/png"


def test_where_no_child_can_be_started_it_is_a_sentence(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(runner.subprocess, "Popen", refused)
    with pytest.raises(InputError) as told:
        load_image(png(), name="late.png")
    assert (told.value.code, told.value.values["reason"]) == ("decoder_not_started", "no more processes")
