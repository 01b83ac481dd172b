#!/usr/bin/env bash
# MLflow for a team: runs in PostgreSQL, artifacts through the server, users with passwords. See docs/servers.md.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PGHOST:?the machine of PostgreSQL}" "${PGUSER:?the user of PostgreSQL}"
: "${MLFLOW_AUTH_ADMIN_PASSWORD:?of the user admin, at least 12 characters}"
: "${MLFLOW_FLASK_SERVER_SECRET_KEY:?any long random text, always the same}"
: "${FEDSTUDY_ARTIFACTS:?the folder of artifacts}"
export MLFLOW_AUTH_CONFIG_PATH=$PWD/servers/mlflow-auth.ini
export MLFLOW_AUTH_ADMIN_USERNAME=admin
# Jobs are for evaluating language models; without them the server starts in half the time.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1
host=${MLFLOW_HOST:-127.0.0.1} port=${MLFLOW_PORT:-5000}
# No secret on the command line, which everybody on this machine can read.
exec .venv/bin/mlflow server --app-name basic-auth --host "$host" --port "$port" --workers "${MLFLOW_WORKERS:-1}" \
  --backend-store-uri postgresql+psycopg2:///mlflow --artifacts-destination "$FEDSTUDY_ARTIFACTS" \
  --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-127.0.0.1:$port,localhost:$port}"
