; TLB churn: 4 KiB pages in random order, two address spaces, CR3 reloads and INVLPG.

%include "boot.inc"
%define ON_ROUND
%include "churn.inc"

main:	call churn_map
	mov ebp, 31337
	mov r14d, 15000
	jmp churn

END_OF_IMAGE
