#!/bin/bash
# dm-crypt volumes: kvmcrypt against cryptsetup, in a virtual machine with a real kernel. Emulated, so
# the times are long; the ratios are what counts.
cd "$(dirname "$0")/.." || exit 1
tests/lib/vm-run -t 900 -d "2G 384M" tests/vm/bench/dm.sh
