"""exp and log of float32 lanes from plain arithmetic, so that no library's version of them matters.

Polynomials after Moshier's Cephes (`expf`, `logf`); relative error below 2e-7 in the stated ranges.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.lanes import exponent, larger, mantissa, power_of_two, smaller, splat, where_positive

F = np.float32
EXP_LOWEST = F(-87.0)  # below, exp would be denormal: the result stays at 1.6e-38
EXP_HIGHEST = F(88.0)
_SHIFT = F(1.5 * 2**23)  # adding it rounds to a whole number, kept in the lowest bits
_LOG2_E = F(1.44269504088896341)
_LN2_HIGH = F(0.693359375)
_LN2_LOW = F(-2.12194440e-4)
_ROOT_2 = F(1.41421356)


@compiled
def exp(x):
    """e**x, with x limited to -87 … 88."""
    x = smaller(larger(x, splat(EXP_LOWEST)), splat(EXP_HIGHEST))
    shifted = x * splat(_LOG2_E) + splat(_SHIFT)
    n = shifted - splat(_SHIFT)
    r = x - n * splat(_LN2_HIGH) - n * splat(_LN2_LOW)
    p = splat(F(1.9875691500e-4))
    p = p * r + splat(F(1.3981999507e-3))
    p = p * r + splat(F(8.3334519073e-3))
    p = p * r + splat(F(4.1665795894e-2))
    p = p * r + splat(F(1.6666665459e-1))
    p = p * r + splat(F(5.0000001201e-1))
    return (p * r * r + r + splat(F(1.0))) * power_of_two(shifted)


@compiled
def log(x):
    """The natural logarithm of positive normal numbers."""
    e, m = exponent(x), mantissa(x)
    half = where_positive(m - splat(_ROOT_2), splat(F(1.0)))  # 1 where m is nearer to 2
    e = e + half
    r = m - half * m * splat(F(0.5)) - splat(F(1.0))
    p = splat(F(7.0376836292e-2))
    p = p * r - splat(F(1.1514610310e-1))
    p = p * r + splat(F(1.1676998740e-1))
    p = p * r - splat(F(1.2420140846e-1))
    p = p * r + splat(F(1.4249322787e-1))
    p = p * r - splat(F(1.6668057665e-1))
    p = p * r + splat(F(2.0000714765e-1))
    p = p * r - splat(F(2.4999993993e-1))
    p = p * r + splat(F(3.3333331174e-1))
    square = r * r
    tail = p * r * square + e * splat(_LN2_LOW) - splat(F(0.5)) * square
    return r + tail + e * splat(_LN2_HIGH)
