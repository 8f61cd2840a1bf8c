/* What the programs need of a C library, and random numbers. */
#include <stddef.h>
#include <stdint.h>

#define ENTRY __attribute__((section(".text.run"), used)) uint64_t run(void)

void *memcpy(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;
	while (n--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, size_t n)
{
	char *t = to;
	while (n--)
		*t++ = (char)value;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	for (; n--; x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

static uint64_t random_state = 88172645463325252u;

static inline uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline uint32_t below(uint32_t n)
{
	return (uint32_t)((random64() >> 32) * n >> 32);
}
