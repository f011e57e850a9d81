#!/usr/bin/env bash
# modelscope's snapshot_download returns a folder as if all were well, and the folder is empty, where the hub answers a
# revision that it does not have with 200 and "Files": null (which the public hub has been reported to do).
# A hub on loopback, in this script, plays both answers: that one, and 404, of which the client does raise.
# Needs: python3 (3.10 or newer), pip. Takes about a minute. Exit status 0: seen as described; 1: it changed.
set -euo pipefail

pins=(modelscope==1.40.2 modelscope-hub==0.5.1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n "${FINDINGS_VENV:-}" ]]; then # An environment made before; the versions in it are checked all the same.
  python="$FINDINGS_VENV/bin/python"
else
  python3 -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet ${FINDINGS_EXTRA_INDEX:+--extra-index-url "$FINDINGS_EXTRA_INDEX"} "${pins[@]}"
fi
export MODELSCOPE_CACHE="$work/cache" MODELSCOPE_HOME="$work/home" NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

"$python" - "$work" "${pins[@]}" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

work, pins = Path(sys.argv[1]), sys.argv[2:]
for name, wanted in (pin.split("==") for pin in pins):
    print(f"{name} {version(name)}")
    if version(name) != wanted:
        sys.exit(f"this is about {name} {wanted}")

CONTENT = b'{"model_type": "llama"}'
UNKNOWN = {"null": (200, {"Code": 200, "Success": True, "Data": {"Files": None}}),
           "404": (404, {"Code": 404, "Success": False, "Message": "revision not found"})}
answer = "null"


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        known = query.get("Revision", "master") == "master"
        if address.path.endswith("/repo/files"):
            status, value = UNKNOWN[answer]
            if known:
                entry = {"Path": "config.json", "Name": "config.json", "Size": len(CONTENT), "Type": "blob"}
                status, value = 200, {"Code": 200, "Success": True, "Data": {"Files": [entry]}}
            self.reply(status, json.dumps(value).encode())
        elif address.path.endswith("/repo") and known:
            self.reply(200, CONTENT)
        else:
            self.reply(404, b'{"Code": 404, "Success": false}')

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()

from modelscope import snapshot_download  # noqa: E402


def fetch(revision, folder):
    """Returns the names in the folder that the client returned, or the class of what it raised."""
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        found = snapshot_download("maker/model", revision=revision, local_dir=str(work / folder), endpoint=address)
    except Exception as problem:
        return f"raised {type(problem).__name__}"
    return sorted(each.name for each in Path(found).rglob("*") if each.is_file())


seen = {"the branch that is there": fetch("master", "there"), "no such revision, 200 and null": fetch("nope", "null")}
answer = "404"
seen["no such revision, 404"] = fetch("nope", "404")
for case, result in seen.items():
    print(f"{case}: {result}")
right = (
    seen["the branch that is there"] == ["config.json"]
    and seen["no such revision, 200 and null"] == []
    and str(seen["no such revision, 404"]).startswith("raised ")
)
print("as described: success, and an empty folder" if right else "CHANGED")
sys.exit(0 if right else 1)
PYTHON
