#!/usr/bin/env bash
# A new user of a team's MLflow: `servers/mlflow-user.sh NAME`, as admin. Asks for the password, or takes NEW_PASSWORD.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${MLFLOW_TRACKING_URI:?the address of MLflow}" "${MLFLOW_TRACKING_USERNAME:?admin}" "${MLFLOW_TRACKING_PASSWORD:?of admin}"
name=${1:?the name of the user}
if test -n "${NEW_PASSWORD:-}"; then
  echo "The password of $name is that in NEW_PASSWORD."
else
  read -r -s -p "Password of $name, at least 12 characters: " NEW_PASSWORD
  echo
fi
export NEW_PASSWORD
exec .venv/bin/python - "$name" <<'END'
import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

users = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
try:
    users.create_user(sys.argv[1], os.environ["NEW_PASSWORD"])
except MlflowException as error:
    sys.exit(f"{sys.argv[1]} was not made: {error}")
END
