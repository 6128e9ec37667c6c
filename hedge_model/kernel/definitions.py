"""Numbers that define the arithmetic; apart from compiled code, so that reading them needs no compiler."""

import hashlib
import math
from functools import lru_cache

import numpy as np

# how moments are laid out
HEAD_NUMBERS = 8  # first: count, mean and variance of the target, and what stands at the places below
DECAYED = 3  # decay ** (events learned)
LEARNED = 4  # events learned
LAST_LABEL = 5  # class index + 1, 0 for none; or the last target, standardised
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

# fast start: of the learning rate and of the stacking, how many events until half of it is over
FAST_START_EVENTS = 100.0

# where an event has as many categories as numbers, or more
CATEGORICAL_RATE = (
    0.1  # share of the learning rate; no fast start. Faster steps follow late labels, not truth
)
ROW_RATE = 0.1  # of the first layer's rows, over the root of the sum of all squared gradients (AdaGrad)
ROW_FLOOR = 1e-20
ROW_LIMIT = 0.02  # range of their initial weights

# nearest neighbours
POINT_NUMBERS_MAX = 64  # more number fields share the dimensions of a point, with signs (a count sketch)
SIGN_PRIME = 2_654_435_761  # 2**32 / φ: bit 16 of its multiples makes the signs
KINDS_MAX = 64  # category fields that are compared; more would only cost time
KIND_GAP = 2.0  # squared distance of two categories: that of two independent z-scores
NO_KIND = -1.0  # a category that an event does not have
NEIGHBOURS = 16  # the most that vote
VOTERS = (1, 4, 16)  # how many vote in each expert over the whole window
RECENT_VOTERS = 4  # … in the one over the last events
RECENT_EVENTS = 250
VOTE_SPREAD = 0.1  # of the farthest voter's distance: where a vote has half its weight
VOTE_WEIGHT = 5.5  # of a voter at distance 0; one at the k-th distance has a weight of 0.5
VOTE_PRIOR = 0.5  # votes for no class in particular
DISTANCE_MIN = 1e-12

# arithmetic of the experts' mixture
BESIDE_DEPTHS = len(VOTERS) + 3  # last label, nearest events, those of the last 250, and the linear expert
FAST, SLOW = 0, 1  # the mixtures of all experts
PROBABILITY_FLOOR = 1e-3  # added before taking logarithms

# arrays in the hash of initial weights
INPUT, HIDDEN, HEAD, TABLE = 1, 2, 3, 4
GOLDEN_RATIO = 0x9E3779B97F4A7C15  # 2**64 / φ: steps of the counter
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64 (Steele et al., 2014)


@lru_cache(maxsize=256)
def key_of(seed: int, array: int, index: int = 0) -> np.uint64:
    """Hash key of the `index`-th array of a kind."""
    digest = hashlib.blake2b(f"{seed} {array} {index}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def glorot(inputs: int, outputs: int) -> np.float32:
    """Limit of the uniform distribution that keeps variances (Glorot & Bengio, 2010)."""
    return np.float32(math.sqrt(6.0 / (inputs + outputs)))
