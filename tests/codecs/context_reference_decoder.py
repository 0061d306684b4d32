"""Codec `context` once more, read off docs/format.md and nothing else: it shows that the description is enough."""

from __future__ import annotations

import math
from collections import defaultdict

KNOTS = [22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768]
KNOTS += [65536 - knot for knot in KNOTS[-2::-1]]


def clip(number, least, most):
    return max(least, min(most, number))


def sign(number):
    return (number > 0) - (number < 0)


def log(number):
    octave = number.bit_length() - 1
    return 8 * octave + (8 * number >> octave) % 8


def squash(stretched):
    i, f = divmod(stretched + 2048, 128)
    return (KNOTS[i] * (128 - f) + KNOTS[i + 1] * f + 64) >> 7


STRETCH = [next((x for x in range(-2047, 2047) if squash(x) >= 16 * q + 8), 2047) for q in range(4096)]


class Estimate:
    def __init__(self, seen=0):
        self.p, self.n = 1 << 21, seen

    def adapt(self, bit):
        self.p += ((bit << 22) - self.p) * (327_680 // (5 * self.n + 8)) >> 16
        self.n = min(self.n + 1, 255)


class Bits:
    def __init__(self, data):
        self.data, self.taken, self.x, self.w = data, 0, 0, 1 << 32
        for _ in range(4):
            self.x = 256 * self.x + self.next()

    def next(self):
        self.taken += 1
        return self.data[self.taken - 1] if self.taken <= len(self.data) else 0

    def bit(self, p):
        bound = (self.w >> 16) * p
        bit = int(self.x < bound)
        if bit:
            self.w = bound
        else:
            self.x, self.w = self.x - bound, self.w - bound
        while self.w < 1 << 24:
            self.x, self.w = 256 * self.x + self.next(), 256 * self.w
        return bit

    def by_one(self, estimate):
        bit = self.bit(clip(estimate.p >> 6, 32, 65_504))
        estimate.adapt(bit)
        return bit

    def by_inputs(self, estimates, others, weights):
        inputs = [STRETCH[estimate.p >> 10] for estimate in estimates] + others
        p = clip(squash(lean(inputs, weights)), 32, 65_504)
        bit = self.bit(p)
        learn(inputs, weights, 6 * (65_536 * bit - p))
        for estimate in estimates:
            estimate.adapt(bit)
        return bit

    def ends(self):
        z = int.from_bytes((self.data + bytes(8))[self.taken - 4 : self.taken], "big")
        s = (z - self.x) % 2**32
        for j in range(5):
            share = 2 ** (32 - 8 * j)
            first = -(-s // share) * share
            if first + share <= s + self.w:
                return len(self.data) == self.taken - 4 + j and z == first % 2**32
        raise AssertionError


def lean(inputs, weights):
    return clip(sum(x * w for x, w in zip(inputs, weights, strict=True)) >> 16, -2047, 2047)


def learn(inputs, weights, error):
    for i, x in enumerate(inputs):
        weights[i] += (x * error + (1 << 17)) >> 18


def decode(data, shape):
    """The levels, row by row, a list; nothing is checked but the end."""
    rows, columns = (shape[0] if shape else 1), math.prod(shape[1:])
    taps, width = math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1
    m, b = divmod(data[0] // 4, 6)
    trellis, predicted = data[0] // 2 % 2, data[0] % 2
    bits = Bits(data[1:])
    begin = 32 * (2**m - 1)
    of_column, of_all = [begin] * columns, begin
    sizes, signs, rests = (defaultdict(Estimate) for _ in range(3))
    size_weights, sign_weights = defaultdict(lambda: [18_000] * 4), defaultdict(lambda: [30_000] * 2)
    regression = defaultdict(lambda: [0] * 12 + [30_000] * predicted)
    predictors = defaultdict(int)
    digits = {}
    states = [0] * columns
    levels = {}

    def at(r, c, most=1 << 16):
        return clip(levels.get((r, c), 0), -most, most)

    def moved(mean, level, n):
        return mean + ((256 * min(abs(level), 4095) - mean) * (327_680 // (5 * n + 8)) >> 16)

    def rest(scale):
        exponent = 0
        while exponent < 15 and bits.by_one(rests["exponent", scale, exponent]):
            exponent += 1
        number = 1
        for to_come in range(exponent - 1, -1, -1):
            known = ("known", number) if number < 8 else ("place", to_come)
            number = 2 * number + bits.by_one(rests[exponent, known])
        return number

    def within(unit):
        number = 1
        for to_come in range(b - 1, -1, -1):
            estimate = digits.setdefault((unit, number), Estimate(min(8 * 2**to_come, 255)))
            number = 2 * number + bits.by_one(estimate)
        return number - 2**b

    for r in range(rows):
        of_row = begin
        for c in range(columns):
            t = c % taps
            k = min(t, 63)
            row, column = log(of_row + 32), log(of_column[c] + 32)
            expected = clip(row + column - log(of_all + 32), 0, 255)
            s = min(expected // 4, 31)
            if t == 0:
                near = min(log(4 * abs(at(r - 1, c)) + 3 * abs(at(r - 2, c)) + 4 * abs(at(r, c - taps)) + 1), 63)
            else:
                u = min(t, 8)
                total = sum(abs(at(r, c - 1 - j)) for j in range(u))
                near = 64 * min(t, 15) + min(log(16 * total // u + 4), 63)
            z = [256 * at(r, c - 1 - j, 3) if j < t else 0 for j in range(8)]
            z += [256 * at(r - 1, c, 3)]
            z += [128 * sum(at(r - j, c, 3) for j in range(1, 5)), 64 * sum(at(r - j, c, 3) for j in range(1, 17))]
            z += [256 * at(r, c - taps, 3)]
            n = min(c, 1024, 4 * rows)
            prediction = sum(predictors[c, j] * at(r, c - j, 15) for j in range(1, n + 1))
            z += [clip((prediction * (393_216 // max(begin, 1))) >> 16, -2000, 2000)] * predicted
            y = lean(z, regression[k])
            quantizer = trellis and sum(states[c] & bit != 0 for bit in (1, 8, 512, 1024)) % 2
            d, third, positive = 0, min(abs(y) // 100, 7), 1
            while d < 6:
                q = quantizer if d < 2 else 0
                means = (min(row // 5, 24), min(column // 5, 24))
                estimates = [sizes[d, q, 1, means], sizes[d, q, 2, near], sizes[d, q, 3, s, third]]
                if not bits.by_inputs(estimates, [22 * (expected - 64 - 8 * b)], size_weights[d, t == 0]):
                    break
                d += 1
                if d == 1:
                    left = sign(at(r, c - 1)) if t else 0
                    over = sign(at(r, c - width)) if t >= width else 0
                    first = sign(at(r, c - t)) if t else 0
                    positive = bits.by_inputs([signs[k, left, over, first]], [y], sign_weights[k])
                    learn(z, regression[k], 10 * (65_536 * positive - squash(y)))
                    third = clip((y if positive else -y) // 100 + 8, 0, 15)
            if d == 6:
                d = 5 + rest(min(s // 4, 7))
            if b and d:
                d = 2**b * (d - 1) + within(min(d, 8)) + 1
            index = d if positive else -d
            level = 2 * index - quantizer * sign(index) if trellis else index
            state = states[c]
            p = sum(state & bit != 0 for bit in (2, 16, 64, 256, 1024, 2048)) % 2
            states[c] = (2 * state + (index % 2 ^ p)) % 4096
            of_row = moved(of_row, level, min(2 + c, 70))
            of_column[c] = moved(of_column[c], level, min(2 + r, 70))
            of_all = moved(of_all, level, min(2 + len(levels), 255))
            levels[r, c] = level
            error = 16_384 * at(r, c, 15) - prediction
            power = sum(at(r, c - j, 15) ** 2 for j in range(1, n + 1)) + max((100 * begin**2) >> 16, 1)
            step = sign(error) * min(77 * abs(error) // (4 * power), 32_767)
            for j in range(1, n + 1) if predicted else ():
                predictors[c, j] = clip(predictors[c, j] + ((step * at(r, c - j, 15) + 32) >> 6), -32_767, 32_767)
    assert bits.ends()
    return list(levels.values())
