#!/bin/sh
# The namespace of TEMPORAL_NAMESPACE with 90 days of history, and the search attributes that the Web UI filters by.
# Safe to run again.
set -eu

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 \
    || temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 90d

prepare() {
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention 90d \
        && temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" \
            --name StillmotionUser --type Keyword --name StillmotionOperation --type Keyword \
            --name StillmotionSource --type Keyword --name StillmotionModel --type Keyword \
            --name StillmotionStatus --type Keyword
}

# A fresh namespace isn't known to every part of the server at once.
tries=60
until prepare; do
    tries=$((tries - 1))
    test "$tries" -gt 0
    sleep 1
done
