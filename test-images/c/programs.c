// Programs as gcc compiles them: matrix products that it vectorizes, SHA-256, base64, a Mandelbrot set and the printing
// of floating-point numbers in long double. Built twice: freestanding for the image `programs` (with AVX-512), and
// with HOSTED for the host (without), whose output the image must repeat byte for byte. Contraction and reassociation
// are off, so that vectors give what scalars give.

#ifdef HOSTED
#include <stdio.h>
static void out(char c) { putchar(c); }
#else
static char *place;
static void out(char c) { *place++ = c; }
void *memset(void *to, int value, unsigned long n) {
    for (unsigned char *p = to; n--;) *p++ = (unsigned char)value;
    return to;
}
void *memcpy(void *to, const void *from, unsigned long n) {
    unsigned char *p = to;
    for (const unsigned char *q = from; n--;) *p++ = *q++;
    return to;
}
#endif

typedef unsigned int u32;
typedef unsigned long u64;
typedef unsigned char u8;

static void text(const char *s) {
    while (*s) out(*s++);
}

static void hex(u64 value, int digits) {
    while (digits--) out("0123456789abcdef"[value >> (4 * digits) & 15]);
}

static void decimal(u64 value) {
    char digits[20];
    int n = 0;
    do digits[n++] = (char)('0' + value % 10), value /= 10;
    while (value);
    while (n) out(digits[--n]);
}

// As %.*Le: one digit, a point, `places` more, the exponent.
static void scientific(long double value, int places) {
    if (value != value) { text("nan"); return; }
    if (value < 0) { out('-'); value = -value; }
    if (value > 1.18973e4932L) { text("inf"); return; }
    int exponent = 0;
    if (value != 0) {
        while (value >= 1e16L) value /= 1e16L, exponent += 16;
        while (value >= 10) value /= 10, exponent++;
        while (value < 1e-15L) value *= 1e16L, exponent -= 16;
        while (value < 1) value *= 10, exponent--;
    }
    long double unit = 1;
    for (int n = 0; n < places; n++) unit *= 10;
    u64 scaled = (u64)(value * unit + 0.5L);
    if (scaled >= 10 * (u64)unit) scaled /= 10, exponent++;
    out((char)('0' + scaled / (u64)unit));
    out('.');
    for (u64 below = (u64)unit / 10; below; below /= 10) out((char)('0' + scaled / below % 10));
    text(exponent < 0 ? "e-" : "e+");
    decimal((u64)(exponent < 0 ? -exponent : exponent));
}

enum { SIZE = 48 };
static float a1[SIZE][SIZE], b1[SIZE][SIZE], c1[SIZE][SIZE];
static double a2[SIZE][SIZE], b2[SIZE][SIZE], c2[SIZE][SIZE];

static u64 mix(u64 sum, u64 value) { return (sum ^ value) * 0x100000001B3ul; }

static void products(void) {
    u32 seed = 1;
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            seed = seed * 1664525 + 1013904223;
            a1[i][j] = (float)(int)seed / 65536.0f;
            a2[i][j] = (double)(int)seed / 3.0;
            seed = seed * 1664525 + 1013904223;
            b1[i][j] = (float)(seed >> 8) / 1000.0f;
            b2[i][j] = (double)seed / 7.0;
        }
    for (int i = 0; i < SIZE; i++)
        for (int k = 0; k < SIZE; k++)
            for (int j = 0; j < SIZE; j++) {
                c1[i][j] += a1[i][k] * b1[k][j];
                c2[i][j] += a2[i][k] * b2[k][j];
            }
    u64 sum1 = 0xCBF29CE484222325ul, sum2 = sum1;
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            u32 bits1;
            u64 bits2;
            __builtin_memcpy(&bits1, &c1[i][j], 4);
            __builtin_memcpy(&bits2, &c2[i][j], 8);
            sum1 = mix(sum1, bits1);
            sum2 = mix(sum2, bits2);
        }
    text("matrix products: ");
    hex(sum1, 16);
    out(' ');
    hex(sum2, 16);
    out(' ');
    scientific(c1[3][5], 9);
    out(' ');
    scientific(c2[7][11], 15);
    out('\n');
}

// What loops of integers, of conversions and of conditions become.
static void loops(void) {
    static u8 bytes[1024];
    static int words[1024];
    static float floats[1024];
    static double doubles[1024];
    for (int n = 0; n < 1024; n++) bytes[n] = (u8)(n * 37 + (n >> 3));
    for (int n = 0; n < 1024; n++) words[n] = bytes[n] * bytes[1023 - n] - 30000;
    for (int n = 0; n < 1024; n++) floats[n] = words[n] > 0 ? (float)words[n] * 0.37f : 1.0f / (float)(words[n] - 1);
    for (int n = 0; n < 1024; n++) doubles[n] = __builtin_sqrt(__builtin_fabs((double)floats[n]) + n);
    for (int n = 0; n < 1024; n++) words[n] = (int)(doubles[n] * 1000) ^ (words[n] << (n & 7));
    u64 sum = 0, most = 0;
    for (int n = 0; n < 1024; n++) sum += (u64)(long)words[n], most = (u64)words[n] > most ? (u64)words[n] : most;
    text("loops: ");
    hex(sum, 16);
    out(' ');
    hex(most, 16);
    for (int n = 0; n < 1024; n += 341) out(' '), scientific(doubles[n], 12);
    out('\n');
}

static u32 rotated(u32 value, int count) { return value >> count | value << (32 - count); }

static void sha256(const u8 *data, u64 length, u32 *h) {
    static u32 k[64];
    if (!k[0]) // The first 32 bits of the fractions of the cube roots of the first 64 primes, by Newton's method.
        for (int n = 0, prime = 2; n < 64; prime++) {
            int divisor = 2;
            while (divisor * divisor <= prime && prime % divisor) divisor++;
            if (divisor * divisor <= prime) continue;
            long double root = prime;
            for (int step = 0; step < 60; step++) root -= (root * root * root - prime) / (3 * root * root);
            k[n++] = (u32)(u64)((root - (long double)(int)root) * 4294967296.0L);
        }
    static const u32 start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (int n = 0; n < 8; n++) h[n] = start[n];
    for (u64 block = 0; block <= (length + 8) / 64; block++) {
        u32 w[64];
        for (int n = 0; n < 16; n++) {
            w[n] = 0;
            for (int b = 0; b < 4; b++) {
                u64 at = block * 64 + (u64)(4 * n + b);
                u32 byte = at < length ? data[at] : at == length ? 0x80 : 0;
                w[n] = w[n] << 8 | byte;
            }
        }
        if (block == (length + 8) / 64) w[14] = (u32)(length >> 29), w[15] = (u32)(length << 3);
        for (int n = 16; n < 64; n++) {
            u32 s0 = rotated(w[n - 15], 7) ^ rotated(w[n - 15], 18) ^ w[n - 15] >> 3;
            u32 s1 = rotated(w[n - 2], 17) ^ rotated(w[n - 2], 19) ^ w[n - 2] >> 10;
            w[n] = w[n - 16] + s0 + w[n - 7] + s1;
        }
        u32 s[8];
        for (int n = 0; n < 8; n++) s[n] = h[n];
        for (int n = 0; n < 64; n++) {
            u32 t1 = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[n] + w[n];
            u32 t2 = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (int m = 7; m > 0; m--) s[m] = s[m - 1];
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int n = 0; n < 8; n++) h[n] += s[n];
    }
}

static void digests(void) {
    static u8 data[3000];
    u32 h[8];
    text("sha256(abc): ");
    sha256((const u8 *)"abc", 3, h);
    for (int n = 0; n < 8; n++) hex(h[n], 8);
    for (int n = 0; n < 3000; n++) data[n] = (u8)(n * n >> 3);
    text("\nsha256(3000): ");
    sha256(data, 3000, h);
    for (int n = 0; n < 8; n++) hex(h[n], 8);
    out('\n');
}

static void base64(void) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static u8 data[240], back[240];
    static char code[320];
    for (int n = 0; n < 240; n++) data[n] = (u8)(n * 91 + 17);
    for (int n = 0; n < 80; n++) {
        u32 three = (u32)data[3 * n] << 16 | (u32)data[3 * n + 1] << 8 | data[3 * n + 2];
        for (int k = 0; k < 4; k++) code[4 * n + k] = letters[three >> (18 - 6 * k) & 63];
    }
    int same = 0;
    for (int n = 0; n < 80; n++) {
        u32 three = 0;
        for (int k = 0; k < 4; k++) {
            char c = code[4 * n + k];
            u32 six = c >= 'a' ? (u32)c - 'a' + 26 : c >= 'A' ? (u32)c - 'A' : c >= '0' ? (u32)c - '0' + 52 : c == '+' ? 62 : 63;
            three = three << 6 | six;
        }
        back[3 * n] = (u8)(three >> 16), back[3 * n + 1] = (u8)(three >> 8), back[3 * n + 2] = (u8)three;
    }
    for (int n = 0; n < 240; n++) same += data[n] == back[n];
    text("base64: ");
    for (int n = 0; n < 320; n++) out(code[n]);
    out(' ');
    decimal((u64)same);
    out('\n');
}

static void mandelbrot(void) {
    for (int row = 0; row < 16; row++) {
        for (int column = 0; column < 60; column++) {
            long double cr = column / 24.0L - 1.9L, ci = row / 7.0L - 1.1L, zr = 0, zi = 0;
            int n = 0;
            while (n < 94 && zr * zr + zi * zi < 4) {
                long double next = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = next;
                n++;
            }
            out((char)(' ' + n));
        }
        out('\n');
    }
}

static void numbers(void) {
    static const double list[] = {0, 1, -2.5, 0.1, 1e22, 123456789.123, 4.9e-324, 1.7976931348623157e308, 2.2250738585072014e-308};
    for (int n = 0; n < 9; n++) scientific(list[n], 15), out(' ');
    scientific((float)list[3], 8);
    out(' ');
    scientific(__builtin_sqrtl(2), 17);
    out(' ');
    long double factorial = 1;
    for (int n = 2; n < 150; n++) factorial *= n;
    scientific(factorial, 16);
    out('\n');
}

static void programs(void) {
    products();
    loops();
    digests();
    base64();
    mandelbrot();
    numbers();
}

#ifdef HOSTED
int main(void) {
    programs();
    return 0;
}
#else
// Writes the output to `to`; how long it is.
__attribute__((section(".start"))) u64 start(char *to) {
    place = to;
    programs();
    return (u64)(place - to);
}
#endif
