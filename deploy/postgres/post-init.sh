#!/bin/sh
# Makes Conclave's database once, on the first primary. $1 is a connection string, from Patroni.
set -eu
psql "$1" --quiet --set ON_ERROR_STOP=1 --set password="$CONCLAVE_DATABASE_PASSWORD" <<'SQL'
create role conclave login password :'password';
create database conclave owner conclave;
SQL
