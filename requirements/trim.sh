#!/bin/sh
# Removes from an image's packages what nothing runs: installers, packages' own tests, headers for compilers.
# usage: requirements/trim.sh ENVIRONMENT [PACKAGE...]   (those packages go, too)
set -eu
environment=${1:?expected the folder of a virtual environment}
shift
"$environment/bin/python" -m pip uninstall --quiet --yes "$@" pip
packages=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
find "$packages" -type d -name tests -prune -exec rm -rf {} +
rm -rf "$packages"/tensorflow/include "$packages"/pyarrow/include
