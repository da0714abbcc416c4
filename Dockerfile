# syntax=docker/dockerfile:1
# EXTRAS: "train" scores in the daemon and refreshes reward models itself, "gpu" scores alone, "report" writes drift
# reports, "kubernetes" makes runs Jobs; "" is enough where rewards come from other machines, and leaves torch out.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=train,report,kubernetes
ENV UV_CACHE_DIR=/cache UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv && uv venv /opt/rlhf-monitor
WORKDIR /source
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY monitor monitor
COPY retrain retrain
COPY migrations migrations
RUN --mount=type=cache,target=/cache \
    uv pip install --python /opt/rlhf-monitor/bin/python --constraints requirements.lock ".${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="rlhf-monitor" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --create-home monitor \
    && install -d -o monitor -g monitor /var/lib/rlhf-monitor
COPY --from=build /opt/rlhf-monitor /opt/rlhf-monitor
ENV PATH=/opt/rlhf-monitor/bin:$PATH PYTHONUNBUFFERED=1 MONITOR_RETRAIN__FOLDER=/var/lib/rlhf-monitor
USER 10001:10001
WORKDIR /home/monitor
VOLUME /var/lib/rlhf-monitor
EXPOSE 8080
ENTRYPOINT ["rlhf-monitor"]
CMD ["run"]
