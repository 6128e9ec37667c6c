"""Numbers that define the arithmetic; apart from compiled code, so that reading them needs no compiler."""

import hashlib
import math

import numpy as np

# how moments are laid out
HEAD_NUMBERS = 8  # first: count, mean and variance of the target, then decay ** (events learned)
FIELD_NUMBERS = 8  # per number field: count, mean, variance, then mean and variance of the z-score
RAMP_NUMBERS = 32  # per field with ramps: 16 means, 16 variances

# standardisation
Z_MAX = 10.0  # z-scores are clipped here
VALUE_MAX = 1e100  # its square is still finite
SPREAD_MIN = 1e-28  # variance over squared mean, below which a field is constant but for rounding
VARIANCE_MIN = 1e-200
RAMP_VARIANCE_MIN = 1e-16
RAMPS_FROM = -2.5  # z-scores between which the ramps stand
RAMPS_TO = 2.5

# network
RMS_FLOOR = 1e-6  # under the root, so that silent layers do not divide by zero

# arrays in the hash of initial weights
INPUT, HIDDEN, HEAD, TABLE = 1, 2, 3, 4
GOLDEN_RATIO = 0x9E3779B97F4A7C15  # 2**64 / φ: steps of the counter
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64 (Steele et al., 2014)


def key_of(seed: int, array: int, index: int = 0) -> np.uint64:
    """Hash key of the `index`-th array of a kind."""
    digest = hashlib.blake2b(f"{seed} {array} {index}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def glorot(inputs: int, outputs: int) -> np.float32:
    """Limit of the uniform distribution that keeps variances (Glorot & Bengio, 2010)."""
    return np.float32(math.sqrt(6.0 / (inputs + outputs)))
