// A C++ program that is its own monitor, whose threads can report even the overflow of their stack.
//
//     c++ -std=c++11 -g host.cpp -o host -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor -pthread -ldl
//     ./host crashes
//     ./host crashes overflow
// where DIST is the absolute path of the directory with crash-monitor's include and lib.
//
// Expect "Segmentation fault" and crashes/cpp-host-<unix time>-<pid>.dmp: in the first case a write through a null
// pointer, in the second a stack overflow. In both the crashing thread is the std::thread and not the first one.

// Gives every thread an alternate signal stack. Without it the overflow leaves no dump: no handler can run.
#include <crash_monitor_threads.h>

#include <crash_monitor.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

namespace {

struct folder {
    int size;
    int files;
    const folder *parent;
};

// How many folders lie above this one. Does not end for a folder that is its own parent.
int depth(const folder &f) {
    return f.parent == nullptr ? 0 : 1 + depth(*f.parent);
}

void add_file(folder *f) {
    f->files++;
}

void crash() {
    add_file(nullptr);
}

void overflow() {
    folder loop = {0, 0, nullptr};
    loop.parent = &loop;
    std::printf("depth %d\n", depth(loop));
}

} // namespace

int main(int argc, char **argv) try {
    if (crash_monitor::run_monitor()) return 0;
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s DUMP_DIR [overflow]\n", argv[0]);
        return 2;
    }
    crash_monitor::installation armed(
        crash_monitor::config(argv[1]).app_name("cpp-host").deadline(std::chrono::seconds(5)));
    const bool overflows = argc > 2 && std::strcmp(argv[2], "overflow") == 0;
    std::thread worker(overflows ? overflow : crash);
    worker.join();
    return 0;
} catch (const crash_monitor::error &error) {
    std::fprintf(stderr, "%s\n%s\n", cm_status_text(error.status()), error.what());
    return 1;
}
