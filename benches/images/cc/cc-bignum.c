/* Big numbers: products by Karatsuba's method and by rows, a power modulo by Montgomery's reduction, decimal digits. */
#include "freestanding.h"

typedef unsigned __int128 wide;

#define LIMBS 32
#define POWER 256

static void multiply_rows(uint64_t *out, const uint64_t *a, const uint64_t *b, int n)
{
	memset(out, 0, 2 * n * sizeof *out);
	for (int i = 0; i < n; i++) {
		uint64_t carry = 0;
		for (int j = 0; j < n; j++) {
			wide t = (wide)a[i] * b[j] + out[i + j] + carry;
			out[i + j] = (uint64_t)t;
			carry = (uint64_t)(t >> 64);
		}
		out[i + n] = carry;
	}
}

static uint64_t add(uint64_t *to, const uint64_t *a, int n)
{
	uint64_t carry = 0;
	for (int i = 0; i < n; i++) {
		wide t = (wide)to[i] + a[i] + carry;
		to[i] = (uint64_t)t;
		carry = (uint64_t)(t >> 64);
	}
	return carry;
}

static uint64_t subtract(uint64_t *to, const uint64_t *a, int n)
{
	uint64_t borrow = 0;
	for (int i = 0; i < n; i++) {
		wide t = (wide)to[i] - a[i] - borrow;
		to[i] = (uint64_t)t;
		borrow = (uint64_t)(t >> 64) & 1;
	}
	return borrow;
}

static int compare(const uint64_t *a, const uint64_t *b, int n)
{
	while (n--)
		if (a[n] != b[n])
			return a[n] < b[n] ? -1 : 1;
	return 0;
}

/* |a - b|; whether a < b. */
static int distance(uint64_t *out, const uint64_t *a, const uint64_t *b, int n)
{
	int less = compare(a, b, n) < 0;
	memcpy(out, less ? b : a, n * sizeof *out);
	subtract(out, less ? a : b, n);
	return less;
}

static void multiply(uint64_t *out, const uint64_t *a, const uint64_t *b, int n)
{
	if (n <= 8) {
		multiply_rows(out, a, b, n);
		return;
	}
	int h = n / 2;
	uint64_t x[POWER / 2], y[POWER / 2], middle[POWER + 1], cross[POWER];
	int negative = distance(x, a, a + h, h) != distance(y, b, b + h, h);
	multiply(out, a, b, h);
	multiply(out + n, a + h, b + h, h);
	multiply(cross, x, y, h);
	memcpy(middle, out, n * sizeof *middle);
	middle[n] = add(middle, out + n, n);
	if (negative)
		middle[n] += add(middle, cross, n);
	else
		middle[n] -= subtract(middle, cross, n);
	uint64_t carry = add(out + h, middle, n + 1);
	for (int i = h + n + 1; carry && i < 2 * n; i++)
		carry = ++out[i] == 0;
}

static void montgomery(uint64_t *out, const uint64_t *a, const uint64_t *b, const uint64_t *m, uint64_t inverse)
{
	uint64_t t[LIMBS + 2] = { 0 };
	for (int i = 0; i < LIMBS; i++) {
		uint64_t carry = 0;
		wide w;
		for (int j = 0; j < LIMBS; j++) {
			w = (wide)a[i] * b[j] + t[j] + carry;
			t[j] = (uint64_t)w;
			carry = (uint64_t)(w >> 64);
		}
		w = (wide)t[LIMBS] + carry;
		t[LIMBS] = (uint64_t)w;
		t[LIMBS + 1] = (uint64_t)(w >> 64);
		uint64_t q = t[0] * inverse;
		carry = (uint64_t)(((wide)q * m[0] + t[0]) >> 64);
		for (int j = 1; j < LIMBS; j++) {
			w = (wide)q * m[j] + t[j] + carry;
			t[j - 1] = (uint64_t)w;
			carry = (uint64_t)(w >> 64);
		}
		w = (wide)t[LIMBS] + carry;
		t[LIMBS - 1] = (uint64_t)w;
		t[LIMBS] = t[LIMBS + 1] + (uint64_t)(w >> 64);
	}
	if (t[LIMBS] || compare(t, m, LIMBS) >= 0)
		subtract(t, m, LIMBS);
	memcpy(out, t, LIMBS * sizeof *out);
}

static uint64_t digits(uint64_t *a, int n)
{
	uint64_t sum = 0;
	while (n) {
		uint64_t rest = 0;
		for (int i = n; i--;) {
			/* Two divisions of 64 bits by a divisor of 32. */
			uint64_t high = rest << 32 | a[i] >> 32;
			uint64_t low = high % 1000000000 << 32 | (uint32_t)a[i];
			a[i] = high / 1000000000 << 32 | low / 1000000000;
			rest = low % 1000000000;
		}
		for (; rest; rest /= 10)
			sum = sum * 11 + rest % 10;
		while (n && !a[n - 1])
			n--;
	}
	return sum;
}

static uint64_t a[POWER], b[POWER], product[2 * POWER], rows[2 * POWER];

ENTRY
{
	uint64_t sum = 0;
	for (int round = 0; round < 150; round++) {
		for (int i = 0; i < POWER; i++)
			a[i] = random64(), b[i] = random64();
		multiply(product, a, b, POWER);
		if (round % 16 == 0) {
			multiply_rows(rows, a, b, POWER);
			if (compare(product, rows, 2 * POWER))
				return ~0ull;
		}
		for (int i = 0; i < 2 * POWER; i++)
			sum = sum * 29 + product[i];
	}
	for (int round = 0; round < 4; round++) {
		uint64_t m[LIMBS], x[LIMBS], y[LIMBS], inverse = 1;
		for (int i = 0; i < LIMBS; i++)
			m[i] = random64(), x[i] = random64(), y[i] = random64();
		m[0] |= 1;
		m[LIMBS - 1] |= 1ull << 63;
		x[LIMBS - 1] >>= 1;
		for (int i = 0; i < 6; i++)
			inverse *= 2 - m[0] * inverse;
		for (int bit = 0; bit < 2048; bit++) {
			montgomery(x, x, x, m, -inverse);
			if (y[bit / 64] >> bit % 64 & 1)
				montgomery(x, x, y, m, -inverse);
		}
		for (int i = 0; i < LIMBS; i++)
			sum = sum * 37 + x[i];
	}
	for (int round = 0; round < 6; round++) {
		memcpy(rows, product, sizeof rows);
		rows[0] += round;
		sum = sum * 41 + digits(rows, 2 * POWER);
	}
	return sum;
}
