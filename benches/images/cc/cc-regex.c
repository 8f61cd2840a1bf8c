/* Regular expressions: patterns are compiled to a program whose threads all go through the text at once. */
#include "freestanding.h"

enum code { CHAR, ANY, CLASS, SPLIT, JUMP, MATCH };

struct step {
	uint8_t code, character;
	uint16_t x, y;
	uint32_t set[8];
};

#define STEPS 200
#define TEXT 60000
#define ROUNDS 6

static struct step program[STEPS];
static uint32_t length;
static const char *pattern;
static char text[TEXT + 1];
static struct list {
	uint32_t count;
	uint16_t at[STEPS];
} lists[2];
static uint32_t seen[STEPS], generation;

static uint32_t emit(enum code code)
{
	program[length] = (struct step){ .code = code };
	return length++;
}

/* Makes room for one step before `from`. */
static void insert(uint32_t from)
{
	for (uint32_t n = length++; n > from; n--) {
		program[n] = program[n - 1];
		if (program[n].code == SPLIT || program[n].code == JUMP) {
			program[n].x += program[n].x >= from;
			program[n].y += program[n].y >= from;
		}
	}
	program[from] = (struct step){ .code = SPLIT };
}

static void alternatives(void);

static void class(void)
{
	uint32_t n = emit(CLASS);
	int negated = *pattern == '^';
	pattern += negated;
	while (*pattern && *pattern != ']') {
		unsigned char first = *pattern++, last = first;
		if (*pattern == '-' && pattern[1] != ']') {
			last = pattern[1];
			pattern += 2;
		}
		for (unsigned c = first; c <= last; c++)
			program[n].set[c / 32] |= 1u << c % 32;
	}
	if (*pattern)
		pattern++;
	for (int w = 0; negated && w < 8; w++)
		program[n].set[w] = ~program[n].set[w];
}

static void repeated(void)
{
	uint32_t start = length;
	switch (*pattern) {
	case '(':
		pattern++;
		alternatives();
		pattern++;
		break;
	case '[':
		pattern++;
		class();
		break;
	case '.':
		pattern++;
		emit(ANY);
		break;
	default:
		pattern += *pattern == '\\';
		program[emit(CHAR)].character = *pattern++;
	}
	for (;; pattern++) {
		if (*pattern == '*') {
			insert(start);
			program[emit(JUMP)].x = start;
			program[start].x = start + 1;
			program[start].y = length;
		} else if (*pattern == '+') {
			uint32_t n = emit(SPLIT);
			program[n].x = start;
			program[n].y = length;
		} else if (*pattern == '?') {
			insert(start);
			program[start].x = start + 1;
			program[start].y = length;
		} else {
			return;
		}
	}
}

static void alternatives(void)
{
	uint32_t start = length;
	while (*pattern && *pattern != '|' && *pattern != ')')
		repeated();
	if (*pattern == '|') {
		pattern++;
		insert(start);
		uint32_t jump = emit(JUMP);
		program[start].x = start + 1;
		program[start].y = length;
		alternatives();
		program[jump].x = length;
	}
}

static void follow(struct list *list, uint32_t n)
{
	while (seen[n] != generation) {
		seen[n] = generation;
		switch (program[n].code) {
		case JUMP:
			n = program[n].x;
			break;
		case SPLIT:
			follow(list, program[n].x);
			n = program[n].y;
			break;
		default:
			list->at[list->count++] = n;
			return;
		}
	}
}

/* Where the longest match from `from` ends, or 0. */
static const char *match(const char *from)
{
	struct list *now = &lists[0], *next = &lists[1];
	const char *end = 0;
	now->count = 0;
	generation++;
	follow(now, 0);
	for (const char *p = from; now->count; p++) {
		unsigned char c = *p;
		next->count = 0;
		generation++;
		for (uint32_t n = 0; n < now->count; n++) {
			const struct step *step = &program[now->at[n]];
			int goes_on = 0;
			switch (step->code) {
			case CHAR: goes_on = c == step->character; break;
			case ANY: goes_on = c != 0 && c != '\n'; break;
			case CLASS: goes_on = c != 0 && (step->set[c / 32] >> c % 32 & 1); break;
			default: end = p; break;
			}
			if (goes_on)
				follow(next, now->at[n] + 1);
		}
		struct list *old = now;
		now = next;
		next = old;
		if (!c)
			break;
	}
	return end;
}

static void make_text(void)
{
	static const char *const words[] = { "error: ", "vmexit ", "rip=", "user@", "host.org ", "qualification", " 0x",
		"level ", "[info] ", "\n", "aaab", "ababab ", "date 2026-11-30 ", ": " };
	char *p = text;
	while (p < text + TEXT - 40) {
		const char *w = words[below(14)];
		while (*w)
			*p++ = *w++;
		for (int n = below(6); n; n--)
			*p++ = "0123456789abcdef"[below(16)];
	}
	*p = 0;
}

ENTRY
{
	static const char *const patterns[] = { "0x[0-9a-f]+", "[a-z0-9]+@[a-z]+\\.(org|com|net)", "(a|b)*abb?",
		"[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]", "error: .*rip=[0-9a-f]*", "(vm(exit|entry)|level) +[0-9]+" };
	uint64_t sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		make_text();
		for (int n = 0; n < 6; n++) {
			uint32_t matches = 0;
			length = 0;
			pattern = patterns[n];
			alternatives();
			emit(MATCH);
			for (const char *p = text; *p;) {
				const char *end = match(p);
				if (end && end > p) {
					matches++;
					sum = sum * 43 + (uint64_t)(end - text);
					p = end;
				} else {
					p++;
				}
			}
			sum = sum * 47 + matches;
		}
	}
	return sum;
}
