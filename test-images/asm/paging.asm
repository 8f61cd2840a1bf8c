; Paging: 32-bit with 4 MiB pages, PAE with NX, 4-level with 4K/2M/1G pages; error codes and CR2 of every kind of
; violation, WP, U/S, A and D bits, INVLPG and global pages, reserved bits.

%define IMG "paging"
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "user.inc"

D32	equ 0x20000			; 32-bit: page directory, tables of 0 and of 400000h
T32A	equ 0x21000
T32B	equ 0x22000
PP	equ 0x30000			; PAE: PDPT, PD, PT of 200000h
PPD	equ 0x31000
PPT	equ 0x32000
QP	equ 0x33000			; 4-level: PDPT, PD, PT of 8000000000h
QD	equ 0x34000
QT	equ 0x35000
F0	equ 0x50000			; frames with known contents
F1	equ 0x51000

V	equ 0x400000			; 32-bit: page n of the table T32B
W0	equ 0x200000			; PAE: page n of PPT
X	equ 0x8000000000

; FAULTS_AT_EAX "what", error code: a call to the address in EAX faults there, at its first byte
%macro FAULTS_AT_EAX 2
	push eax
	TRY_ %%next, 0
	call eax
%%next:	pop eax
	mov dword [exc_resume], 0
	NAMED %1, " vector"
	CHECK namestr, [exc_vec], 14
	NAMED %1, " error code"
	CHECK namestr, [exc_err], %2
	NAMED %1, " CR2"
	CHECK namestr, eax, [exc_cr2]
	NAMED %1, " address"
	CHECK namestr, eax, [exc_ip]
%endmacro

%macro FAULTS_AT_RAX 2
	push rax
	TRY_ %%next, 0
	call rax
%%next:	pop rax
	mov dword [exc_resume], 0
	NAMED %1, " vector"
	CHECK namestr, [exc_vec], 14
	NAMED %1, " error code"
	CHECK namestr, [exc_err], %2
	NAMED %1, " CR2"
	CHECKQ namestr, rax, [exc_cr2]
	NAMED %1, " address"
	CHECKQ namestr, rax, [exc_ip]
%endmacro

	section .text
	bits 16
main:	call enter_pm
	bits 32
	mov edi, D32
	xor eax, eax
	mov ecx, 0x18000 / 4
	rep stosd
	mov dword [F0], 0xF0F0F0F0
	mov dword [F1], 0xF1F1F1F1
	mov dword [F0 + 0xFFC], 0xABCDABCD
	mov byte [F1 + 0x800], 0xC3	; a RET

	SECTION_ "32-bit paging"
	mov dword [D32], T32A + 7
	mov dword [D32 + 4], T32B + 7
	mov edi, T32A
	mov eax, 7
	mov ecx, 1024
.t:	stosd
	add eax, 0x1000
	loop .t
	mov dword [T32B + 0], F0 + 7	; 0: user, writable
	mov dword [T32B + 4], F1 + 5	; 1: user, read-only
	mov dword [T32B + 8], F0 + 6	; 2: not present
	mov dword [T32B + 12], F1 + 3	; 3: supervisor, writable
	mov dword [T32B + 16], F0 + 1	; 4: supervisor, read-only
	mov eax, D32
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	CHECK "read through the table", [V], 0xF0F0F0F0
	CHECK "A set by a read, D not", [T32B], F0 + 0x27
	CHECK "A of the PDE", [D32 + 4], T32B + 0x27
	CHECK "A clear where nothing was read", [T32B + 4], F1 + 5
	mov dword [V], 0x12345678
	CHECK "D set by a write", [T32B], F0 + 0x67
	CHECK "the frame has the value", [F0], 0x12345678
	mov dword [F0], 0xF0F0F0F0
	PFAULTS "supervisor read, not present", 0, V + 0x2ABC, mov eax, [V + 0x2ABC]
	PFAULTS "supervisor write, not present", 2, V + 0x2004, mov [V + 0x2004], eax
	UPFAULTS "user read, not present", 4, V + 0x2004, mov eax, [V + 0x2004]
	UPFAULTS "user write, not present", 6, V + 0x2004, mov [V + 0x2004], eax
	UPFAULTS "user read of a supervisor page", 5, V + 0x3000, mov eax, [V + 0x3000]
	UPFAULTS "user write of a supervisor page", 7, V + 0x3000, mov [V + 0x3000], eax
	UPFAULTS "user write of a read-only page", 7, V + 0x1010, mov [V + 0x1010], eax
	UPFAULTS "user read-modify-write of a read-only page", 7, V + 0x1010, inc dword [V + 0x1010]
	mov eax, [T32B + 4]
	and eax, 0x40
	CHECK "a faulting write sets no D", eax, 0
	UWORKS "user read of a read-only page", mov eax, [V + 0x1000]
	CHECK "A set by the user's read", [T32B + 4], F1 + 0x25
	UWORKS "user write", mov [V + 8], eax
	WORKS "WP = 0: supervisor write of a read-only user page", mov [V + 0x1020], eax
	CHECK "D set by that write", [T32B + 4], F1 + 0x65
	mov eax, cr0
	or eax, 0x10000
	mov cr0, eax
	PFAULTS "WP = 1: supervisor write of a read-only user page", 3, V + 0x1020, mov [V + 0x1020], eax
	PFAULTS "WP = 1: supervisor write of a read-only page", 3, V + 0x4020, mov [V + 0x4020], eax
	WORKS "supervisor read of a read-only page", mov eax, [V + 0x4000]
	mov eax, V + 0x2000		; the processor looks for an instruction where there is no page
	FAULTS_AT_EAX "fetch, not present", 0
	mov dword [D32 + 4], T32B + 5	; PDE read-only
	mov eax, cr3
	mov cr3, eax
	PFAULTS "read-only by the PDE", 3, V, mov [V], eax
	mov dword [D32 + 4], T32B + 3	; PDE supervisor
	mov eax, cr3
	mov cr3, eax
	UPFAULTS "supervisor by the PDE", 5, V, mov eax, [V]
	mov dword [D32 + 4], T32B + 6	; PDE not present
	mov eax, cr3
	mov cr3, eax
	UPFAULTS "PDE not present", 4, V, mov eax, [V]
	mov dword [D32 + 4], T32B + 7
	mov dword [T32B], F1 + 7	; another frame: seen after INVLPG
	invlpg [V]
	CHECK "INVLPG", [V], 0xF1F1F1F1
	mov dword [T32B], F0 + 7	; and after a CR3 load
	mov eax, cr3
	mov cr3, eax
	CHECK "CR3 load", [V], 0xF0F0F0F0
	mov eax, [V + 0x2000 - 4 - 0x1000]	; an access over a page boundary
	mov dword [T32B + 4], F1 + 7
	mov dword [V + 0x1FFC], 0x44332211
	invlpg [V + 0x1000]
	PFAULTS "second page of a write not there", 2, V + 0x2000, mov [V + 0x1FFE], eax
	CHECK "nothing of it written", [V + 0x1FFC], 0x44332211

	SECTION_ "global pages"
	mov eax, 1
	cpuid
	test edx, 1 << 13
	jz .noglobal
	mov eax, cr4
	or al, 0x80
	mov cr4, eax
	mov dword [T32B], F0 + 0x107
	invlpg [V]
	CHECK "a global page", [V], 0xF0F0F0F0
	mov dword [T32B], F1 + 0x107
	invlpg [V]			; takes global ones too
	CHECK "INVLPG of a global page", [V], 0xF1F1F1F1
	mov dword [T32B], F0 + 7
	mov eax, cr4			; clearing PGE drops them
	and al, 0x7F
	mov cr4, eax
	CHECK "clearing CR4.PGE", [V], 0xF0F0F0F0
.noglobal:
	SECTION_ "4 MiB pages"
	mov eax, cr4
	or al, 0x10
	mov cr4, eax
	mov dword [D32 + 8], 0x87
	mov dword [D32 + 12], 0x200087	; bit 21 is reserved
	mov dword [D32 + 16], 0x85
	CHECK "800000h is 0", [0x800000 + F1], 0xF1F1F1F1
	CHECK "A of a 4 MiB page", [D32 + 8], 0xA7
	mov dword [0x800000 + F1], 0xF1F1F1F1
	CHECK "D of a 4 MiB page", [D32 + 8], 0xE7
	PFAULTS "reserved bit", 9, 0xC00000, mov eax, [0xC00000]
	UPFAULTS "reserved bit, user write", 15, 0xC00000, mov [0xC00000], eax
	PFAULTS "read-only", 3, 0x1000010, mov [0x1000010], eax
	mov eax, cr0
	and eax, 0x7FFFFFFF
	mov cr0, eax
	mov eax, cr4
	and al, 0xEF
	mov cr4, eax

	SECTION_ "PAE paging"
	mov dword [PP], PPD + 1
	mov dword [PP + 8], PPD + 1	; 40000000h: the same again
	mov dword [PPD], 0x87		; 2 MiB, identity
	mov dword [PPD + 8], PPT + 7
	mov dword [PPT], F0 + 7
	mov dword [PPT + 8], F1 + 7
	mov dword [PPT + 16], F0 + 6
	mov dword [PPT + 24], F0 + 7
	mov dword [PPT + 28], 0x00100000	; bit 52: reserved
	mov eax, cr4
	or al, 0x20
	mov cr4, eax
	mov eax, PP
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	CHECK "through three levels", [W0], 0xF0F0F0F0
	CHECK "the same by the second PDPTE", [0x40000000 + W0], 0xF0F0F0F0
	CHECK "A and no D", [PPT], F0 + 0x27
	PFAULTS "PDPTE not present", 0, 0x80000000, mov eax, [0x80000000]
	PFAULTS "PTE not present", 2, W0 + 0x2000, mov [W0 + 0x2000], eax
	PFAULTS "reserved bit 52", 9, W0 + 0x3000, mov eax, [W0 + 0x3000]
	mov dword [PP + 8], 0		; the PDPTEs are registers: a change waits for the next load of CR3
	invlpg [0x40000000 + W0]
	TRY_ .pd1, 0
	mov eax, [0x40000000 + W0]
.pd1:	mov dword [exc_resume], 0
	CHECK "PDPTE registers keep the old value", [exc_vec], -1
	mov eax, cr3
	mov cr3, eax
	PFAULTS "CR3 load reads the PDPTEs", 0, 0x40000000 + W0, mov eax, [0x40000000 + W0]
	mov dword [PP + 8], PPD + 3	; bit 1 is reserved in a PDPTE
	mov eax, cr3
	FAULTS "MOV to CR3 with a reserved bit in a PDPTE", 13, 0, mov cr3, eax
	mov dword [PP + 8], 0
	mov eax, 0x80000001
	cpuid
	test edx, 1 << 20
	jz .nonx
	mov dword [PPT + 8 + 4], 0x80000000
	invlpg [W0 + 0x1000]
	PFAULTS "NX is reserved while NXE = 0", 9, W0 + 0x1000, mov eax, [W0 + 0x1000]
	mov ecx, MSR_EFER
	rdmsr
	or ah, 8
	wrmsr
	mov eax, cr3
	mov cr3, eax
	CHECK "NXE = 1: an NX page is readable", [W0 + 0x1000], 0xF1F1F1F1
	mov eax, W0 + 0x1800
	FAULTS_AT_EAX "fetch from an NX page", 0x11
	mov eax, W0 + 0x2000
	FAULTS_AT_EAX "fetch, not present, NXE = 1", 0x10
	mov dword [PPT + 8 + 4], 0
	invlpg [W0 + 0x1000]
	mov eax, W0 + 0x1800
	WORKS "fetch from the page without NX", call eax
.nonx:	mov eax, cr0
	and eax, 0x7FFFFFFF
	mov cr0, eax
	mov eax, cr4
	and al, 0xDF
	mov cr4, eax

	mov eax, 0x80000001
	cpuid
	test edx, 1 << 29
	jz .nolong
	SECTION_ "4-level paging"
	call map64
	mov dword [PML4 + 8], QP + 7
	mov dword [QP], QD + 7
	mov dword [QD], QT + 7
	mov dword [QT], F0 + 7
	mov dword [QT + 8], F1 + 7
	mov dword [QT + 16], F0 + 6
	mov dword [QT + 24], F1 + 3
	mov dword [QT + 32], F1 + 5
	mov dword [QD + 8], 0x87	; 2 MiB at X + 200000h
	mov dword [QD + 16], 0x2087	; bit 13 is reserved in a 2 MiB entry
	mov dword [QP + 8], 0x87	; 1 GiB at X + 40000000h
	mov dword [PML4 + 16], QP + 0x87	; PS is reserved in a PML4E
	call enter64
	bits 64
	mov rbx, X
	CHECK "through four levels", [rbx], 0xF0F0F0F0
	mov eax, [PML4 + 8]
	and eax, 0x20
	CHECK "A of the PML4E", eax, 0x20
	mov eax, [QP]
	and eax, 0x20
	CHECK "A of the PDPTE", eax, 0x20
	mov eax, [QD]
	and eax, 0x20
	CHECK "A of the PDE", eax, 0x20
	CHECK "A of the PTE, no D", [QT], F0 + 0x27
	FAULTS "not present", 14, 0, mov eax, [rbx + 0x2FF0]
	lea rax, [rbx + 0x2FF0]
	CHECKQ "CR2 has 64 bits", [exc_cr2], rax
	FAULTS "write, not present", 14, 2, mov [rbx + 0x2FF0], eax
	UFAULTS "user read of a supervisor page", 14, 5, mov eax, [rbx + 0x3000]
	UFAULTS "user write of a read-only page", 14, 7, mov [rbx + 0x4000], eax
	UWORKS "user read", mov eax, [rbx + 0x4000]
	FAULTS "WP = 1: supervisor write of a read-only page", 14, 3, mov [rbx + 0x4000], eax
	CHECK "2 MiB page", [rbx + 0x200000 + F1], 0xF1F1F1F1
	mov dword [rbx + 0x200000 + F1], 0xF1F1F1F1
	CHECK "A and D of a 2 MiB page", [QD + 8], 0xE7
	FAULTS "reserved bit of a 2 MiB page", 14, 9, mov eax, [rbx + 0x400000]
	shl rbx, 1
	FAULTS "PS in a PML4E", 14, 9, mov eax, [rbx]
	shr rbx, 1
	mov eax, 0x80000001
	push rbx
	cpuid
	pop rbx
	test edx, 1 << 26
	jz .no1g
	CHECK "1 GiB page", [rbx + 0x40000000 + F1], 0xF1F1F1F1
	CHECK "A of a 1 GiB page", [QP + 8], 0xA7
	jmp .nx
.no1g:	FAULTS "no 1 GiB pages: PS in a PDPTE is reserved", 14, 9, mov eax, [rbx + 0x40000000]
.nx:	test edx, 1 << 20
	jz .nonx64
	bts qword [PML4 + 8], 63	; NX at the top counts for all below
	mov rax, cr3
	mov cr3, rax
	lea rax, [rbx + 0x1800]
	FAULTS_AT_RAX "fetch, NX by the PML4E", 0x11
	btr qword [PML4 + 8], 63
	mov rax, cr3
	mov cr3, rax
	lea rax, [rbx + 0x1800]
	WORKS "fetch without NX", call rax
	btr dword [QT + 8], 2		; a supervisor page, run from ring 3
	invlpg [rbx + 0x1000]
	TRY_ .ufetch, 0
	lea rax, [rbx + 0x1800]
	TO_USER rax
.ufetch:
	CHECK "user fetch of a supervisor page vector", [exc_vec], 14
	CHECK "user fetch of a supervisor page error code", [exc_err], 0x15
.nonx64:
	mov eax, 0x80000008
	push rbx
	cpuid
	pop rbx
	movzx eax, al
	cmp al, 52
	jae .nores
	mov rdx, F0 + 7
	bts rdx, rax			; the first bit beyond it
	mov [QT], rdx
	invlpg [rbx]
	FAULTS "address bit MAXPHYADDR is reserved", 14, 9, mov eax, [rbx]
	mov qword [QT], F0 + 7
	invlpg [rbx]
.nores:	xor eax, eax
	push rbx
	cpuid
	pop rbx
	cmp eax, 7
	jb .nosmap
	mov eax, 7
	xor ecx, ecx
	push rbx
	cpuid
	mov r12d, ebx
	pop rbx
	mov dword [PD], 0x83		; our own code and data become supervisor pages
	mov rax, cr3
	mov cr3, rax
	bts dword [QT + 8], 2
	invlpg [rbx + 0x1000]
	test r12d, 1 << 7
	jz .nosmep
	mov rax, cr4
	bts eax, 20
	mov cr4, rax
	lea rax, [rbx + 0x1800]
	FAULTS_AT_RAX "SMEP: supervisor fetch of a user page", 0x11
	mov rax, cr4
	btr eax, 20
	mov cr4, rax
.nosmep:
	test r12d, 1 << 20
	jz .nosmap
	mov rax, cr4
	bts eax, 21
	mov cr4, rax
	FAULTS "SMAP: supervisor read of a user page", 14, 1, mov eax, [rbx]
	stac
	WORKS "SMAP: with AC set", mov eax, [rbx]
	clac
	WORKS "SMAP: supervisor page", mov eax, [rbx + 0x3000]
	mov rax, cr4
	btr eax, 21
	mov cr4, rax
.nosmap:
	jmp finish64
	bits 32
main.nolong:
	jmp finish32
