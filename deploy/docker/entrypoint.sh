#!/bin/sh
# Give the compiled kernels a place that can be written (the image's own is read-only), then become the command.
set -eu
if [ ! -e "$NUMBA_CACHE_DIR" ]; then
    mkdir -p "$NUMBA_CACHE_DIR"
    cp -R /opt/tilegc/numba/. "$NUMBA_CACHE_DIR/"
fi
exec "$@"
