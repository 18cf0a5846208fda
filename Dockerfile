# The packages are built in one stage and copied into a clean one, without pip's leavings.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/llm-jobs
COPY requirements.txt ./
RUN /opt/llm-jobs/bin/pip install --require-hashes -r requirements.txt
COPY . .
# Byte-compiled: without .pyc files the first import costs 1.5 s in each new process, and the
# container's file system is read-only.
RUN /opt/llm-jobs/bin/pip install --no-deps . \
    && /opt/llm-jobs/bin/python -m compileall -q /opt/llm-jobs/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin llm-jobs \
    && install -d -o llm-jobs -g llm-jobs /srv /data/images
COPY --from=build /opt/llm-jobs /opt/llm-jobs
ENV PATH=/opt/llm-jobs/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RQ_CONFIG=workers.rq_settings \
    RQ_WORKER_CLASS=workers.worker.LLMWorker \
    IMAGE_DIR=/data/images
WORKDIR /srv
USER llm-jobs
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s \
    CMD ["llm-jobs", "doctor", "--only", "web"]
CMD ["llm-jobs", "serve"]
