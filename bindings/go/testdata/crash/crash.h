// Ways for C code to end its process. Each prints "thread <id>" to standard output first.

// A write to address 0xdead: too low for anything to be mapped there, as the heap may be higher up.
void crash_segv(void);
void crash_segv_in_thread(void); // The same, in a thread that C makes.
void crash_overflow(void);       // A recursion without end.
void crash_abort(void);

// A cm_crash_callback, which prints "called back". It has a crash reported where it is given a pointer that is not
// NULL.
int crash_called_back(int signal, const void *siginfo, const void *context, void *report);
