#!/usr/bin/env bash
# PostgreSQL in a folder of its own, for this machine alone: `servers/postgres.sh start` or `stop`. See docs/servers.md.
set -euo pipefail
: "${FEDSTUDY_POSTGRES:?the folder of its files}" "${PGPORT:?its port}" "${PGUSER:?its user}" "${PGPASSWORD:?the password}"
export PGHOST=127.0.0.1
# Its files are read by the version that made them; new ones are made by the newest.
made_by=$(cat "$FEDSTUDY_POSTGRES/PG_VERSION" 2>/dev/null || true)
programs=$(find /usr/lib/postgresql -path "*/${made_by:-*}/bin/pg_ctl" 2>/dev/null | sort -V | tail -1 || true)
test -n "$programs" || { echo "PostgreSQL ${made_by:-} is not installed: apt-get install postgresql${made_by:+-$made_by}"; exit 2; }
programs=$(dirname "$programs")
case "${1:-}" in
stop) exec "$programs/pg_ctl" -D "$FEDSTUDY_POSTGRES" -m "${2:-fast}" -w stop ;;
start) ;;
*) echo "servers/postgres.sh start, or stop"; exit 2 ;;
esac
if ! test -e "$FEDSTUDY_POSTGRES/PG_VERSION"; then
  # By a pipe: a password on the command line can be read by everybody on this machine.
  "$programs/initdb" -D "$FEDSTUDY_POSTGRES" --username "$PGUSER" --encoding UTF8 --auth scram-sha-256 \
    --pwfile <(printf '%s\n' "$PGPASSWORD") >/dev/null
fi
"$programs/pg_ctl" -D "$FEDSTUDY_POSTGRES" status >/dev/null ||
  "$programs/pg_ctl" -D "$FEDSTUDY_POSTGRES" -w -l "$FEDSTUDY_POSTGRES/log" -o "-p $PGPORT -h 127.0.0.1 -k ''" start >/dev/null
for database in mlflow prefect; do
  "$programs/psql" -d postgres -qtAc "SELECT 1 FROM pg_database WHERE datname = '$database'" | grep -q 1 ||
    "$programs/createdb" "$database"
done
