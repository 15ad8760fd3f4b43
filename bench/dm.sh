#!/bin/bash
# dm-crypt volumes: kvmcrypt against cryptsetup, in a virtual machine with a real kernel. Emulated, so
# the times are long; the ratios are what counts.
cd "$(dirname "$0")/.." || exit 1
disks=$(mktemp -d)
trap 'rm -rf "$disks"' EXIT
truncate -s 2G "$disks/a"
truncate -s 384M "$disks/b"
tests/lib/vm-boot -t 900 -d "$disks/a" -d "$disks/b" tests/vm/bench/dm.sh
