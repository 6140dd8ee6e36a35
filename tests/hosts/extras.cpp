// A C++ host that is its own monitor and uses everything that crash_monitor.hpp offers besides install.
// Usage: extras DUMP_DIR KIND
#include <crash_monitor.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace shop {
struct sold_out : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct basket {
    int apples;
};

static std::ostream &operator<<(std::ostream &stream, const basket &basket) {
    return stream << basket.apples << " apples";
}
} // namespace shop

static const char treasure[] = "gold, silver and copper";

static std::int32_t on_crash(std::int32_t, const void *, const void *, void *text) {
    const std::string &said = *static_cast<std::string *>(text);
    return write(1, said.data(), said.size()) < 0;
}

// The statuses of calls that are refused, one a line.
template <typename Call> static void refused(const char *name, Call call) {
    try {
        call();
        std::printf("%s 0\n", name);
    } catch (const crash_monitor::error &e) {
        std::printf("%s %d\n", name, static_cast<int>(e.status()));
    }
}

struct refusing {};
static std::ostream &operator<<(std::ostream &, const refusing &) { throw shop::sold_out("no line either"); }

static void write_log() {
    using crash_monitor::log;
    for (int i = 0; i < 100; ++i) log(CM_LOG_DEBUG) << "forgotten " << i;
    log(CM_LOG_ERROR) << "text " << std::string("s\0n", 3) << ' ' << 7 << std::hex << " 0x" << 255 << ' ' << shop::basket{3};
    log(CM_LOG_WARNING) << "ended" << std::endl;
    { const log empty(CM_LOG_INFO); }
    log(99) << "no such level";
    log(CM_LOG_DEBUG) << 'x' << std::string(508, '-') << std::string(2000, '.');
    std::string umlauts;
    for (int i = 0; i < 1000; ++i) umlauts += "\u00fc";
    log(CM_LOG_DEBUG) << 'x' << umlauts;
    try {
        log(CM_LOG_INFO) << "before " << refusing();
    } catch (const shop::sold_out &) {
        log(CM_LOG_INFO) << "thrown";
    }
}

// Leaves some annotations of this thread in force, after others that are not any more.
static void annotate_threads() {
    using crash_monitor::thread_annotation;
    const auto no_more = [] {
        const thread_annotation outer("request", "outer");
        const thread_annotation inner("request", "inner");
    };
    std::thread(no_more).join();
    static const thread_annotation request("request", "GET /"), nul(std::string("n\0l", 3), std::string("o\0e", 3));
    no_more();
    { const thread_annotation gone("gone", "soon"); }
    refused("long value", [] { const thread_annotation request("request", std::string(513, 'x')); });
    // Destroyed in another order than that of locks.
    std::unique_ptr<thread_annotation> first(new thread_annotation("order", "first"));
    std::unique_ptr<thread_annotation> second(new thread_annotation("order", "second"));
    static std::unique_ptr<thread_annotation> third(new thread_annotation("order", "third"));
    second.reset();
    first.reset();
}

static void own_handler() {
    std::puts("terminated");
    std::fflush(stdout);
    std::abort();
}

int main(int argc, char **argv) {
    crash_monitor::on_report([](const crash_monitor::report &) { std::abort(); }); // Is replaced.
    crash_monitor::on_report([](const crash_monitor::report &report) {
        std::ofstream seen(report.record_path() + ".seen");
        seen << report.dump_path() << '\n' << report.record_path() << '\n';
        seen << static_cast<int>(report.kind()) << ' ' << report.app_name() << ' ' << report.pid() << ' ' << report.thread_id();
        seen << ' ' << report.signal() << ' ' << report.exit_status() << ' ' << report.reason() << '\n';
        for (const auto &annotation : report.annotations()) seen << annotation.first << '=' << annotation.second << '\n';
        for (const std::string &path : report.attachment_paths()) seen << path << '\n';
    });
    crash_monitor::on_log(nullptr);
    // The monitor's command line names the directory, as ours does.
    const std::string said_to = std::string(argc > 3 && argv[2] == std::string("--dump-dir") ? argv[3] : "") + ".said";
    crash_monitor::on_log([said_to](std::uint32_t level, const std::string &line) {
        std::ofstream(said_to, std::ios::app) << level << ' ' << line << '\n';
    });
    if (crash_monitor::run_monitor()) return 0;
    if (argc < 3) return 2;
    const std::string directory = argv[1], kind = argv[2];
    std::string said = "called\n";
    crash_monitor::installation armed(crash_monitor::config(directory)
                                          .deadline(std::chrono::seconds(20))
                                          .log_bytes(4096)
                                          .monitor_log(directory + ".log")
                                          .crash_callback(on_crash, &said));
    crash_monitor::set_annotation("kind", kind);
    crash_monitor::set_annotation("gone", "soon");
    crash_monitor::remove_annotation("gone");
    refused("empty key", [] { crash_monitor::set_annotation("", ""); });
    refused("negative time", [] { crash_monitor::heartbeat_start(std::chrono::milliseconds(-1)); });
    refused("large log", [&] { crash_monitor::config(directory).log_bytes((1u << 20) + 1); });
    crash_monitor::attach_file(directory + ".log");
    crash_monitor::heartbeat_start(std::chrono::minutes(1));
    crash_monitor::heartbeat();
    std::set_terminate(own_handler);
    crash_monitor::annotate_uncaught_exceptions();
    crash_monitor::annotate_uncaught_exceptions(); // Again: it must not become its own predecessor.

    const crash_monitor::memory kept(treasure, sizeof treasure);
    if (kind == "log" || kind == "killed") {
        write_log();
        annotate_threads();
    }
    std::printf("armed %d\nready %d %ld\n", crash_monitor::is_armed(), static_cast<int>(getpid()), syscall(SYS_gettid));
    std::fflush(stdout);
    if (kind == "dump") {
        crash_monitor::set_annotation(std::string("n\0l", 3), std::string("o\0e", 3));
        std::printf("dumped %s\n", crash_monitor::dump_now("stock-taking").c_str());
        return 0;
    }
    if (kind == "killed") kill(getpid(), SIGKILL);
    if (kind == "log") *reinterpret_cast<volatile int *>(0xdead000) = 1;
    if (kind == "exception") throw shop::sold_out("no more apples");
    if (kind == "number") throw 7;
    std::terminate();
}
