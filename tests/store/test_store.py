"""The store keeps what it was given, whatever happens to the process that gave it."""

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from vqa.answers import Answer, Sample, SampleError, Token
from vqa.errors import StoreError
from vqa.media.images import load_image
from vqa.store import Store

ANSWER = Answer(
    text="红色 <b>red</b>",
    finish_reason="stop",
    tokens=(Token("red", -0.125, (("red", -0.125), ("blue", -2.5))),),
    token_ids=(7, 8),
    prompt_token_ids_sha256="ab",
    prompt_tokens=40,
    completion_tokens=2,
    cached_tokens=0,
    image_tokens=36,
    model="demo",
    request_id="r1",
    seconds_to_first_token=0.25,
    seconds=0.5,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'new' / 'vqa.db'}")


@pytest.fixture
def picture(red_circle: Path):
    return load_image(red_circle)


def start(store: Store, **plan: object) -> str:
    spec = {"questions": ["What colour?", "几个圆？"], "temperature": 0.0}
    return store.create_run("repeat", header={"model": "demo"}, plan={"spec": spec, **plan})


def test_a_sample_comes_back_exactly_as_it_was_stored(store: Store) -> None:
    run = start(store)
    first = store.add_samples(run, [Sample("repeat", 0, ANSWER, started_at=1.5, seed=3, concurrency=2)])[0]
    failed = store.add_samples(run, [Sample("repeat", 1, None, SampleError("server_timeout", "late", "par"))])[0]
    assert store.samples(run) == [first, failed]
    assert store.samples(run, after=first.id) == [failed]


def test_identical_answers_share_one_row_and_different_logprobs_do_not(store: Store, tmp_path: Path) -> None:
    run = start(store)
    other = replace(ANSWER, tokens=(Token("red", -0.126, ANSWER.tokens[0].top),), seconds=9.0)
    for index, answer in enumerate([ANSWER, ANSWER, replace(ANSWER, seconds=7.0), other]):
        store.add_samples(run, [Sample("repeat", index, answer)])
    with sa.create_engine(f"sqlite:///{tmp_path / 'new' / 'vqa.db'}").connect() as connection:
        assert connection.execute(sa.text("select count(*) from answers")).scalar() == 2
    assert [sample.answer.seconds for sample in store.samples(run)] == [0.5, 0.5, 7.0, 9.0]


def test_search_looks_into_names_questions_and_models(store: Store) -> None:
    run = start(store)
    store.update_run(run, name="Friday 周五")
    for words in ("colour", "周五", "friday demo", "几个", run):
        assert [found.id for found in store.runs(search=words)] == [run], words
    for words in ("colour absent", "temperature", "%", "_"):  # what every run is stored with is no find
        assert store.runs(search=words) == [], words


def test_a_run_whose_process_was_killed_is_interrupted_and_its_samples_are_readable(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'vqa.db'}"
    program = (
        "import os, sys\n"
        "from vqa.store import Store\n"
        "from vqa.answers import Answer, Sample\n"
        f"store = Store({address!r})\n"
        "run = store.create_run('repeat', header={}, plan={})\n"
        "for index in range(10**6):\n"
        "    store.add_samples(run, [Sample('repeat', index, Answer(str(index % 3), 'stop'))])\n"
        "    print(run, index + 1, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        run, count = "", 0
        while count < 50:
            run, told = child.stdout.readline().split()
            count = int(told)
        assert Store(address).run(run).status == "running"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    after = Store(address)
    assert after.run(run).status == "interrupted"
    samples = after.samples(run)
    assert len(samples) >= 50
    assert [sample.answer.text for sample in samples] == [str(index % 3) for index in range(len(samples))]


def test_deleting_a_run_deletes_its_picture_unless_another_uses_it(store: Store, picture) -> None:
    store.put_image(picture)
    one, two = start(store, images=[picture.sha256]), start(store, images=[picture.sha256])
    store.delete_run(one)
    assert store.image(picture.sha256) == picture
    store.delete_run(two)
    with pytest.raises(StoreError, match="not in the store"):
        store.image(picture.sha256)
    with pytest.raises(StoreError, match="no stored run"):
        store.delete_run(two)


def test_nothing_of_what_was_deleted_is_left_in_the_stores_files(store: Store, picture, tmp_path: Path) -> None:
    mark = "canary-of-a-question"
    run, chat = start(store, words=mark, images=[picture.sha256]), store.create_chat(name=mark)
    store.put_image(picture)
    store.add_message(chat, {"role": "user", "text": mark, "images": [picture.sha256]})

    def left(what: bytes) -> list[str]:
        return [path.name for path in (tmp_path / "new").iterdir() if what in path.read_bytes()]

    assert left(mark.encode()) and left(picture.data[100:132])
    store.delete_run(run)
    store.delete_chat(chat)
    assert left(mark.encode()) == left(picture.data[100:132]) == []


def test_a_deletion_waits_for_no_reader(store: Store, tmp_path: Path) -> None:
    run = start(store, words="canary")
    reader = sqlite3.connect(tmp_path / "new" / "vqa.db")
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM runs").fetchone()[0] == 1
    store.delete_run(run)
    assert store.runs() == []
    reader.close()


def test_a_conversation_is_found_renamed_and_deleted(store: Store) -> None:
    chat = store.create_chat(name="first", visitor="v1")
    question = store.add_message(chat, {"role": "user", "text": "how many stars?"})
    store.add_message(chat, {"role": "assistant", "text": "3"}, parent=question)
    assert [(message["text"], message["parent"]) for message in store.messages(chat)] == [
        ("how many stars?", None),
        ("3", question),
    ]
    assert [found["id"] for found in store.chats(search="stars", visitor="v1")] == [chat]
    assert store.chats(search="stars", visitor="somebody else") == []
    for other in ("text", "role", "user", "%", "_"):  # what stands around the words is not searched
        assert store.chats(search=other) == [], other
    store.rename_chat(chat, "counting")
    assert store.chats()[0]["name"] == "counting"
    store.delete_chat(chat)
    assert store.chats() == []
    with pytest.raises(StoreError):
        store.add_message(chat, {"text": "gone"})


def test_a_full_disk_is_named_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    run = start(store)
    store.add_samples(run, [Sample("repeat", 0, ANSWER)])
    # SQLite answers a full disk and a reached page limit with the same error, SQLITE_FULL.
    with store._engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
    sa.event.listen(store._engine, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count={pages}"))
    long = replace(ANSWER, text=os.urandom(100_000).hex())
    with pytest.raises(StoreError, match="disk that holds .* is full"):
        store.add_samples(run, [Sample("repeat", 1, long)])
    assert [sample.answer for sample in store.samples(run)] == [ANSWER]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(f"sqlite:///{tmp_path / 'file' / 'vqa.db'}")


def test_a_converted_picture_keeps_its_notes(store: Store, tmp_path: Path) -> None:
    Image.new("P", (40, 30)).save(tmp_path / "a.gif")
    payload = load_image(tmp_path / "a.gif")
    assert store.image(store.put_image(payload)) == payload
