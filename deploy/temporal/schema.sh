#!/bin/sh
# Brings Temporal's two databases to the schema of this version. Safe to run again: an existing one is only updated.
set -eu

for database in temporal temporal_visibility; do
    folder=temporal
    test "$database" = temporal || folder=visibility
    temporal-sql-tool --database "$database" setup-schema -v 0.0
    temporal-sql-tool --database "$database" update-schema -d "/etc/temporal/schema/postgresql/v12/$folder/versioned"
done
