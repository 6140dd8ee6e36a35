#include "textflag.h"

// func Range() (begin, end uintptr)
TEXT ·Range(SB), NOSPLIT, $0-16
	MOVD $runtime·text(SB), R0
	MOVD R0, begin+0(FP)
	MOVD $runtime·etext(SB), R0
	MOVD R0, end+8(FP)
	RET
