#!/usr/bin/env bash
# Prefect for a team: flow runs in PostgreSQL, behind a password. See docs/servers.md.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PGHOST:?the machine of PostgreSQL}" "${PGUSER:?the user of PostgreSQL}"
: "${PREFECT_SERVER_API_AUTH_STRING:?NAME:PASSWORD, for workers, people and the UI alike}"
export PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg:///prefect
export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
# The server writes every task run in a transaction of its own unless told to gather them: a quarter of the work in all.
export PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE=100
export PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE=100
export PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL=1
export PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE=100
export PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE=100
exec .venv/bin/prefect server start --host "${PREFECT_HOST:-127.0.0.1}" --port "${PREFECT_PORT:-4200}"
