#!/usr/bin/env bash
# A base image from Debian's packages alone, where no container registry can be reached: python 3.11 on bookworm.
# usage: k8s/images/base.sh NAME   (root; mmdebstrap and buildah)
set -euo pipefail
name=${1:?expected the name of the image}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mmdebstrap --quiet --variant=essential \
    --include=python3.11-minimal,python3.11-venv,libpython3.11-stdlib,libstdc++6,zlib1g,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/{doc,man,locale,info}/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    bookworm "$root/base.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$root/base.tar" /
buildah run --isolation chroot "$container" -- ln -sf python3.11 /usr/bin/python3
buildah config --label org.opencontainers.image.title="debian bookworm with python 3.11" "$container"
buildah commit --quiet --rm "$container" "$name"
