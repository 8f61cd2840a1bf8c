/* JSON: a document is written, parsed by recursive descent into nodes of an arena, and walked. */
#include "freestanding.h"

#define NODES 40000
#define ROUNDS 40

enum kind { NIL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT };

struct node {
	enum kind kind;
	const char *name, *string;
	uint32_t name_length, length;
	int64_t number;
	struct node *first, *next;
};

static char document[1 << 20];
static struct node nodes[NODES];
static uint32_t used;
static char *out;
static const char *in;

static void put(const char *s)
{
	while (*s)
		*out++ = *s++;
}

static void put_number(int64_t v)
{
	char digits[24];
	int n = 0;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	if (v < 0)
		*out++ = '-';
	do
		digits[n++] = '0' + u % 10;
	while (u /= 10);
	while (n)
		*out++ = digits[--n];
}

static void put_string(void)
{
	*out++ = '"';
	for (int n = 2 + below(14); n; n--) {
		char c = "abcdefghijklmnop qrstuvwxyz\"\\\n"[below(30)];
		if (c == '\n') {
			put("\\n");
			continue;
		}
		if (c == '"' || c == '\\')
			*out++ = '\\';
		*out++ = c;
	}
	*out++ = '"';
}

static void put_value(int depth)
{
	uint32_t choice = below(depth > 5 ? 5 : 9);
	uint32_t members = 2 + below(5);
	switch (choice) {
	case 0: put("null"); break;
	case 1: put(below(2) ? "true" : "false"); break;
	case 2: case 3: put_number((int64_t)random64() >> below(60)); break;
	case 4: put_string(); break;
	case 5: case 6:
		*out++ = '[';
		while (members--) {
			put_value(depth + 1);
			put(members ? ", " : "]");
		}
		break;
	default:
		put("{\n");
		while (members--) {
			put_string();
			put(": ");
			put_value(depth + 1);
			put(members ? ",\n  " : "\n}");
		}
	}
}

static struct node *parse(void);

static void skip_space(void)
{
	while (*in == ' ' || *in == '\n' || *in == '\t' || *in == '\r')
		in++;
}

static const char *parse_string(uint32_t *length)
{
	const char *start = ++in;
	while (*in && *in != '"')
		in += *in == '\\' ? 2 : 1;
	*length = in - start;
	if (*in)
		in++;
	return start;
}

static void parse_members(struct node *to, char end)
{
	struct node **tail = &to->first;
	in++;
	for (;;) {
		const char *name = 0;
		uint32_t length = 0;
		skip_space();
		if (*in == end || !*in)
			break;
		if (end == '}') {
			name = parse_string(&length);
			skip_space();
			if (*in == ':')
				in++;
		}
		struct node *member = parse();
		if (!member)
			break;
		member->name = name;
		member->name_length = length;
		*tail = member;
		tail = &member->next;
		skip_space();
		if (*in == ',')
			in++;
	}
	if (*in)
		in++;
}

static int word(const char *s)
{
	const char *p = in;
	while (*s)
		if (*p++ != *s++)
			return 0;
	in = p;
	return 1;
}

static struct node *parse(void)
{
	skip_space();
	if (used == NODES || !*in)
		return 0;
	struct node *node = &nodes[used++];
	*node = (struct node){ .kind = NIL };
	switch (*in) {
	case '{': node->kind = OBJECT; parse_members(node, '}'); break;
	case '[': node->kind = ARRAY; parse_members(node, ']'); break;
	case '"': node->kind = STRING; node->string = parse_string(&node->length); break;
	case 't': case 'f':
		node->kind = BOOLEAN;
		node->number = word("true");
		if (!node->number && !word("false"))
			return 0;
		break;
	case 'n':
		if (!word("null"))
			return 0;
		break;
	default: {
		int negative = *in == '-';
		uint64_t v = 0;
		in += negative;
		if (*in < '0' || *in > '9')
			return 0;
		while (*in >= '0' && *in <= '9')
			v = v * 10 + (*in++ - '0');
		node->kind = NUMBER;
		node->number = negative ? -v : v;
	}
	}
	return node;
}

static uint64_t walk(const struct node *node, int depth)
{
	uint64_t sum = node->kind + 10 * depth + node->number;
	for (uint32_t n = 0; n < node->name_length; n++)
		sum = sum * 17 + node->name[n];
	for (uint32_t n = 0; n < node->length; n++)
		sum = sum * 19 + node->string[n];
	for (const struct node *m = node->first; m; m = m->next)
		sum = sum * 23 + walk(m, depth + 1);
	return sum;
}

ENTRY
{
	uint64_t sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		out = document;
		*out++ = '[';
		while (out < document + 200000) {
			put_value(0);
			put(",\n");
		}
		put("0]");
		*out = 0;
		for (int again = 0; again < 3; again++) {
			in = document;
			used = 0;
			struct node *root = parse();
			if (!root || *in)
				return ~0ull;
			sum = sum * 3 + walk(root, 0) + used;
		}
	}
	return sum;
}
