/* Sixteen cumulative frequencies as two vectors of eight 16-bit lanes (GCC and Clang: SSE2, NEON, or plain code).
 *
 * Cython has no vector types; written as loops, these three functions take twice as long.
 */
#ifndef LAMPPOST_CDF_H
#define LAMPPOST_CDF_H

#include <stdint.h>
#include <string.h>

#define CDF_TOTAL 32768
#define CDF_FLOOR 4 /* the least frequency of a symbol: nothing costs more than 13 bits */

typedef int16_t cdf_lanes __attribute__((vector_size(16), aligned(2), may_alias));

/* c[i] is the cumulative frequency below symbol i, of 32768; c[0] is 0. */
typedef struct {
    int16_t c[16];
    uint8_t seen; /* symbols learnt, up to 61 */
    uint8_t rate; /* each symbol moves the frequencies by 1 / 2^rate */
} Cdf;

static inline void cdf_reset(Cdf *cdf)
{
    for (int i = 0; i < 16; i++)
        cdf->c[i] = (int16_t)(i * (CDF_TOTAL / 16));
    cdf->seen = 0;
    cdf->rate = 1;
}

static inline void cdf_learn(Cdf *cdf, int symbol)
{
    static const cdf_lanes low = {0, 1, 2, 3, 4, 5, 6, 7}, high = {8, 9, 10, 11, 12, 13, 14, 15};
    const int16_t mass = CDF_TOTAL - 16 * CDF_FLOOR;
    const int16_t at = (int16_t)symbol;
    cdf_lanes *c = (cdf_lanes *)cdf->c;
    cdf_lanes goal = low * CDF_FLOOR + ((cdf_lanes)(low > at) & mass);
    c[0] += (goal - c[0]) >> cdf->rate;
    goal = high * CDF_FLOOR + ((cdf_lanes)(high > at) & mass);
    c[1] += (goal - c[1]) >> cdf->rate;
    if (cdf->seen < 61) {
        cdf->seen++;
        cdf->rate = (uint8_t)(1 + (cdf->seen > 1) + (cdf->seen > 4) + (cdf->seen > 12) + (cdf->seen > 28) + (cdf->seen > 60));
    }
}

/* The mean of two, each rounded down. */
static inline void cdf_mean(const Cdf *a, const Cdf *b, int16_t *mean)
{
    const cdf_lanes *x = (const cdf_lanes *)a->c, *y = (const cdf_lanes *)b->c;
    cdf_lanes *m = (cdf_lanes *)mean;
    m[0] = (x[0] & y[0]) + ((x[0] ^ y[0]) >> 1);
    m[1] = (x[1] & y[1]) + ((x[1] ^ y[1]) >> 1);
}

/* The symbol whose share holds `value`, 0 to 32767. */
static inline int cdf_find(const int16_t *c, int value)
{
    const cdf_lanes *x = (const cdf_lanes *)c;
    const int16_t v = (int16_t)value;
    cdf_lanes below = -((cdf_lanes)(x[0] <= v) + (cdf_lanes)(x[1] <= v));
    uint64_t words[2];
    memcpy(words, &below, 16);
    return (int)(((words[0] + words[1]) * 0x0001000100010001u) >> 48) - 1;
}

static inline int bit_length(uint64_t value)
{
    return value ? 64 - __builtin_clzll(value) : 0;
}

#endif
