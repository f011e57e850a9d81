"""The source article's own script, written against any OpenAI server, works unchanged against our engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunningApp, base_environment

pytestmark = pytest.mark.engine

SCRIPT = """
import base64, mimetypes, sys
from openai import OpenAI

client = OpenAI(api_key="EMPTY", base_url=sys.argv[1])
model = client.models.list().data[0].id
mime = mimetypes.guess_type(sys.argv[2])[0]
with open(sys.argv[2], "rb") as file:
    image = base64.b64encode(file.read()).decode()
answers = []
for _ in range(20):
    reply = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": [
            {"type": "text", "text": sys.argv[3]},
            {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{image}"}},
        ]}],
        max_tokens=1024, top_p=0.9, temperature=0.0,
    )
    answers.append(reply.choices[0].message.content)
print(answers[0])
print(len(set(answers)) == 1)
"""


@pytest.mark.parametrize(("question", "answer"), [("What colour is the circle?", "red"), ("圆形是什么颜色？", "红色")])
def test_the_article_script_runs_unchanged(app: RunningApp, red_circle: Path, question: str, answer: str) -> None:
    command = [sys.executable, "-c", SCRIPT, app.base_url, str(red_circle), question]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=base_environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [answer, "True"]
