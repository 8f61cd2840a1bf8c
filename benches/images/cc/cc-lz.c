/* LZ compression with hash chains, decompression, and a comparison with the original. */
#include "freestanding.h"

#define SIZE (256 << 10)
#define HASHES (1 << 14)
#define WINDOW (1 << 15)
#define LEAST 4
#define LONGEST 130
#define ROUNDS 20

static uint8_t original[SIZE], packed[SIZE + SIZE / 8], back[SIZE];
static int32_t head[HASHES], chain[WINDOW];

static void make_text(void)
{
	static const char *const words[] = { "the ", "emulator ", "runs ", "a ", "guest ", "of ", "virtual ", "machine ",
		"control ", "structure ", "and ", "exits ", "to ", "its ", "host;\n", "page " };
	size_t n = 0;
	while (n < SIZE) {
		if (n > 1000 && below(8) == 0) {
			size_t from = below(n - 100), length = 8 + below(60);
			while (length-- && n < SIZE)
				original[n++] = original[from++];
		} else if (below(20) == 0) {
			original[n++] = (uint8_t)random64();
		} else {
			for (const char *w = words[below(16)]; *w && n < SIZE; w++)
				original[n++] = (uint8_t)*w;
		}
	}
}

static uint32_t hash(const uint8_t *p)
{
	uint32_t v = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
	return v * 2654435761u >> 18;
}

static void enter(int32_t at)
{
	uint32_t h = hash(original + at);
	chain[at & (WINDOW - 1)] = head[h];
	head[h] = at;
}

static int longest(int32_t at, int32_t *from)
{
	int best = LEAST - 1, tries = 24;
	int most = SIZE - at < LONGEST ? SIZE - at : LONGEST;
	for (int32_t p = head[hash(original + at)]; p >= 0 && at - p < WINDOW && tries--; p = chain[p & (WINDOW - 1)]) {
		int n = 0;
		if (best < most && original[p + best] != original[at + best])
			continue;
		while (n < most && original[p + n] == original[at + n])
			n++;
		if (n > best) {
			best = n;
			*from = p;
		}
	}
	return best;
}

/* A byte below 80h: as many literals and one more follow; else a match of that and 4 bytes, and its distance. */
static size_t pack(void)
{
	uint8_t *out = packed;
	int32_t at = 0, literals = 0;
	for (int n = 0; n < HASHES; n++)
		head[n] = -1;
	while (at < SIZE) {
		int32_t from = 0;
		int length = at + LEAST <= SIZE ? longest(at, &from) : 0;
		int matched = length >= LEAST;
		if (literals && (matched || literals == 128)) {
			*out++ = literals - 1;
			memcpy(out, original + at - literals, literals);
			out += literals;
			literals = 0;
		}
		if (matched) {
			*out++ = 0x80 | (length - LEAST);
			*out++ = (at - from) & 0xFF;
			*out++ = (at - from) >> 8;
		} else {
			length = 1;
			literals++;
		}
		for (; length; length--, at++)
			if (at + LEAST <= SIZE)
				enter(at);
	}
	if (literals) {
		*out++ = literals - 1;
		memcpy(out, original + at - literals, literals);
		out += literals;
	}
	return out - packed;
}

static size_t unpack(size_t size)
{
	const uint8_t *p = packed, *end = packed + size;
	uint8_t *out = back;
	while (p < end) {
		int code = *p++;
		if (code < 0x80) {
			memcpy(out, p, code + 1);
			out += code + 1;
			p += code + 1;
		} else {
			const uint8_t *from = out - (p[0] | p[1] << 8);
			p += 2;
			for (int n = (code & 0x7F) + LEAST; n; n--)
				*out++ = *from++;
		}
	}
	return out - back;
}

ENTRY
{
	uint64_t sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		make_text();
		size_t size = pack();
		if (unpack(size) != SIZE || memcmp(original, back, SIZE))
			return ~0ull;
		for (size_t n = 0; n < size; n++)
			sum = sum * 131 + packed[n];
		sum ^= size;
	}
	return sum;
}
