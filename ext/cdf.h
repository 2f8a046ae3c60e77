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

/* Where the frequencies of a surprise begin, by how large it is expected to be: a two-sided geometric
 * distribution of that mean, a tenth of it spread evenly. */
static const int16_t cdf_priors[17][16] = {
    {0, 224, 416, 640, 832, 1472, 30240, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 416, 640, 864, 1920, 29792, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 416, 640, 864, 1920, 29792, 30880, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 416, 640, 992, 3168, 28576, 30720, 31104, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 416, 672, 1152, 3904, 27808, 30592, 31072, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 416, 704, 1440, 4928, 26784, 30304, 31008, 31296, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 224, 448, 832, 1888, 6144, 25600, 29824, 30880, 31264, 31520, 31712, 31936, 32128, 32352, 32544},
    {0, 256, 544, 1152, 2688, 7584, 24096, 28992, 30560, 31136, 31456, 31712, 31936, 32128, 32352, 32544},
    {0, 320, 768, 1696, 3808, 9024, 22592, 27808, 29920, 30816, 31296, 31616, 31872, 32128, 32352, 32544},
    {0, 480, 1248, 2592, 5184, 10336, 20896, 26048, 28640, 30016, 30752, 31232, 31680, 32128, 32352, 32544},
    {0, 736, 1824, 3552, 6400, 11136, 19168, 23904, 26752, 28480, 29568, 30304, 31136, 31968, 32256, 32544},
    {0, 1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544},
    {0, 1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544},
    {0, 1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544},
    {0, 1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544},
    {0, 1024, 2400, 4384, 7200, 11232, 17120, 21152, 23968, 25920, 27328, 28352, 29888, 31424, 32000, 32544},
    {0, 1216, 2752, 4736, 7296, 10592, 14944, 18240, 20800, 22784, 24320, 25536, 27840, 30144, 31328, 32544},
};

static inline void cdf_expect(Cdf *cdf, int context)
{
    memcpy(cdf->c, cdf_priors[context], sizeof cdf->c);
    cdf->seen = 5;
    cdf->rate = 3;
}

/* The rate after so many symbols: one more from 2, 5, 13, 29 and 61 of them on. */
static const uint8_t cdf_rates[62] = {
    1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6,
};

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
    cdf->seen += cdf->seen < 61;
    cdf->rate = cdf_rates[cdf->seen];
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

/* 10^0 to 10^22, which a double holds exactly, and those that decimals of floats are counted in. */
static const double POWERS_OF_TEN[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const int64_t WHOLE_POWERS[10] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

/* Without a branch: what is learnt from is as likely zero as not. */
static inline int bit_length(uint64_t value)
{
    return 64 - __builtin_clzll(value | 1) - (value == 0);
}

/* The value's first bits from its highest one on, with zeros below where it has fewer; 0 for 0. */
static inline int top_bits(uint64_t value, int count)
{
    return (int)(value << __builtin_clzll(value | 1) >> (64 - count));
}

/* Four bytes, most significant first. */
static inline uint32_t load_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store_big(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

#endif
