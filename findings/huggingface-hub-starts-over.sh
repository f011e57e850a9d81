#!/usr/bin/env bash
# A download by huggingface_hub whose process ended half-way is not resumed by the next one: it asks for the whole file
# again, and what had arrived stays behind for good as `<etag>.<random>.incomplete` (two kills: two of them).
# Inside one process the same client does resume: a connection that breaks goes on with a Range request (the control).
# A hub on loopback, in this script, serves one file of 48 MiB, honours Range, and notes what is asked of it.
# Needs: python3 (3.10 or newer), pip. Takes about a minute. Exit status 0: seen as described; 1: it changed.
set -euo pipefail

pins=(huggingface_hub==2.4.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n "${FINDINGS_VENV:-}" ]]; then # An environment made before; the versions in it are checked all the same.
  python="$FINDINGS_VENV/bin/python"
else
  python3 -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet ${FINDINGS_EXTRA_INDEX:+--extra-index-url "$FINDINGS_EXTRA_INDEX"} "${pins[@]}"
fi
export HF_HOME="$work/home" HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

"$python" - "$work" "${pins[@]}" <<'PYTHON'
import hashlib
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

work, pins = Path(sys.argv[1]), sys.argv[2:]
for name, wanted in (pin.split("==") for pin in pins):
    print(f"{name} {version(name)}")
    if version(name) != wanted:
        sys.exit(f"this is about {name} {wanted}")

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * (48 * MIB // 256)
ETAG = hashlib.sha256(CONTENT).hexdigest()
asked = []  # The Range header of every GET of the file; None for the whole.
plan = []  # What to do half-way in the next answers: "hold" the line, or "cut" it.
go_on = threading.Event()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(0)

    def do_GET(self):
        asked.append(self.headers.get("Range"))
        found = re.fullmatch(r"bytes=(\d+)-", asked[-1] or "")
        begin = int(found[1]) if found else 0
        self.answer(begin)
        fault = plan.pop(0) if plan else None
        try:
            if fault:
                self.wfile.write(CONTENT[begin : 24 * MIB])
                if fault == "hold":
                    go_on.wait()
                self.close_connection = True
            else:
                self.wfile.write(CONTENT[begin:])
        except OSError:
            self.close_connection = True

    def answer(self, begin):
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{ETAG}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
PROGRAM = (
    "import sys; from huggingface_hub import hf_hub_download;"
    "hf_hub_download('maker/model', 'model.safetensors', local_dir=sys.argv[1], endpoint=sys.argv[2], token=False)"
)


def download(folder):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), address])


def parts(folder):
    return sorted(folder.rglob("*.incomplete"))


def killed(folder):
    """Starts a download, kills it when 16 MiB of its own lie on disk."""
    before = set(parts(folder))
    plan.append("hold")
    running = download(folder)
    until = time.monotonic() + 120
    while not any(each.stat().st_size >= 16 * MIB for each in set(parts(folder)) - before):
        if running.poll() is not None or time.monotonic() > until:
            sys.exit("CHANGED: no new partial file of 16 MiB appeared")
        time.sleep(0.05)
    running.kill()
    running.wait()


folder = work / "killed"
killed(folder)
killed(folder)
go_on.set()
status = download(folder).wait()
left = parts(folder)
whole = (folder / "model.safetensors").read_bytes() == CONTENT
print(f"killed twice, then let run: exit status {status}, file whole: {whole}, Range headers: {asked}")
print(f"left behind: {[f'{each.stat().st_size // MIB} MiB' for each in left]}")
over = status == 0 and whole and asked == [None, None, None] and len(left) == 2

asked.clear()
plan.append("cut")
status = download(work / "cut").wait()
print(f"control, connection cut once in one process: exit status {status}, Range headers: {asked}")
resumed = status == 0 and len(asked) == 2 and asked[0] is None and asked[1] is not None and not parts(work / "cut")

print("as described: started over, two orphans; resumed only within a process" if over and resumed else "CHANGED")
sys.exit(0 if over and resumed else 1)
PYTHON
