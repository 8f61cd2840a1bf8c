//! Decoding, dispatch and memory of one processor.

mod settings;

use benches::{DATA, round, time_rounds};
use criterion::{Criterion, Throughput};
use emu_core::mem::ram::PAGE;
use emu_core::testing::Bench;

/// One of many kinds of instructions each.
const MIXED: &[&[u8]] = &[
    &[0x8B, 0x06],                               // mov eax, [rsi]
    &[0x48, 0x01, 0xC8],                         // add rax, rcx
    &[0x48, 0x8D, 0x54, 0x88, 0x10],             // lea rdx, [rax + rcx*4 + 10h]
    &[0x48, 0x89, 0x56, 0x08],                   // mov [rsi + 8], rdx
    &[0x48, 0xC1, 0xE2, 0x07],                   // shl rdx, 7
    &[0x31, 0xD0],                               // xor eax, edx
    &[0x0F, 0xB6, 0x4E, 0x03],                   // movzx ecx, byte [rsi + 3]
    &[0x48, 0x69, 0xD9, 0xE8, 0x03, 0x00, 0x00], // imul rbx, rcx, 1000
    &[0x48, 0x85, 0xDB],                         // test rbx, rbx
    &[0x0F, 0x95, 0xC0],                         // setne al
    &[0x48, 0x0F, 0x44, 0xD3],                   // cmovz rdx, rbx
    &[0x50],                                     // push rax
    &[0x5F],                                     // pop rdi
    &[0xF2, 0x0F, 0x58, 0xC1],                   // addsd xmm0, xmm1
    &[0x66, 0x0F, 0x59, 0xD3],                   // mulpd xmm2, xmm3
    &[0xF3, 0x0F, 0x6F, 0x66, 0x10],             // movdqu xmm4, [rsi + 16]
];

/// A processor in 64-bit mode before `code`; RSI points to data.
fn bench(code: &[u8]) -> Bench {
    let mut bench = Bench::long_mode(code);
    bench.cpu.gpr[6] = DATA;
    bench
}

/// Measures rounds of `body`, which does what `name` says `elements` times.
fn rounds(c: &mut Criterion, group: &str, name: &str, body: &[u8], elements: u64) {
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(elements));
    let mut bench = bench(&round(body));
    group.bench_function(name, |b| b.iter_custom(|n| time_rounds(&mut bench, n)));
    group.finish();
}

/// The page's blocks are dropped as after a store into it, and its first block is decoded, lowered and entered anew.
fn decode(c: &mut Criterion) {
    let code = MIXED.concat();
    let code = round(&code);
    let mut bench = bench(&code);
    let start = bench.cpu.rip();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(MIXED.len() as u64 + 2));
    group.bench_function("drop, decode and lower a block, run one instruction", |b| {
        b.iter(|| {
            bench.ram.dma_write(start, &code[..2]);
            bench.cpu.set_rip(start);
            bench.step()
        });
    });
    group.finish();
    rounds(c, "decode", "the same instructions once decoded", &MIXED.concat(), MIXED.len() as u64 + 2);
}

fn dispatch(c: &mut Criterion) {
    let next = [0xEB, 0x00]; // jmp to what follows
    rounds(c, "dispatch", "blocks of one jump each, in one page", &next.repeat(64), 64);
    let mut pages = Vec::new(); // 16 pages, in each a jump to the next page's start
    for _ in 0..16 {
        pages.extend([0xE9]);
        pages.extend((PAGE as i32 - 5).to_le_bytes());
        pages.resize(pages.len().next_multiple_of(PAGE as usize), 0x90);
    }
    rounds(c, "dispatch", "blocks of one jump each, in 16 pages", &pages, 16);
    let call = [0xE8, 0x02, 0x00, 0x00, 0x00, 0xEB, 0x01, 0xC3]; // call r; jmp over; r: ret
    rounds(c, "dispatch", "CALL and RET", &call.repeat(16), 16);
    // lea rax, [rip + 2]; jmp rax
    let indirect = [0x48, 0x8D, 0x05, 0x02, 0x00, 0x00, 0x00, 0xFF, 0xE0];
    rounds(c, "dispatch", "indirect jumps", &indirect.repeat(16), 16);
    let taken = [0x48, 0x39, 0xF6, 0x74, 0x00]; // cmp rsi, rsi; je to what follows
    rounds(c, "dispatch", "compare and branch, taken", &taken.repeat(32), 32);
    let not = [0x48, 0x39, 0xF6, 0x75, 0x00]; // jne
    rounds(c, "dispatch", "compare and branch, not taken", &not.repeat(32), 32);
}

fn memory(c: &mut Criterion) {
    let load = [0x48, 0x8B, 0x06]; // mov rax, [rsi]
    rounds(c, "memory", "load, TLB hit", &load.repeat(30), 30);
    let store = [0x48, 0x89, 0x06]; // mov [rsi], rax
    rounds(c, "memory", "store, TLB hit", &store.repeat(30), 30);
    let load_of = |page: u64| [&[0x48, 0x8B, 0x86][..], &((page * PAGE) as u32).to_le_bytes()].concat();
    let pages: Vec<u8> = (0..30).flat_map(load_of).collect();
    rounds(c, "memory", "load, TLB hit, another page each", &pages, 30);
    // invlpg [rsi + page]; mov rax, [rsi + page]
    let walk = |page: u64| [&[0x0F, 0x01, 0xBE][..], &((page * PAGE) as u32).to_le_bytes(), &load_of(page)].concat();
    let walks: Vec<u8> = (0..16).flat_map(walk).collect();
    rounds(c, "memory", "INVLPG and load: walk of four levels", &walks, 16);
    let reload = [&[0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8][..], &pages].concat(); // mov rax, cr3; mov cr3, rax
    rounds(c, "memory", "CR3 reload and loads from 30 pages", &reload, 30);
    let mut string = bench(&[
        0xBE, 0x00, 0x00, 0x10, 0x00, // mov esi, 100000h
        0xBF, 0x00, 0x00, 0x18, 0x00, // mov edi, 180000h
        0xB9, 0x00, 0x00, 0x04, 0x00, // mov ecx, 40000h
        0xF3, 0xA4, // rep movsb
        0x49, 0xFF, 0xC6, // inc r14
        0xEB, 0xEA, // jmp back
    ]);
    let mut group = c.benchmark_group("memory");
    group.throughput(Throughput::Bytes(0x4_0000));
    group.bench_function("REP MOVSB of 256 KiB", |b| b.iter_custom(|n| time_rounds(&mut string, n)));
    group.finish();
}

fn main() {
    settings::run(&[decode, dispatch, memory]);
}
