/* The innermost loops of convolutions, for one vector width. sqz_operators.c includes it once for each instruction set,
 * with LANES (floats of a vector), PIXELS (of the largest tile), TARGET (attributes) and NAME(function).
 *
 * A tile is a few neighboring output pixels times a block of channels. Its sums stay in registers: PIXELS is the
 * largest number for which they fit. Compilers turn the vector types into SSE, AVX, NEON or SIMD128 instructions. */
#define VECTORS (SQZ_BLOCK / LANES)

#if LANES == 1
typedef float NAME(lanes);
typedef float NAME(unaligned);
#else
typedef float NAME(lanes) __attribute__((vector_size(4 * LANES)));
typedef float NAME(unaligned) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(masks) __attribute__((vector_size(4 * LANES)));
#endif

TARGET INLINE NAME(lanes) NAME(load)(const float *at) {
    return *(const NAME(unaligned) *)at;
}

TARGET INLINE NAME(lanes) NAME(relu)(NAME(lanes) x) {
#if LANES == 1
    return x < 0 ? 0 : x;
#else
    return (NAME(lanes))((NAME(masks))x & ~(x < 0));
#endif
}

/* Compute a tile of `pixels`, a constant, so that all loops over sums are unrolled. */
TARGET INLINE void NAME(tile)(const tile_job *job, const float *in, float *out, unsigned pixels, int depthwise) {
    NAME(lanes) sums[PIXELS][VECTORS];
    const float *weights = job->weights + SQZ_BLOCK;
    unsigned row, tap, i, p, v;
    UNROLL for (p = 0; p < pixels; p++) {
        UNROLL for (v = 0; v < VECTORS; v++) {
            sums[p][v] = NAME(load)(job->weights + LANES * v);
        }
    }
    for (row = 0; row < job->rows; row++) {
        for (tap = 0; tap < job->taps; tap++) {
            const float *x = in + row * job->row_step + tap * job->tap_step;
            for (i = 0; i < job->run; i++, weights += SQZ_BLOCK) {
                UNROLL for (p = 0; p < pixels; p++) {
                    const float *at = x + p * job->pixel_step + i;
                    UNROLL for (v = 0; v < VECTORS; v++) {
                        NAME(lanes) w = NAME(load)(weights + LANES * v);
                        if (depthwise) {
                            sums[p][v] += w * NAME(load)(at + LANES * v);
                        } else {
                            sums[p][v] += w * *at;
                        }
                    }
                }
            }
        }
    }
    UNROLL for (p = 0; p < pixels; p++) {
        float block[SQZ_BLOCK], *to = job->channels == SQZ_BLOCK ? out + p * job->out_step : block;
        UNROLL for (v = 0; v < VECTORS; v++) {
            *(NAME(unaligned) *)(to + LANES * v) = job->relu ? NAME(relu)(sums[p][v]) : sums[p][v];
        }
        if (to == block) {
            memcpy(out + p * job->out_step, block, job->channels * sizeof *block);
        }
    }
}

/* Compute a row of output pixels in tiles of nearly equal width. */
TARGET static void NAME(row)(const tile_job *job, const float *in, float *out, unsigned width) {
    unsigned tiles = (width + PIXELS - 1) / PIXELS;
    for (; tiles; tiles--) {
        unsigned pixels = width / tiles;
        switch (pixels + (job->depthwise ? DEPTHWISE : 0)) {
#define CASE(n)                                                                                                       \
    case n: NAME(tile)(job, in, out, n, 0); break;                                                                    \
    case DEPTHWISE + n: NAME(tile)(job, in, out, n, 1); break;
            CASE(1)
#if PIXELS > 1
            CASE(2)
#endif
#if PIXELS > 2
            CASE(3)
#endif
#if PIXELS > 3
            CASE(4)
            CASE(5)
            CASE(6)
#endif
#if PIXELS > 6
            CASE(7)
            CASE(8)
            CASE(9)
            CASE(10)
            CASE(11)
            CASE(12)
#endif
#undef CASE
        }
        in += pixels * job->pixel_step;
        out += pixels * job->out_step;
        width -= pixels;
    }
}

#undef VECTORS
#undef LANES
#undef PIXELS
#undef TARGET
#undef NAME
