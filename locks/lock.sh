#!/bin/sh
# Writes the hash-pinned lock of every environment from the groups in pyproject.toml.
# torch and its CUDA packages stay out: docs/decisions/0001-locks-and-torch.md.
set -eu
cd "$(dirname "$0")/.."
without_torch="--no-emit-package torch --no-emit-package triton"
for package in $(uv pip compile -q pyproject.toml --group processing --python-version 3.11 --universal \
        --no-annotate --no-header | sed -n 's/^\(nvidia-[a-z0-9-]*\|cuda-[a-z0-9-]*\)==.*/\1/p'); do
    without_torch="$without_torch --no-emit-package $package"
done
compile() { # GROUP, then more arguments for uv
    group=$1; shift
    # shellcheck disable=SC2086
    # Without the file's name, uv leaves out the dependencies of the command, which no function needs.
    uv pip compile -q --group "$group" --generate-hashes --no-header --no-annotate \
        $without_torch "$@" -o "locks/$group.txt"
}
compile dev --python-version 3.11 --universal
compile local --python-version 3.11 --universal -c locks/dev.txt
compile functions --python-version 3.13 --python-platform aarch64-manylinux_2_28 -c locks/dev.txt
compile processing --python-version 3.12 --python-platform x86_64-manylinux_2_28 -c locks/dev.txt
# Only torchao: the other packages of the zip are in the lock above.
uv pip compile -q --group fp8 --no-deps --generate-hashes --no-header --no-annotate \
    --python-version 3.12 --python-platform x86_64-manylinux_2_28 -o locks/fp8.txt
