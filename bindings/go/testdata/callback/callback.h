// Each calls the Go function goCallback.

void callback_here(void);      // In the calling thread.
void callback_in_thread(void); // In a thread that C makes.
void callback_in_thread_with_signal_stack(void); // The same; the thread calls cm_thread_init first.
