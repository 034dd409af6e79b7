#!/bin/sh
# Stops the database cluster in the folder $1 once nobody holds the file `users` any more.
# $2 is the folder of the programs, the rest runs a command as the database's user.
cd "$1" || exit 1
bin=$2
shift 2
while :; do
    flock -x users true
    exec 9>start
    flock 9
    if flock -n -x users true; then
        "$@" "$bin/pg_ctl" -D data -m immediate stop
        rm -rf data
        exit
    fi
    exec 9>&-
done
