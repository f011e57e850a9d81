# VQA Lab with vLLM for CPUs and the bundled demo model: a public demo on port 7860 unless told otherwise.
# Build: docker build -t vqa-lab .        Run: docker run --rm -p 127.0.0.1:7860:7860 vqa-lab
# With an NVIDIA GPU: docker build --build-arg REQUIREMENTS=requirements.txt --build-arg INDEX= -t vqa-lab .
FROM python:3.11-slim-bookworm

ARG REQUIREMENTS=requirements-cpu.txt
# Where the CPU build of PyTorch comes from; empty for the GPU build.
ARG INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH=torch==2.13.0+cpu

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# libnuma and tcmalloc are what vLLM's CPU backend loads; a compiler is what torch.compile calls.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 libgoogle-perftools4 libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --shell /usr/sbin/nologin vqa

WORKDIR /app
COPY pyproject.toml requirements-cpu.txt requirements.txt README.md LICENSE app.py ./
COPY assets ./assets
COPY vqa ./vqa
RUN if [ -n "$INDEX" ]; then pip install --no-cache-dir "$TORCH" torchvision torchaudio --index-url "$INDEX"; fi \
    && pip install --no-cache-dir ${INDEX:+--extra-index-url "$INDEX"} -r "$REQUIREMENTS"
# What was built for another torch does not import, and vLLM is better off without it.
RUN for name in torchvision torchaudio torchcodec; do \
        python -c "import $name" 2> /dev/null || pip uninstall --yes "$name"; \
    done

RUN python -m compileall -q app.py vqa && install -d -o vqa -g vqa /data

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
