/* Ordinary C, for its basic blocks: sorting, searching, text, hashing, lists, trees, arithmetic, pictures, numbers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stdlib.h>
#include <math.h>

struct node { struct node *next, *left, *right; int key; unsigned count; char name[16]; };
struct ring { uint8_t *data; size_t size, head, tail; uint64_t total; };
struct point { double x, y, z; };

void insertion_sort(int *a, int n) {
    for (int i = 1; i < n; i++) {
        int v = a[i], j = i - 1;
        while (j >= 0 && a[j] > v) { a[j + 1] = a[j]; j--; }
        a[j + 1] = v;
    }
}
static void swap(long *a, long *b) { long t = *a; *a = *b; *b = t; }
void quick_sort(long *a, long lo, long hi) {
    while (lo < hi) {
        long p = a[(lo + hi) / 2], i = lo, j = hi;
        while (i <= j) {
            while (a[i] < p) i++;
            while (a[j] > p) j--;
            if (i <= j) swap(&a[i++], &a[j--]);
        }
        if (j - lo < hi - i) { quick_sort(a, lo, j); lo = i; } else { quick_sort(a, i, hi); hi = j; }
    }
}
void sift_down(unsigned *heap, size_t n, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[at] >= heap[child]) return;
        unsigned t = heap[at]; heap[at] = heap[child]; heap[child] = t;
        at = child;
    }
}
int binary_search(const int *a, int n, int key) {
    int lo = 0, hi = n - 1;
    while (lo <= hi) {
        int mid = lo + (hi - lo) / 2;
        if (a[mid] == key) return mid;
        if (a[mid] < key) lo = mid + 1; else hi = mid - 1;
    }
    return -1;
}
size_t length(const char *s) { size_t n = 0; while (s[n]) n++; return n; }
int compare(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}
char *find(const char *text, const char *word) {
    for (; *text; text++) {
        size_t i = 0;
        while (word[i] && text[i] == word[i]) i++;
        if (!word[i]) return (char *)text;
    }
    return 0;
}
long parse(const char *s, const char **end) {
    long v = 0; int neg = 0;
    while (*s == ' ' || *s == '\t' || *s == '\n') s++;
    if (*s == '-') neg = 1, s++; else if (*s == '+') s++;
    while (*s >= '0' && *s <= '9') v = v * 10 + (*s++ - '0');
    *end = s;
    return neg ? -v : v;
}
int print_number(char *out, unsigned long v, unsigned base) {
    char digits[64]; int n = 0, i;
    do { digits[n++] = "0123456789abcdef"[v % base]; v /= base; } while (v);
    for (i = 0; i < n; i++) out[i] = digits[n - 1 - i];
    return n;
}
void upper(char *s) { for (; *s; s++) if (*s >= 'a' && *s <= 'z') *s -= 32; }
unsigned words(const char *s) {
    unsigned n = 0; int in = 0;
    for (; *s; s++) {
        int space = *s == ' ' || *s == '\n' || *s == '\t';
        if (!space && !in) n++;
        in = !space;
    }
    return n;
}
uint32_t fnv(const uint8_t *p, size_t n) { uint32_t h = 2166136261u; while (n--) h = (h ^ *p++) * 16777619u; return h; }
uint32_t crc(const uint8_t *p, size_t n) {
    uint32_t c = ~0u;
    while (n--) { c ^= *p++; for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1; }
    return ~c;
}
uint32_t adler(const uint8_t *p, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) { a = (a + p[i]) % 65521; b = (b + a) % 65521; }
    return b << 16 | a;
}
#define ROTL(x, n) ((x) << (n) | (x) >> (32 - (n)))
void quarter(uint32_t s[16], int a, int b, int c, int d) {
    s[a] += s[b]; s[d] = ROTL(s[d] ^ s[a], 16);
    s[c] += s[d]; s[b] = ROTL(s[b] ^ s[c], 12);
    s[a] += s[b]; s[d] = ROTL(s[d] ^ s[a], 8);
    s[c] += s[d]; s[b] = ROTL(s[b] ^ s[c], 7);
}
void chacha(uint32_t out[16], const uint32_t in[16]) {
    uint32_t s[16]; int i;
    memcpy(s, in, sizeof s);
    for (i = 0; i < 10; i++) { quarter(s, 0, 4, 8, 12); quarter(s, 1, 5, 9, 13); quarter(s, 2, 6, 10, 14); }
    for (i = 0; i < 16; i++) out[i] = s[i] + in[i];
}
uint64_t xorshift(uint64_t *s) { uint64_t x = *s; x ^= x << 13; x ^= x >> 7; x ^= x << 17; return *s = x; }
uint64_t mix(uint64_t h) { h ^= h >> 33; h *= 0xff51afd7ed558ccdull; h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53ull; return h ^ h >> 33; }
int bits(uint64_t v) { int n = 0; while (v) { v &= v - 1; n++; } return n; }
uint32_t reverse(uint32_t v) { uint32_t r = 0; for (int i = 0; i < 32; i++) { r = r << 1 | (v & 1); v >>= 1; } return r; }
struct node *reverse_list(struct node *n) { struct node *p = 0; while (n) { struct node *t = n->next; n->next = p; p = n; n = t; } return p; }
struct node *lookup(struct node *n, int key) { while (n && n->key != key) n = key < n->key ? n->left : n->right; return n; }
void insert(struct node **at, struct node *n) { while (*at) { (*at)->count++; at = n->key < (*at)->key ? &(*at)->left : &(*at)->right; } *at = n; }
int depth(const struct node *n) { if (!n) return 0; int l = depth(n->left), r = depth(n->right); return 1 + (l > r ? l : r); }
long sum_list(const struct node *n) { long s = 0; for (; n; n = n->next) s += n->key * (long)n->count; return s; }
struct node *merge(struct node *a, struct node *b) {
    struct node head, *t = &head;
    while (a && b) if (a->key <= b->key) { t->next = a; t = a; a = a->next; } else { t->next = b; t = b; b = b->next; }
    t->next = a ? a : b;
    return head.next;
}
int put(struct ring *r, uint8_t v) {
    size_t next = (r->head + 1) % r->size;
    if (next == r->tail) return 0;
    r->data[r->head] = v; r->head = next; r->total++;
    return 1;
}
int get(struct ring *r, uint8_t *v) {
    if (r->head == r->tail) return 0;
    *v = r->data[r->tail]; if (++r->tail == r->size) r->tail = 0;
    return 1;
}
uint64_t gcd(uint64_t a, uint64_t b) { while (b) { uint64_t t = a % b; a = b; b = t; } return a; }
uint64_t power(uint64_t b, unsigned e, uint64_t m) { uint64_t r = 1; for (; e; e >>= 1) { if (e & 1) r = r * b % m; b = b * b % m; } return r; }
unsigned primes(uint8_t *sieve, unsigned n) {
    unsigned count = 0;
    for (unsigned i = 2; i < n; i++) if (!sieve[i]) { count++; for (unsigned j = i * 2; j < n; j += i) sieve[j] = 1; }
    return count;
}
unsigned root(unsigned v) { unsigned r = 0, bit = 1u << 30; while (bit > v) bit >>= 2; while (bit) { if (v >= r + bit) { v -= r + bit; r = (r >> 1) + bit; } else r >>= 1; bit >>= 2; } return r; }
int days(int y, int m, int d) { if (m < 3) y--, m += 12; return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m - 457) / 5 + d - 306; }
long fib(int n) { long a = 0, b = 1; while (n-- > 0) { long t = a + b; a = b; b = t; } return a; }
void multiply(double *c, const double *a, const double *b, int n) {
    for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) { double s = 0; for (int k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j]; c[i * n + j] = s; }
}
double dot(const struct point *a, const struct point *b) { return a->x * b->x + a->y * b->y + a->z * b->z; }
void cross(struct point *r, const struct point *a, const struct point *b) { r->x = a->y * b->z - a->z * b->y; r->y = a->z * b->x - a->x * b->z; r->z = a->x * b->y - a->y * b->x; }
double norm(const struct point *p, int n) { double m = 0; for (int i = 0; i < n; i++) { double d = sqrt(dot(&p[i], &p[i])); if (d > m) m = d; } return m; }
double polynomial(const double *c, int n, double x) { double r = 0; while (n--) r = r * x + c[n]; return r; }
float mean(const float *v, int n) { float s = 0; for (int i = 0; i < n; i++) s += v[i]; return n ? s / n : 0; }
double variance(const double *v, int n, double m) { double s = 0; for (int i = 0; i < n; i++) s += (v[i] - m) * (v[i] - m); return s / (n - 1); }
double newton(double a) { double x = a; for (int i = 0; i < 20; i++) x = (x + a / x) * 0.5; return x; }
void saxpy(float *y, const float *x, float a, int n) { for (int i = 0; i < n; i++) y[i] += a * x[i]; }
int mandelbrot(double cr, double ci, int most) { double r = 0, i = 0; int n = 0; while (n < most && r * r + i * i < 4) { double t = r * r - i * i + cr; i = 2 * r * i + ci; r = t; n++; } return n; }
void grey(uint8_t *out, const uint8_t *rgb, int n) { for (int i = 0; i < n; i++) out[i] = (rgb[3 * i] * 77 + rgb[3 * i + 1] * 150 + rgb[3 * i + 2] * 29) >> 8; }
void blend(uint8_t *d, const uint8_t *s, int a, int n) { for (int i = 0; i < n; i++) d[i] = (s[i] * a + d[i] * (255 - a)) / 255; }
void blur(int *out, const int *in, int w, int h) {
    for (int y = 1; y < h - 1; y++) for (int x = 1; x < w - 1; x++)
        out[y * w + x] = (in[(y - 1) * w + x] + in[(y + 1) * w + x] + in[y * w + x - 1] + in[y * w + x + 1] + 4 * in[y * w + x]) / 8;
}
void line(uint32_t *p, int w, int x0, int y0, int x1, int y1, uint32_t c) {
    int dx = abs(x1 - x0), dy = -abs(y1 - y0), sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1, e = dx + dy;
    for (;;) { p[y0 * w + x0] = c; if (x0 == x1 && y0 == y1) break; int e2 = 2 * e; if (e2 >= dy) { e += dy; x0 += sx; } if (e2 <= dx) { e += dx; y0 += sy; } }
}
void life(uint8_t *n, const uint8_t *o, int w, int h) {
    for (int y = 1; y < h - 1; y++) for (int x = 1; x < w - 1; x++) {
        int c = 0; for (int dy = -1; dy <= 1; dy++) for (int dx = -1; dx <= 1; dx++) c += o[(y + dy) * w + x + dx];
        n[y * w + x] = c == 3 || (c == 4 && o[y * w + x]);
    }
}
size_t encode(uint8_t *out, const uint8_t *in, size_t n) {
    size_t o = 0, i = 0;
    while (i < n) { uint8_t v = in[i]; size_t run = 1; while (i + run < n && in[i + run] == v && run < 255) run++; out[o++] = run; out[o++] = v; i += run; }
    return o;
}
size_t base64(char *out, const uint8_t *in, size_t n) {
    static const char T[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t o = 0;
    for (size_t i = 0; i + 2 < n; i += 3) { uint32_t v = in[i] << 16 | in[i + 1] << 8 | in[i + 2]; out[o++] = T[v >> 18]; out[o++] = T[v >> 12 & 63]; out[o++] = T[v >> 6 & 63]; out[o++] = T[v & 63]; }
    return o;
}
int utf8(const uint8_t *s, uint32_t *out) {
    if (s[0] < 0x80) { *out = s[0]; return 1; }
    if ((s[0] & 0xE0) == 0xC0 && (s[1] & 0xC0) == 0x80) { *out = (s[0] & 31) << 6 | (s[1] & 63); return 2; }
    if ((s[0] & 0xF0) == 0xE0) { *out = (s[0] & 15) << 12 | (s[1] & 63) << 6 | (s[2] & 63); return 3; }
    return 0;
}
int distance(const char *a, int n, const char *b, int m, int *row) {
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int old = row[0]; row[0] = i;
        for (int j = 1; j <= m; j++) { int t = row[j], c = old + (a[i - 1] != b[j - 1]); if (t + 1 < c) c = t + 1; if (row[j - 1] + 1 < c) c = row[j - 1] + 1; row[j] = c; old = t; }
    }
    return row[m];
}
long machine(const uint8_t *code, long *stack) {
    long *sp = stack;
    for (;;) switch (*code++) {
        case 0: return sp[-1];
        case 1: *sp++ = *code++; break;
        case 2: sp[-2] += sp[-1]; sp--; break;
        case 3: sp[-2] -= sp[-1]; sp--; break;
        case 4: sp[-2] *= sp[-1]; sp--; break;
        case 5: if (!sp[-1]) return -1; sp[-2] /= sp[-1]; sp--; break;
        case 6: sp[0] = sp[-1]; sp++; break;
        case 7: sp[-1] = -sp[-1]; break;
        case 8: if (*--sp) code += (int8_t)*code; else code++; break;
        case 9: sp[-1] <<= *code++ & 63; break;
        default: return -2;
    }
}
void floyd(int *d, int n) { for (int k = 0; k < n; k++) for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) if (d[i * n + k] + d[k * n + j] < d[i * n + j]) d[i * n + j] = d[i * n + k] + d[k * n + j]; }
int queens(int n, int row, unsigned cols, unsigned d1, unsigned d2) { if (row == n) return 1; int c = 0; for (unsigned free = ~(cols | d1 | d2) & ((1u << n) - 1); free; free &= free - 1) { unsigned b = free & -free; c += queens(n, row + 1, cols | b, (d1 | b) << 1, (d2 | b) >> 1); } return c; }
int knapsack(int *best, const int *w, const int *v, int n, int cap) { for (int i = 0; i < n; i++) for (int c = cap; c >= w[i]; c--) if (best[c - w[i]] + v[i] > best[c]) best[c] = best[c - w[i]] + v[i]; return best[cap]; }
unsigned table_find(const unsigned *keys, unsigned mask, unsigned key) { unsigned i = key * 2654435761u >> 16 & mask; while (keys[i] && keys[i] != key) i = (i + 1) & mask; return i; }
void transpose(float *a, int n) { for (int i = 0; i < n; i++) for (int j = i + 1; j < n; j++) { float t = a[i * n + j]; a[i * n + j] = a[j * n + i]; a[j * n + i] = t; } }
int clamp_sum(const short *a, const short *b, short *out, int n) { int over = 0; for (int i = 0; i < n; i++) { int s = a[i] + b[i]; if (s > 32767) s = 32767, over++; if (s < -32768) s = -32768, over++; out[i] = s; } return over; }
uint64_t carry_add(uint64_t *r, const uint64_t *a, const uint64_t *b, int n) { unsigned __int128 c = 0; for (int i = 0; i < n; i++) { c += (unsigned __int128)a[i] + b[i]; r[i] = c; c >>= 64; } return c; }
void big_mul(uint32_t *r, const uint32_t *a, int n, uint32_t m) { uint64_t c = 0; for (int i = 0; i < n; i++) { c += (uint64_t)a[i] * m; r[i] = c; c >>= 32; } r[n] = c; }
int to_int(const double *v, int *out, int n) { int bad = 0; for (int i = 0; i < n; i++) { if (v[i] != v[i] || fabs(v[i]) > 1e9) bad++; else out[i] = (int)(v[i] + 0.5); } return bad; }
double interpolate(const double *xs, const double *ys, int n, double x) { int i = 0; while (i < n - 2 && xs[i + 1] < x) i++; return ys[i] + (ys[i + 1] - ys[i]) * (x - xs[i]) / (xs[i + 1] - xs[i]); }
