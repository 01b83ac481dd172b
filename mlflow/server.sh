#!/usr/bin/env bash
# An MLflow tracking server on this machine: `mlflow/server.sh [PORT]`. Data under var/, loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
# Apart from the embedded store: a server's artifacts have addresses that only a server can resolve.
home=${FEDSTUDY_HOME:-var}/server
mkdir -p "$home/artifacts"
# Jobs are for evaluating language models; without them the server starts in half the time.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
exec .venv/bin/mlflow server --host 127.0.0.1 --port "${1:-5000}" \
  --backend-store-uri "sqlite:///$home/mlflow.db" --artifacts-destination "$home/artifacts"
