# VQA Lab with vLLM for CPUs and the bundled demo model: a public demo on port 7860 unless told otherwise.
# Build: docker build -t vqa-lab .        Run: docker run --rm -p 127.0.0.1:7860:7860 vqa-lab
# With an NVIDIA GPU: docker build --build-arg ENGINE=engine/requirements-cuda.txt --build-arg INDEX= -t vqa-lab .
FROM python:3.11-slim-bookworm

ARG ENGINE=engine/requirements-cpu.txt
# Where the CPU build of PyTorch comes from; empty for the GPU build.
ARG INDEX=https://download.pytorch.org/whl/cpu

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# libnuma and tcmalloc are what vLLM's CPU backend loads; a compiler is what torch.compile calls.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 libgoogle-perftools4 libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --shell /usr/sbin/nologin vqa

WORKDIR /app
# The engine has an environment of its own, as `make` sets it up.
COPY engine ./engine
COPY vqa/__init__.py ./vqa/
COPY vqa/engine/__init__.py vqa/engine/torchvision.py ./vqa/engine/
RUN python -m venv .engines/default \
    && .engines/default/bin/pip install --no-cache-dir ${INDEX:+--extra-index-url "$INDEX"} -r "$ENGINE" \
    && python -c "from vqa.engine.torchvision import mend; print('torchvision:', mend('.engines/default/bin/python'))"
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE app.py ./
COPY assets ./assets
COPY vqa ./vqa
RUN pip install --no-cache-dir --constraint constraints.txt --editable ".[page]" \
    && python -m compileall -q app.py vqa && install -d -o vqa -g vqa /data

USER vqa
ENV PYTHONUNBUFFERED=1 \
    VQA_HOST=0.0.0.0 \
    VQA_PORT=7860 \
    VQA_PUBLIC=true \
    VQA_DATA_DIR=/data
VOLUME /data
EXPOSE 7860
# The first start of the model takes minutes on a small machine; the page is there after seconds.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"VQA_PORT\"]}/robots.txt', timeout=8)"]
STOPSIGNAL SIGINT
# No shell between: the app itself gets the signal and ends its engine with it.
CMD ["python", "app.py"]
