// A host that ends the ways C++ programs do. Usage: terminates DUMP_DIR - KIND
// It leaves `marker` on the stack of the thread that ends.
#include <crash_monitor.hpp>
#include <crash_monitor_threads.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static void ready() {
    std::printf("ready %d %ld\n", static_cast<int>(getpid()), syscall(SYS_gettid));
    std::fflush(stdout);
}

// Before its constructor has run and after its destructor has begun, an object is one of its base class.
struct Base {
    virtual ~Base() { call(); }
    NOINLINE void call() { method(); }
    virtual void method() = 0;
};

struct Derived : Base {
    void method() override {}
};

// Destroyed when main has returned, after the library's own exit handler has run.
struct CrashesAtExit {
    bool armed = false;
    ~CrashesAtExit() {
        if (!armed) return;
        ready();
        *reinterpret_cast<volatile int *>(0xdead000) = 1;
    }
};

static CrashesAtExit crashes_at_exit;

NOINLINE static void refuse() noexcept(false) { throw std::runtime_error("refused"); }

NOINLINE static void promise() noexcept { refuse(); }

NOINLINE static int overflow(volatile int depth) {
    volatile char frame[256];
    frame[0] = static_cast<char>(depth);
    return overflow(depth + 1) + frame[0];
}

NOINLINE static void end(const std::string &kind) {
    volatile char marker[] = "in the crashing thread's stack";
    ready();
    if (kind == "uncaught") refuse();
    if (kind == "terminate") std::terminate();
    if (kind == "noexcept") promise();
    if (kind == "pure-virtual") delete new Derived;
    if (kind == "overflow") overflow(0);
    // Keeps the marker alive.
    std::printf("survived %s, %c\n", kind.c_str(), marker[0]);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const std::string kind = argv[3];
    crash_monitor::install(argv[1]);
    if (kind == "at-exit")
        crashes_at_exit.armed = true;
    else if (kind.rfind("thread-", 0) == 0)
        std::thread(end, kind.substr(std::strlen("thread-"))).join();
    else
        end(kind);
    return 0;
}
