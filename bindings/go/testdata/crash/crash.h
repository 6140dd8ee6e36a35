// Ways for C code to end its process. Each prints "thread <id>" to standard output first.

void crash_segv(void);           // A write to CRASH_ADDRESS.
void crash_segv_in_thread(void); // The same, in a thread that C makes.
void crash_abort(void);
