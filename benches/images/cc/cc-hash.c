/* A hash table with strings for keys: words are counted, looked up and deleted; it grows as it fills. */
#include "freestanding.h"

#define MOST (1 << 16)
#define WORDS 30000
#define ROUNDS 12

struct entry {
	struct entry *next;
	uint32_t hash;
	uint32_t count;
	const char *key;
};

static struct entry *buckets[2][MOST];
static struct entry entries[WORDS];
static struct entry *unused;
static char text[WORDS * 16];
static const char *words[WORDS];

static struct table {
	struct entry **buckets;
	uint32_t size, used;
} table;

static uint32_t hash(const char *key)
{
	uint32_t h = 2166136261u;
	while (*key)
		h = (h ^ (unsigned char)*key++) * 16777619u;
	return h;
}

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void grow(void)
{
	struct entry **to = table.buckets == buckets[0] ? buckets[1] : buckets[0];
	uint32_t size = table.size * 2;
	memset(to, 0, size * sizeof *to);
	for (uint32_t n = 0; n < table.size; n++)
		for (struct entry *e = table.buckets[n], *next; e; e = next) {
			next = e->next;
			e->next = to[e->hash & (size - 1)];
			to[e->hash & (size - 1)] = e;
		}
	table.buckets = to;
	table.size = size;
}

static struct entry **find(const char *key, uint32_t h)
{
	struct entry **at = &table.buckets[h & (table.size - 1)];
	while (*at && ((*at)->hash != h || !equal((*at)->key, key)))
		at = &(*at)->next;
	return at;
}

static void count(const char *key)
{
	uint32_t h = hash(key);
	struct entry **at = find(key, h), *e = *at;
	if (!e) {
		e = unused;
		unused = e->next;
		*e = (struct entry){ 0, h, 0, key };
		*at = e;
		if (++table.used > table.size && table.size < MOST)
			grow();
	}
	e->count++;
}

static uint32_t delete(const char *key)
{
	struct entry **at = find(key, hash(key)), *e = *at;
	if (!e)
		return 0;
	*at = e->next;
	e->next = unused;
	unused = e;
	table.used--;
	return e->count;
}

static void make_words(void)
{
	static const char *const syllables[] = { "ka", "lo", "mi", "ter", "un", "sha", "pro", "con", "x", "ing", "ed", "er" };
	char *p = text;
	for (int n = 0; n < WORDS; n++) {
		words[n] = p;
		for (int parts = 2 + below(3); parts; parts--)
			for (const char *s = syllables[below(12)]; *s; s++)
				*p++ = *s;
		*p++ = 0;
	}
}

ENTRY
{
	uint64_t sum = 0;
	make_words();
	for (int round = 0; round < ROUNDS; round++) {
		unused = 0;
		for (int n = 0; n < WORDS; n++) {
			entries[n].next = unused;
			unused = &entries[n];
		}
		table = (struct table){ buckets[0], 64, 0 };
		memset(buckets[0], 0, 64 * sizeof *buckets[0]);
		for (int n = 0; n < 4 * WORDS; n++)
			count(words[below(WORDS)]);
		for (int n = 0; n < 2 * WORDS; n++) {
			const char *key = words[below(WORDS)];
			struct entry *e = *find(key, hash(key));
			sum = sum * 31 + (e ? e->count : 7);
		}
		for (int n = 0; n < WORDS; n++)
			sum = sum * 33 + delete(words[below(WORDS)]);
		sum ^= (uint64_t)table.used << 32 | table.size;
	}
	return sum;
}
