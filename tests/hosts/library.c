/* A library that `crash-monitor show` is to name. */
int in_library(int n);

int in_library(int n) {
    *(volatile int *)0xdead0000 = n; /* library: inside */
    return n;
}
