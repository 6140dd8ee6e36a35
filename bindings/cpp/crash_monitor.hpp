// C++ interface of crash-monitor: the functions of crash_monitor.h with exceptions and destructors. C++11 and later,
// header only; programs link with libcrash_monitor. The manual of each function is in crash_monitor.h.
//
//     int main() {
//         if (crash_monitor::run_monitor()) return 0;
//         crash_monitor::installation armed("/var/lib/app/crashes");
//
// Every function may be called where its C function may be. Strings are copied; keys, values and reasons whole, also with
// NUL bytes in them, all others up to their first NUL. Paths are in the file system's own bytes.
#ifndef CRASH_MONITOR_HPP
#define CRASH_MONITOR_HPP

#if !defined(__cpp_exceptions) && !defined(__EXCEPTIONS)
#error "crash_monitor.hpp reports errors as exceptions: a program built without exceptions uses crash_monitor.h"
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "crash_monitor.h"

namespace crash_monitor {

// A call that failed. what() is its cm_last_error(): what failed, where, and what would be right.
class error : public std::runtime_error {
public:
    error(cm_status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    // One of the CM_ERR_* codes.
    cm_status status() const noexcept { return status_; }

private:
    cm_status status_;
};

namespace detail {

inline void check(cm_status status) {
    if (CM_IS_ERROR(status)) throw error(status, cm_last_error());
}

inline cm_config *make_config(const char *dump_dir, const char *socket_path) {
    cm_config *config = nullptr;
    check(cm_config_new(dump_dir, socket_path, &config));
    return config;
}

inline cm_status annotate(const std::string &key, const std::string &value) noexcept {
    return cm_set_annotation_n(key.data(), key.size(), value.data(), value.size());
}

inline std::string text(const char *text) { return text != nullptr ? text : std::string(); }

// The current exception's type as a person reads it.
inline std::string type_name(const std::type_info *type) {
    if (type == nullptr) return "unknown";
    int status = 0;
    std::unique_ptr<char, void (*)(void *)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
    return name ? name.get() : type->name();
}

// The terminate handler that was there before ours.
inline std::terminate_handler &previous_terminate_handler() {
    static std::terminate_handler previous = nullptr;
    return previous;
}

[[noreturn]] inline void on_terminate() {
    // What fails here costs an annotation, never the dump. Without an exception (std::terminate called, a joinable thread
    // destroyed) there is nothing to tell.
    if (std::exception_ptr exception = std::current_exception()) {
        try {
            (void)annotate("exception.type", type_name(abi::__cxa_current_exception_type()));
            std::rethrow_exception(exception);
        } catch (const std::exception &e) {
            (void)cm_set_annotation("exception.what", e.what());
        } catch (...) {
        }
    }
    if (previous_terminate_handler() != nullptr) previous_terminate_handler()();
    std::abort();
}

inline void chain_terminate_handler() {
    const std::terminate_handler before = std::set_terminate(on_terminate);
    if (before != on_terminate) previous_terminate_handler() = before;
}

// Calls a function of the program's from C, through which no exception may pass: one that tries ends the process.
template <typename Function> void not_into_c(Function function) noexcept { function(); }

// A line of the log. It is one byte longer than those that the library keeps: what is longer the library cuts, where UTF-8
// allows.
class line_buffer : public std::streambuf {
public:
    line_buffer() { setp(text_, text_ + sizeof text_); }

    const char *data() const noexcept { return pbase(); }
    std::size_t size() const noexcept { return static_cast<std::size_t>(pptr() - pbase()); }

private:
    char text_[1024 + 1];
};

struct config_deleter {
    void operator()(cm_config *config) const noexcept { cm_config_free(config); }
};

} // namespace detail

// Settings for install(). A setter gives *this, for the next one; it throws error for a value that is not allowed, and
// the setting stays as it was. Can be moved, not copied; what was moved from can be destroyed or assigned to.
class config {
public:
    // The monitor listens at monitor.sock in dump_dir.
    explicit config(const std::string &dump_dir)
        : handle_(detail::make_config(dump_dir.c_str(), nullptr)) {}

    config(const std::string &dump_dir, const std::string &socket_path)
        : handle_(detail::make_config(dump_dir.c_str(), socket_path.c_str())) {}

    config &app_name(const std::string &name) {
        detail::check(cm_config_set_app_name(get(), name.c_str()));
        return *this;
    }

    config &monitor_path(const std::string &path) {
        detail::check(cm_config_set_monitor_path(get(), path.c_str()));
        return *this;
    }

    config &monitor_log(const std::string &path) {
        detail::check(cm_config_set_monitor_log(get(), path.c_str()));
        return *this;
    }

    config &deadline(std::chrono::milliseconds time) {
        const auto count = time.count();
        if (count < 0 || count > std::numeric_limits<std::uint32_t>::max())
            throw error(CM_ERR_INVALID_ARGUMENT,
                        "deadline of " + std::to_string(count) + " ms is out of range: give 100 to 600000 ms");
        detail::check(cm_config_set_deadline_ms(get(), static_cast<std::uint32_t>(count)));
        return *this;
    }

    // The dump directory keeps the newest dumps, up to so many files and bytes.
    config &retention(std::uint32_t files, std::uint64_t bytes) {
        detail::check(cm_config_set_retention(get(), files, bytes));
        return *this;
    }

    // How much of the log is kept.
    config &log_bytes(std::uint32_t bytes) {
        detail::check(cm_config_set_log_bytes(get(), bytes));
        return *this;
    }

    // CM_STRATEGY_REPORT_FIRST or CM_STRATEGY_PREVIOUS_FIRST.
    config &strategy(std::int32_t strategy) {
        detail::check(cm_config_set_strategy(get(), strategy));
        return *this;
    }

    // Whether dumps hold the environment.
    config &environment(bool include) {
        detail::check(cm_config_set_environment(get(), include));
        return *this;
    }

    // Whether stacks are sanitized before they go into a dump.
    config &sanitize_stacks(bool sanitize) {
        detail::check(cm_config_set_sanitize_stacks(get(), sanitize));
        return *this;
    }

    // A function that is called in the crashing thread by the signal handler: it may do what cm_crash_callback says.
    config &crash_callback(cm_crash_callback callback, void *user_data = nullptr) {
        detail::check(cm_config_set_crash_callback(get(), callback, user_data));
        return *this;
    }

    // For the functions of crash_monitor.h. This object stays the owner.
    cm_config *get() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<cm_config, detail::config_deleter> handle_;
};

// Serves as the monitor if this process was started as one, and is true then, when the last host has gone; false at
// once in any other process. A program that is to be its own monitor calls this first thing in main and returns where
// it is true. Throws error.
inline bool run_monitor() {
    const cm_status status = cm_run_monitor();
    if (status == CM_NOT_A_MONITOR) return false;
    detail::check(status);
    return true;
}

// Why there is a report: the CM_REPORT_* constants.
enum class report_kind : std::int32_t {
    crash = CM_REPORT_CRASH,
    request = CM_REPORT_REQUEST,
    hang = CM_REPORT_HANG,
    death = CM_REPORT_DEATH
};

// A report that the monitor has written. It exists during the call that it was given to; what its functions return is the
// caller's own. A text that does not exist is empty.
class report {
public:
    explicit report(const cm_report *handle) noexcept : handle_(handle) {}
    report(const report &) = delete;
    report &operator=(const report &) = delete;

    report_kind kind() const noexcept { return static_cast<report_kind>(cm_report_kind(handle_)); }
    // Empty for a death, and for a dump that could not be written.
    std::string dump_path() const { return detail::text(cm_report_dump_path(handle_)); }
    std::string record_path() const { return detail::text(cm_report_record_path(handle_)); }
    // The copies of attached files.
    std::vector<std::string> attachment_paths() const {
        std::vector<std::string> paths;
        while (const char *path = cm_report_attachment_path(handle_, paths.size())) paths.push_back(path);
        return paths;
    }
    std::string app_name() const { return detail::text(cm_report_app_name(handle_)); }
    std::uint32_t pid() const noexcept { return cm_report_pid(handle_); }
    // The thread that crashed or asked for the dump; 0 where there is none.
    std::uint32_t thread_id() const noexcept { return cm_report_thread_id(handle_); }
    // The signal of a crash, or that ended the process; 0 where there was none.
    std::int32_t signal() const noexcept { return cm_report_signal(handle_); }
    // The status of a process that has exited; -1 for all others.
    std::int32_t exit_status() const noexcept { return cm_report_exit_status(handle_); }
    // What dump_now() was given.
    std::string reason() const { return detail::text(cm_report_reason(handle_)); }
    // Keys and values.
    std::map<std::string, std::string> annotations() const {
        std::map<std::string, std::string> annotations;
        for (std::size_t i = 0; const char *key = cm_report_annotation_key(handle_, i); ++i)
            annotations[key] = detail::text(cm_report_annotation(handle_, key));
        return annotations;
    }

    // For the functions of crash_monitor.h.
    const cm_report *get() const noexcept { return handle_; }

private:
    const cm_report *handle_;
};

// For a program that is its own monitor, before run_monitor(): a function that is called after each report, in a process of
// its own that ends when it returns; see cm_report_callback. It must not throw. Another call replaces the function; an empty
// one removes it. The replaced function object stays in memory. Throws error.
inline void on_report(std::function<void(const report &)> callback) {
    using function = std::function<void(const report &)>;
    if (!callback) return detail::check(cm_set_report_callback(nullptr, nullptr));
    std::unique_ptr<function> kept(new function(std::move(callback)));
    const cm_report_callback call = [](const cm_report *handle, void *user_data) {
        detail::not_into_c([&] { (*static_cast<function *>(user_data))(report(handle)); });
    };
    detail::check(cm_set_report_callback(call, kept.get()));
    (void)kept.release(); // A call may be under way when it is replaced.
}

// The same for each line of the monitor's log; level is one of CM_LOG_ERROR to CM_LOG_DEBUG. See cm_log_callback.
inline void on_log(std::function<void(std::uint32_t level, const std::string &line)> callback) {
    using function = std::function<void(std::uint32_t, const std::string &)>;
    if (!callback) return detail::check(cm_set_log_callback(nullptr, nullptr));
    std::unique_ptr<function> kept(new function(std::move(callback)));
    const cm_log_callback call = [](std::uint32_t level, const char *line, void *user_data) {
        detail::not_into_c([&] { (*static_cast<function *>(user_data))(level, line); });
    };
    detail::check(cm_set_log_callback(call, kept.get()));
    (void)kept.release();
}

// Arms the process for good. Throws error; then nothing is installed.
inline void install(const config &settings) { detail::check(cm_install_with(settings.get())); }

// The same with every setting at its default.
inline void install(const std::string &dump_dir) { detail::check(cm_install(dump_dir.c_str(), nullptr)); }

// Disarms the process. Throws error where it is not armed.
inline void uninstall() { detail::check(cm_uninstall()); }

// Arms the process as long as it lives: install() at the beginning, uninstall at the end. A process is armed once, so
// it has one such object at a time, and it needs a name: a temporary disarms at the end of its line.
class installation {
public:
    explicit installation(const config &settings) { install(settings); }
    explicit installation(const std::string &dump_dir) { install(dump_dir); }
    ~installation() { (void)cm_uninstall(); }

    installation(const installation &) = delete;
    installation &operator=(const installation &) = delete;
};

// Gives the calling thread an alternate signal stack, so that its stack's overflow can be reported, and unblocks the crash
// signals in it. Throws error.
// crash_monitor_threads.h does it for all threads of a program.
inline void thread_init() { detail::check(cm_thread_init()); }

// A dump of this process as it is, which goes on; gives the dump's path. Throws error.
inline std::string dump_now(const std::string &reason = std::string()) {
    const char *path = nullptr;
    detail::check(cm_dump_now_n(reason.data(), reason.size(), &path));
    return path;
}

// An annotation of every later dump; the same key again replaces the value. Throws error.
inline void set_annotation(const std::string &key, const std::string &value) {
    detail::check(detail::annotate(key, value));
}

inline void remove_annotation(const std::string &key) {
    detail::check(cm_set_annotation_n(key.data(), key.size(), nullptr, 0));
}

// A line of the process's log, at one of CM_LOG_ERROR to CM_LOG_DEBUG. It is written at the end of the expression:
//
//     crash_monitor::log(CM_LOG_INFO) << "request " << number << " took " << seconds << " s";
//
// It needs no memory but the stack's, unless an operator<< does. What is over 1024 bytes is cut; std::endl at the end is
// needless and left out. A line with an unknown level is not written. Not for signal handlers, which use cm_log.
class log : public std::ostream {
public:
    explicit log(std::uint32_t level) : std::ostream(nullptr), level_(level) { rdbuf(&line_); }
    ~log() override {
        std::size_t size = line_.size();
        if (size != 0 && line_.data()[size - 1] == '\n') --size;
        (void)cm_log(level_, line_.data(), size);
    }

    log(const log &) = delete;
    log &operator=(const log &) = delete;

private:
    const std::uint32_t level_;
    detail::line_buffer line_;
};

// An annotation of the calling thread as long as this object lives, which is to be destroyed by the same thread:
//
//     const crash_monitor::thread_annotation request("request", id);
//
// Then the key has the value of the older such object of this thread, or none. A forked child's thread, which has another
// id, has none. Throws error.
class thread_annotation {
public:
    thread_annotation(std::string key, std::string value) : key_(std::move(key)), value_(std::move(value)), older_(newest()) {
        detail::check(set());
        newest() = this;
    }

    ~thread_annotation() {
        // Most are destroyed in the reverse order. One that is not leaves a newer one of its key in force.
        bool in_force = true;
        thread_annotation **link = &newest();
        for (; *link != nullptr && *link != this; link = &(*link)->older_) in_force &= (*link)->key_ != key_;
        if (*link == nullptr) return; // Of another thread, whose annotations nobody else can change.
        *link = older_;
        if (!in_force) return;
        const thread_annotation *before = older_;
        while (before != nullptr && before->key_ != key_) before = before->older_;
        (void)(before != nullptr ? before->set() : cm_set_thread_annotation_n(key_.data(), key_.size(), nullptr, 0));
    }

    thread_annotation(const thread_annotation &) = delete;
    thread_annotation &operator=(const thread_annotation &) = delete;

private:
    cm_status set() const noexcept {
        return cm_set_thread_annotation_n(key_.data(), key_.size(), value_.data(), value_.size());
    }

    // The calling thread's; each leads to the one that is older.
    static thread_annotation *&newest() noexcept {
        static thread_local thread_annotation *newest = nullptr;
        return newest;
    }

    const std::string key_;
    const std::string value_;
    thread_annotation *older_;
};

// Copies a file beside every later dump. Throws error.
inline void attach_file(const std::string &path) { detail::check(cm_attach_file(path.c_str())); }

// Puts memory into every later dump as long as this object lives. Throws error.
class memory {
public:
    memory(const void *start, std::size_t length) : start_(start) { detail::check(cm_add_memory(start, length)); }
    ~memory() { (void)cm_remove_memory(start_); }

    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;

private:
    const void *start_;
};

// Promises a heartbeat() within this time, again and again; zero ends the promise. Throws error.
inline void heartbeat_start(std::chrono::milliseconds within) {
    const auto count = within.count();
    if (count < 0 || count > std::numeric_limits<std::uint32_t>::max())
        throw error(CM_ERR_INVALID_ARGUMENT,
                    "heartbeat within " + std::to_string(count) + " ms is out of range: give 10 ms to 49 days, or 0");
    detail::check(cm_heartbeat_start(static_cast<std::uint32_t>(count)));
}

inline void heartbeat() { detail::check(cm_heartbeat()); }

// Whether the process is installed and its handlers are still ours.
inline bool is_armed() noexcept { return cm_is_armed() == CM_OK; }

// From now on an exception that nobody catches tells its type and what() to its dump, as the annotations
// "exception.type" and "exception.what", before the handler that was there before ends the process.
inline void annotate_uncaught_exceptions() { detail::chain_terminate_handler(); }

// The version of the library that is loaded, "major.minor.patch", and as a number like CM_VERSION_NUMBER.
inline const char *version() noexcept { return cm_version(); }
inline std::uint32_t version_number() noexcept { return cm_version_number(); }

} // namespace crash_monitor

#endif // CRASH_MONITOR_HPP
